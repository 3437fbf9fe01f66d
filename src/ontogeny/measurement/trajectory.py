"""A training run measured at its checkpoints: coefficients and behaviour along `step`, resumably."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from pydantic import BaseModel, ConfigDict
from torch import nn

from ontogeny.core.draws import settings_of
from ontogeny.core.errors import InvalidArgument
from ontogeny.core.fingerprint import fingerprint
from ontogeny.core.losses import LossFn
from ontogeny.core.protocols import Progress
from ontogeny.core.restriction import Restriction, matching, shapes_of
from ontogeny.core.samples import Samples
from ontogeny.core.seeds import derive, generator
from ontogeny.estimators import llc
from ontogeny.models import components as components_of
from ontogeny.sampling import SGLD, LocalPosterior, as_progress, sample
from ontogeny.stores import Checkpoints, read_tree, write_tree

Behaviour = Callable[[nn.Module], xr.Dataset]
Restrictions = Mapping[str, Restriction | None]  # by component; None for the whole
WHOLE = "all"
MAIN = "data"
_FORMAT = 1  # raised whenever the content of a stored measurement changes


class SamplerConfig(BaseModel):
    """How the posterior is sampled at every checkpoint: one setting for all of them, or their values do not compare.

    Attributes:
        nbeta: n·β; None is n / log n.
        localization: γ; step_size: ε of SGLD; batch_size: samples a gradient (None: up to 256).
        control_variate: whether minibatch gradients are corrected by those at the checkpoint, for one pass over the
            data each (see `sample`).
        loss_samples: samples that the plain loss is evaluated on at each checkpoint, the same ones throughout.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    nbeta: float | None = None
    localization: float = 1.0
    step_size: float = 1e-4
    num_chains: int = 4
    num_draws: int = 100
    num_warmup: int = 100
    thinning: int = 1
    batch_size: int | None = None
    control_variate: bool = False
    loss_samples: int = 512
    seed: int = 0


@dataclass(frozen=True)
class _Plan:
    """Everything that a measurement at one checkpoint depends on, besides its weights."""

    model_fn: Callable[[], nn.Module]
    loss_fn: LossFn
    datasets: Mapping[str, Any]
    components: Sequence[str]
    behaviour: Behaviour | None
    sampler: SamplerConfig


def measure(
    run: Checkpoints,
    model_fn: Callable[[], nn.Module],
    data: Any,
    loss_fn: LossFn,
    *,
    components: Sequence[str] | None = None,
    datasets: Mapping[str, Any] | None = None,
    behaviour: Behaviour | None = None,
    sampler: SamplerConfig | None = None,
    store: str | Path | None = None,
    steps: Sequence[int] | None = None,
    progress: Progress | bool = False,
) -> xr.Dataset:
    """Learning coefficients, losses and behaviour at every checkpoint of a training run.

    Args:
        run: from `open_checkpoints`.
        model_fn: makes the module that the weights are loaded into.
        data: what the posterior is sampled on (see `Samples`); the dataset named "data".
        loss_fn: per-sample losses.
        components: parts of the network whose coefficient is measured, each a pattern for `restrict` such as "L0H3";
            default the whole, "all". An empty list measures no coefficient.
        datasets: further named datasets on which loss and coefficients are measured too; each multiplies the cost.
        behaviour: function of the model at a checkpoint that returns an `xr.Dataset` of anything else.
        sampler: one setting for all checkpoints.
        store: folder in which each checkpoint's measurement is kept, under a fingerprint of every input. Started
            again, a measurement that was killed goes on
            where it was, and ends with the same numbers; changed inputs are measured anew.
        steps: checkpoints to measure; default all.
        progress: a `Progress`, or True for a bar in the terminal.

    Returns:
        A trajectory: `loss`, `loss_sem` (step, dataset); `llc`, `llc_mcse`, `llc_rhat`, `llc_ess`, `llc_outcome`
            (step, component, dataset); `llc_trace` and
        `llc_warmup_trace` with chain and draw besides; what `behaviour` gave; the settings as attributes.

    Raises:
        InvalidArgument: for a component, step or dataset that does not exist or fit. Numerical trouble is an outcome
            in `llc_outcome`.
        CorruptFile: for a damaged checkpoint, named; what was measured before is kept.
    """
    plan = _plan(model_fn, data, loss_fn, components, datasets, behaviour, sampler)
    wanted = sorted(set(run.steps if steps is None else steps))
    if not wanted or not set(wanted) <= set(run.steps):
        found = ", ".join(str(step) for step in wanted if step not in run.steps)
        raise InvalidArgument("steps", expected="steps of this run (run.steps)", found=found or "none")
    restrictions = _restrictions(plan)  # a misspelt component is met here, before anything is measured
    folder = Path(store) / fingerprint(_FORMAT, vars(plan))[:24] if store else None
    reporter = as_progress(progress)
    reporter.start("measuring", len(wanted))
    measured = []
    for step in wanted:
        place = folder / f"step-{step:08d}-{run.checksum(step)[:12]}.zarr" if folder else None
        if place and place.exists():
            result = read_tree(place).to_dataset()
        else:
            result = _at_checkpoint(plan, restrictions, run, step)
            if place:
                write_tree(place, result)
        measured.append(result)
        reporter.advance("measuring", note=f"step {step}")
    reporter.finish("measuring")
    trajectory = xr.concat(measured, "step", data_vars="minimal", coords="minimal", compat="override", join="exact")
    # reference lines of a behaviour are the same at every checkpoint, and carry no step
    constant = [name for name in trajectory.data_vars if trajectory[name].attrs.get("constant")]
    trajectory = trajectory.assign({name: trajectory[name].isel(step=0, drop=True) for name in constant})
    return trajectory.assign_attrs(measured[0].attrs)


