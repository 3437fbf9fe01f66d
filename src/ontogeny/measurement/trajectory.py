"""`measure`: coefficients, losses and any other measurement along the steps of a training run, resumable."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import xarray as xr
from torch import nn

from ontogeny.core import arguments
from ontogeny.core.losses import LossFn
from ontogeny.core.protocols import Progress
from ontogeny.core.restriction import Restriction, matching, shapes_of
from ontogeny.execution import Executor, Serial
from ontogeny.measurement.choice import Choice, choose
from ontogeny.measurement.given import (
    MAIN,
    as_run,
    as_store,
    check_base,
    checked_executor,
    datasets_of,
    names_of,
    steps_of,
    undivided,
)
from ontogeny.measurement.jobs import Run, measure_cells
from ontogeny.measurement.keys import Keys
from ontogeny.measurement.protocol import Measurement
from ontogeny.measurement.quantities import LLC, WHOLE, Behaviour, Losses
from ontogeny.models import components as components_of
from ontogeny.sampling import Calibrated, PosteriorConfig, Sampler, as_sampler
from ontogeny.stores import Checkpoints
from ontogeny.terminal import as_progress

# A target error of 3 % gives median deviations of about 2 to 3 %. Networks with very cheap gradients get 2 %.
# Four chains of 200 draws on batches of 32, as published, take 25,600 gradients.
ERROR, SMALL_ERROR, BUDGET = 0.03, 0.02, 30_000
_SMALL, _LARGE = 10_000, 250_000  # weights: below the first, the smaller error; from the second on, the least budget
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
    """Measure learning coefficients, losses and behaviour at every checkpoint of a training run.

    All checkpoints and components share one nβ and one γ, because values at different ones are not comparable. Unless
    given, they are chosen from trials at four pilot checkpoints (`ontogeny.measurement.choose`). The posterior's mean
    loss then lies above that of the checkpoint by a tenth of the run's decrease in loss, descent is at most a fifth of
    that rise, and the budget suffices. With a store, the choice is kept as the run grows.

    Args:
        run: from `open_checkpoints`.
        model_fn: makes the module that the weights are loaded into.
        data: the samples that define the posterior, as the dataset named "data": any kind listed in `ontogeny.Samples`
            (tensors, arrays, dicts, rows, datasets, a `DataLoader`). Pass an iterable or an `IterableDataset` as
            `og.Samples(data, num_samples)`, here and in `datasets`.
        loss_fn: per-sample losses.
        components: components whose coefficients are measured, each a pattern for `restrict` such as "L0H3"; default
            the whole network, "all". An empty list measures no coefficient.
        datasets: further named datasets on which loss and coefficients are measured too; each multiplies the cost.
        behaviour: function of the model at a checkpoint that returns an `xr.Dataset`.
        measurements: anything else, as `ontogeny.measurement.Measurement`.
        posterior: batch size, device and pass size of the posteriors, and optionally nβ and γ.
        nbeta, localization: shorthand for the same.
        sampler: default `Calibrated(error=0.03, budget=...)`, with a budget of 30,000 per-sample gradients for each
            component at each checkpoint. Networks with fewer than 250,000 weights get √(250,000 / weights) times that.
            With fewer than 10,000 weights the error is 0.02, and the budget 2.25 times as large, up to a million.
        seed: root of the seed tree.
        store: folder for the results. Each is stored under a fingerprint of everything that determines it: weights,
            data, settings, component, your own code that it calls, and library versions. A killed measurement resumes
            when it is started again, and ends with the same numbers. Only what has changed is measured again. Several
            processes may share a store.
        executor: runs the jobs: `execution.Serial()`, `execution.Processes(n)`, `execution.Ray()`, or one part of them,
            `execution.Shard(2, 4)`; default one process per core. The numbers are the same, bit for bit.
        steps: checkpoints to measure; default all.
        progress: a `Progress`, or True for a bar in the terminal.
        num_samples: n of `data`, if the data have no length. For `datasets` use `Samples(each, num_samples)`.

    Returns:
        A trajectory: `loss`, `loss_sem` (step, dataset); over (step, component, dataset) `llc` with `llc_mcse`,
        `llc_complexity`, `llc_descent`, `llc_withheld` and their errors, `llc_rhat`, `llc_ess`, `llc_outcome`,
        `llc_gradients` (see `Estimate`); `llc_trace` and `llc_warmup_trace`, thinned, with dimensions chain and draw as
        well; `llc_nbeta` and `llc_localization` (step), equal at every step; the results of other measurements.
        Attributes hold the settings, and under `choice` how nβ and γ were chosen (JSON).
        `tokens` (step) are those that training had seen, where the run knows them; the attribute `missing` has the
        steps that the run lacks, with the reason of each (JSON).
        If training diverged, `training_diverged` (step) is the step at which it did, equal at every step.

    Raises:
        InvalidArgument: for a component, step or dataset that does not exist or fit. Numerical trouble is not an error:
            see `llc_outcome`.
        CorruptFile: for a damaged checkpoint or stored result, named in the message. Earlier results are kept.
        OtherShards: from a `Shard` that has done its own jobs, while others are left.
        Exception: the first error of a job, after all others have run; `execution.failed_jobs` lists them all. Started
            again with the same store, only those that failed run.
    """
    network, place = as_run(run, model_fn), as_store(store)
    wanted, named = steps_of(run, steps), datasets_of(data, num_samples, datasets)
    restrictions, size = _restrictions(network, wanted[0], [WHOLE] if components is None else names_of(components))
    check_base(network, wanted[0])
    reporter, keys, seed = as_progress(progress), Keys(), arguments.whole_number("seed", seed, None)
    common = {"store": place, "executor": checked_executor(executor), "progress": reporter, "keys": keys}
    others = [*([Behaviour(behaviour)] if behaviour else []), *measurements]
    asked: list[Measurement] = [Losses(named, loss_fn, seed=seed), *others]
    choice: Choice | None = None
    with network.checkpoints.visiting([]):  # what was fetched for the choice is there for the measurement
        if restrictions and behaviour:  # what it returns is refused now, and not after the coefficients
            measure_cells(network, wanted[:1], [Behaviour(behaviour)], **{**common, "executor": Serial()})
        if restrictions:
            config = _posterior(posterior, nbeta, localization)
            chosen = curve_sampler(size) if sampler is None else as_sampler(sampler)
            budget: int = getattr(chosen, "budget", None) or curve_budget(size)
            if config.nbeta is not None and config.localization is not None and not isinstance(chosen, Calibrated):
                choice = Choice(
                    config.nbeta, config.localization
                )  # both values are given, and a mass would not be used
            else:
                whole: dict[str, Any] = common | {"executor": undivided(executor)}
                choice = choose(network, named[MAIN], loss_fn, config, budget=budget, seed=seed, **whole)
            config = config.model_copy(update={"nbeta": choice.nbeta, "localization": choice.localization})
            asked.insert(1, LLC(named, loss_fn, config, chosen, restrictions, choice.masses, choice.largest, seed))
        found = measure_cells(network, wanted, asked, **common)
    if choice is not None:
        # As variables, because `xr.concat` keeps only the attributes of the first run.
        along = xr.ones_like(found["step"], dtype=float).reset_coords(drop=True)
        found = found.assign(llc_nbeta=choice.nbeta * along, llc_localization=choice.localization * along)
    if choice is not None and choice.trials is not None:
        found.attrs["choice"] = json.dumps(choice.trials.to_dict())
    return _described(found, run)


def _described(found: xr.Dataset, run: Checkpoints) -> xr.Dataset:
    """Add what the run says of itself: the tokens seen by each step, and the steps that are missing."""
    if run.missing:
        found.attrs["missing"] = json.dumps({str(step): why for step, why in run.missing.items()})
    steps = found["step"].values.tolist()
    if set(steps) <= run.tokens.keys():
        found = found.assign(tokens=("step", [float(run.tokens[step]) for step in steps]))
    return found


def choice_of(trajectory: xr.Dataset) -> xr.Dataset | None:
    """How nβ and γ of a trajectory were chosen, for `reports.fig_choice`; None if they were given.

    For joined runs it is usually that of the first, whose attributes `xr.concat` keeps.
    """
    kept = trajectory.attrs.get("choice")
    return xr.Dataset.from_dict(json.loads(kept)) if isinstance(kept, str) else None


def _posterior(config: PosteriorConfig | None, nbeta: float | None, localization: float | None) -> PosteriorConfig:
    given = {name: value for name, value in (("nbeta", nbeta), ("localization", localization)) if value is not None}
    return PosteriorConfig.model_validate((config or PosteriorConfig()).model_dump() | given)


def curve_sampler(num_parameters: int) -> Calibrated:
    """The default sampler along a training run, for a network of this size."""
    return Calibrated(error=_curve_error(num_parameters), budget=curve_budget(num_parameters))


def curve_budget(num_parameters: int) -> int:
    """The budget of that sampler, in per-sample gradients."""
    smaller = math.sqrt(max(_LARGE / num_parameters, 1.0))
    return int(min(BUDGET * smaller * (ERROR / _curve_error(num_parameters)) ** 2, _MOST))


def _curve_error(num_parameters: int) -> float:
    return SMALL_ERROR if num_parameters < _SMALL else ERROR


def _restrictions(network: Run, step: int, components: Sequence[str]) -> tuple[dict[str, Restriction | None], int]:
    """The restriction of each component, which holds for all checkpoints, and the number of weights.

    A misspelt component raises here, before anything is measured.
    """
    with network.bare(step) as model:
        shapes = shapes_of(model)
        parts = {} if set(components) <= {WHOLE} else components_of(model)
    found = {name: None if name == WHOLE else matching(name, parts, shapes) for name in components}
    return found, sum(math.prod(shape) for shape in shapes.values())
