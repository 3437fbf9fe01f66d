"""A training run measured at its checkpoints: coefficients, losses and whatever else along `step`, resumably."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import xarray as xr
from torch import nn

from ontogeny.core.errors import InvalidArgument
from ontogeny.core.losses import LossFn
from ontogeny.core.protocols import Progress
from ontogeny.core.restriction import Restriction, matching, shapes_of
from ontogeny.core.samples import Samples
from ontogeny.execution import Executor
from ontogeny.measurement.choice import Choice, choose
from ontogeny.measurement.jobs import Run, measure_parts
from ontogeny.measurement.keys import Keys
from ontogeny.measurement.protocol import Measurement
from ontogeny.measurement.quantities import LLC, WHOLE, Behaviour, Losses
from ontogeny.models import components as components_of
from ontogeny.sampling import Calibrated, PosteriorConfig, Sampler
from ontogeny.stores import Checkpoints
from ontogeny.terminal import as_progress

MAIN = "data"
# An error of 3 % leaves a median deviation of some 2 to 3 %; the networks whose gradients cost next to nothing get 2 %.
# Four chains of 200 draws on batches of 32, as published, take 25,600 gradients.
ERROR, SMALL_ERROR, BUDGET = 0.03, 0.02, 30_000
_SMALL, _LARGE = 10_000, 250_000  # weights: below, the smaller error; from there on, the least budget
_MOST = 1_000_000  # gradients of the largest budget


def measure(
    run: Checkpoints,
    model_fn: Callable[[], nn.Module],
    data: Any,
    loss_fn: LossFn,
    *,
    components: Sequence[str] | None = None,
    datasets: Mapping[str, Any] | None = None,
    behaviour: Callable[[nn.Module], xr.Dataset] | None = None,
    measurements: Sequence[Measurement] = (),
    posterior: PosteriorConfig | None = None,
    nbeta: float | None = None,
    localization: float | None = None,
    sampler: Sampler | None = None,
    seed: int = 0,
    store: str | Path | None = None,
    executor: Executor | None = None,
    steps: Sequence[int] | None = None,
    progress: Progress | bool = False,
    num_samples: int | None = None,
) -> xr.Dataset:
    """Learning coefficients, losses and behaviour at every checkpoint of a training run.

    One nβ and one γ hold for all checkpoints and parts, or their values would not compare. Unless given, they are
    chosen from trials at four pilot checkpoints: the posterior's mean loss lies a tenth of what the run gains
    above that of the checkpoint, descent is at most a fifth of that rise, and the budget suffices
    (`ontogeny.measurement.choose`). With a store, a choice once made is kept for a run that grows.

    Args:
        run: from `open_checkpoints`.
        model_fn: makes the module that the weights are loaded into.
        data: what the posterior is sampled on, the dataset named "data": samples of any kind in the table of
            `ontogeny.Samples` (tensors, arrays, dicts, rows, datasets, a `DataLoader`). An iterable or an
            `IterableDataset` is given as `og.Samples(data, num_samples)`, here and in `datasets`.
        loss_fn: per-sample losses.
        components: parts of the network whose coefficient is measured, each a pattern for `restrict` such as "L0H3";
            default the whole, "all". An empty list measures no coefficient.
        datasets: further named datasets on which loss and coefficients are measured too; each multiplies the cost.
        behaviour: function of the model at a checkpoint that returns an `xr.Dataset` of anything else.
        measurements: anything else, as `ontogeny.measurement.Measurement`.
        posterior: batch size, device and pass size of the posteriors, and nβ and γ if they are to be given.
        nbeta, localization: the same, for short.
        sampler: default `Calibrated(error=0.03, budget=...)`, a budget of 30,000 per-sample gradients for each part at
            each checkpoint; of fewer than 250,000 weights √(250,000 / weights) times that. Of fewer than 10,000 weights
            the error is 0.02, and the budget 2.25 times as large, up to a million.
        seed: root of the seed tree.
        store: folder in which each part of each checkpoint is kept, under a fingerprint of all that decides it: the
            weights, the data, the settings, the part, your own code as far as it reaches, the versions of libraries.
            Started again, a measurement that was killed goes on where it was, and ends with the same numbers; what has
            changed is measured anew, and nothing else. Several processes may share a store.
        executor: who runs the jobs: `execution.Serial()` or `execution.Processes(n)`; default one process a core. The
            numbers are the same, bit for bit.
        steps: checkpoints to measure; default all.
        progress: a `Progress`, or True for a bar in the terminal.
        num_samples: n of `data`, where they do not say it themselves. Of `datasets`, `Samples(each, num_samples)`.

    Returns:
        A trajectory: `loss`, `loss_sem` (step, dataset); over (step, component, dataset) `llc` with `llc_mcse`,
        `llc_complexity`, `llc_descent`, `llc_withheld` and their errors, `llc_rhat`, `llc_ess`, `llc_outcome`,
        `llc_gradients` (see `Estimate`); `llc_trace` and `llc_warmup_trace` with chain and draw besides, thinned;
        `llc_nbeta` and `llc_localization` (step), the same at each; what the others gave; the settings as attributes,
        and as `choice` how nβ and γ were chosen (JSON). Of a training that diverged, `training_diverged` (step) is the
        step at which it did, the same at each.

    Raises:
        InvalidArgument: for a component, step or dataset that does not exist or fit. Numerical trouble is an outcome
            in `llc_outcome`.
        CorruptFile: for a damaged checkpoint or stored part, named; what was measured before is kept.
    """
    wanted = _steps(run, steps)
    named = _datasets(Samples.of(data, num_samples), datasets)
    network = Run(run, model_fn)
    restrictions, size = _restrictions(network, wanted[0], [WHOLE] if components is None else list(components))
    place = None if store is None else Path(store)
    reporter, keys = as_progress(progress), Keys()
    common = {"store": place, "executor": executor, "progress": reporter, "keys": keys}
    others = [*([Behaviour(behaviour)] if behaviour else []), *measurements]
    asked: list[Measurement] = [Losses(named, loss_fn, seed=seed), *others]
    choice: Choice | None = None
    if restrictions:
        config = _posterior(posterior, nbeta, localization)
        chosen = sampler or curve_sampler(size)
        budget: int = getattr(chosen, "budget", None) or curve_budget(size)
        if config.nbeta is not None and config.localization is not None and not isinstance(chosen, Calibrated):
            choice = Choice(config.nbeta, config.localization)  # all is given, and a mass would not be used
        else:
            choice = choose(network, named[MAIN], loss_fn, config, budget=budget, seed=seed, **common)
        config = config.model_copy(update={"nbeta": choice.nbeta, "localization": choice.localization})
        asked.insert(1, LLC(named, loss_fn, config, chosen, restrictions, choice.masses, choice.largest, seed))
    found = measure_parts(network, wanted, asked, **common)
    if choice is not None:
        # As variables, for of attributes `xr.concat` keeps those of the first run alone.
        along = xr.ones_like(found["step"], dtype=float).reset_coords(drop=True)
        found = found.assign(llc_nbeta=choice.nbeta * along, llc_localization=choice.localization * along)
    if choice is not None and choice.trials is not None:
        found.attrs["choice"] = json.dumps(choice.trials.to_dict())
    return found


def choice_of(trajectory: xr.Dataset) -> xr.Dataset | None:
    """How nβ and γ of a trajectory were chosen, as `reports.fig_choice` draws it; None where they were given.

    Of joined runs it is that of one, as a rule the first: `xr.concat` keeps its attributes.
    """
    kept = trajectory.attrs.get("choice")
    return xr.Dataset.from_dict(json.loads(kept)) if isinstance(kept, str) else None


def _steps(run: Checkpoints, steps: Sequence[int] | None) -> list[int]:
    wanted = sorted(set(run.steps if steps is None else steps))
    if not wanted or not set(wanted) <= set(run.steps):
        found = ", ".join(str(step) for step in wanted if step not in run.steps)
        raise InvalidArgument("steps", expected="steps of this run (run.steps)", found=found or "none")
    return wanted


def _datasets(data: Samples, datasets: Mapping[str, Any] | None) -> dict[str, Samples]:
    if MAIN in (datasets or {}):
        raise InvalidArgument("datasets", expected=f"names other than that of the main one, {MAIN!r}", found=repr(MAIN))
    others = {name: Samples.of(each, name=f"datasets[{name!r}]") for name, each in (datasets or {}).items()}
    return {MAIN: data} | others


def _posterior(config: PosteriorConfig | None, nbeta: float | None, localization: float | None) -> PosteriorConfig:
    given = {name: value for name, value in (("nbeta", nbeta), ("localization", localization)) if value is not None}
    return PosteriorConfig.model_validate((config or PosteriorConfig()).model_dump() | given)


def curve_sampler(num_parameters: int) -> Calibrated:
    """The default sampler of curves, for a network of this size."""
    return Calibrated(error=_curve_error(num_parameters), budget=curve_budget(num_parameters))


def curve_budget(num_parameters: int) -> int:
    """Per-sample gradients that the default sampler of curves may spend."""
    smaller = math.sqrt(max(_LARGE / num_parameters, 1.0))
    return int(min(BUDGET * smaller * (ERROR / _curve_error(num_parameters)) ** 2, _MOST))


def _curve_error(num_parameters: int) -> float:
    return SMALL_ERROR if num_parameters < _SMALL else ERROR


def _restrictions(network: Run, step: int, components: Sequence[str]) -> tuple[dict[str, Restriction | None], int]:
    """The restriction of each component, the same for all checkpoints since they have one structure; and the number of
    weights.

    A misspelt component is met here, before anything is measured.
    """
    with network.at(step) as model:
        shapes = shapes_of(model)
        parts = {} if set(components) <= {WHOLE} else components_of(model)
    found = {name: None if name == WHOLE else matching(name, parts, shapes) for name in components}
    return found, sum(math.prod(shape) for shape in shapes.values())