def forecast(run: Checkpoints, model_fn: Callable[[], nn.Module], data: Any, loss_fn: LossFn, **options: Any) -> float:
    """Seconds that `measure` with the same arguments will take here, from a few steps of sampling at the last
    checkpoint.

    The behaviour's own time is measured once; the number is good to some tens of per cent on a quiet machine.
    """
    num_checkpoints = len(options.get("steps") or run.steps)
    options = {name: options.get(name) for name in ("components", "datasets", "behaviour", "sampler")}
    plan = _plan(model_fn, data, loss_fn, **options)
    config, short = plan.sampler, plan.sampler.model_copy(update={"num_draws": 10, "num_warmup": 0, "thinning": 1})
    trial = replace(plan, sampler=short, components=[WHOLE], datasets={MAIN: plan.datasets[MAIN]})
    _at_checkpoint(trial, {WHOLE: None}, run, run.steps[-1])  # the first pass pays for lazy initialisation
    begun = time.perf_counter()
    _sample(_posterior(_model_at(trial, run, run.steps[-1]), trial, MAIN), trial, WHOLE, None, MAIN, 0)
    per_step = (time.perf_counter() - begun) / short.num_draws
    begun = time.perf_counter()
    if plan.behaviour:
        plan.behaviour(_model_at(plan, run, run.steps[-1]))
    steps = (config.num_draws + config.num_warmup) * config.thinning * len(plan.components) * len(plan.datasets)
    return num_checkpoints * (steps * per_step + time.perf_counter() - begun)


def _plan(
    model_fn: Callable[[], nn.Module],
    data: Any,
    loss_fn: LossFn,
    components: Sequence[str] | None,
    datasets: Mapping[str, Any] | None,
    behaviour: Behaviour | None,
    sampler: SamplerConfig | None,
) -> _Plan:
    if MAIN in (datasets or {}):
        raise InvalidArgument("datasets", expected=f"names other than that of the main one, {MAIN!r}", found=repr(MAIN))
    named = {MAIN: data} | dict(datasets or {})
    return _Plan(
        model_fn,
        loss_fn,
        named,
        [WHOLE] if components is None else list(components),
        behaviour,
        sampler or SamplerConfig(),
    )


def _at_checkpoint(plan: _Plan, restrictions: Restrictions, run: Checkpoints, step: int) -> xr.Dataset:
    model = _model_at(plan, run, step)
    losses = xr.concat([_loss(model, plan, name) for name in plan.datasets], "dataset")
    coefficients = _coefficients(model, plan, restrictions, step) if plan.components else xr.Dataset()
    behaviour = plan.behaviour(model) if plan.behaviour else xr.Dataset()
    merged = xr.merge([losses, coefficients, behaviour], combine_attrs="override")
    merged = merged.assign_coords(dataset=list(plan.datasets)).expand_dims(step=[step])
    return merged.assign_attrs(coefficients.attrs)


def _restrictions(plan: _Plan) -> Restrictions:
    """The restriction of each component; the same for all checkpoints, since they have one structure."""
    if set(plan.components) <= {WHOLE}:
        return dict.fromkeys(plan.components)
    model = plan.model_fn()
    parts, shapes = components_of(model), shapes_of(model)
    return {name: None if name == WHOLE else matching(name, parts, shapes) for name in plan.components}


def _coefficients(model: nn.Module, plan: _Plan, restrictions: Restrictions, step: int) -> xr.Dataset:
    columns = []
    for name in plan.datasets:
        whole = _posterior(model, plan, name)  # losses at w* are those of the network: taken once for all components
        column = [_sample(whole, plan, component, part, name, step) for component, part in restrictions.items()]
        columns.append(xr.concat(column, "component", combine_attrs="override"))
    found = xr.concat(columns, "dataset", combine_attrs="override").assign_coords(component=list(plan.components))
    return found.transpose("component", "dataset", ...)


def _model_at(plan: _Plan, run: Checkpoints, step: int) -> nn.Module:
    model = plan.model_fn()
    try:
        model.load_state_dict(run.load(step))
    except RuntimeError as error:
        found = str(error).splitlines()[-1].strip()
        raise InvalidArgument(
            "model_fn", expected=f"a module that the weights of step {step} fit", found=found
        ) from error
    return model.eval()


def _loss(model: nn.Module, plan: _Plan, name: str) -> xr.Dataset:
    samples = Samples(plan.datasets[name])
    posterior = LocalPosterior(model, plan.datasets[name], plan.loss_fn, nbeta=1.0)
    chosen = torch.randperm(samples.stored, generator=generator(plan.sampler.seed, "loss"))[: plan.sampler.loss_samples]
    losses = torch.cat([posterior.losses(posterior.center, samples, part) for part in chosen.split(64)]).double()
    sem = losses.std() / len(losses) ** 0.5
    return xr.Dataset({"loss": float(losses.mean()), "loss_sem": float(sem)})


def _posterior(model: nn.Module, plan: _Plan, name: str) -> LocalPosterior:
    config = plan.sampler
    return LocalPosterior(
        model,
        plan.datasets[name],
        plan.loss_fn,
        config.nbeta,
        config.localization,
        batch_size=config.batch_size,
    )


def _sample(
    whole: LocalPosterior, plan: _Plan, component: str, restriction: Restriction | None, name: str, step: int
) -> xr.Dataset:
    config = plan.sampler
    posterior = whole if restriction is None else whole.restricted(restriction)
    draws = sample(
        posterior,
        SGLD(config.step_size),
        num_chains=config.num_chains,
        num_draws=config.num_draws,
        num_warmup=config.num_warmup,
        thinning=config.thinning,
        control_variate=config.control_variate,
        seed=derive(config.seed, component, name, step),
    )
    estimate = llc(draws)
    found = posterior.nbeta * draws["posterior"]["loss_difference"].astype(np.float64)
    trace = found - (found.mean() - estimate.value)  # less what steps and minibatches add
    variables = {
        "llc": estimate.value,
        "llc_mcse": estimate.mcse,
        "llc_rhat": estimate.rhat,
        "llc_ess": estimate.ess,
        "llc_outcome": np.array(estimate.outcome.value, dtype="U16"),
        "llc_trace": trace,
    }
    if config.num_warmup:
        warmup = posterior.nbeta * draws["warmup_posterior"]["loss_difference"]
        variables["llc_warmup_trace"] = warmup.rename(draw="warmup_draw")
    # of the seed tree the root is told, from which every checkpoint's own seed follows
    return xr.Dataset(variables, attrs={"settings": replace(settings_of(draws), seed=config.seed).to_json()})
