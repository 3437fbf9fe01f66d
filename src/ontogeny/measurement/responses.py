"""How every part of a network answers to changes of the data, beside pure weight noise of the same radius."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from torch import nn

from ontogeny.core.errors import InvalidArgument
from ontogeny.core.fingerprint import fingerprint
from ontogeny.core.losses import LossFn
from ontogeny.core.protocols import Progress
from ontogeny.core.restriction import matching, shapes_of
from ontogeny.core.samples import Samples
from ontogeny.core.seeds import derive
from ontogeny.estimators import llc, susceptibilities, susceptibility
from ontogeny.estimators.quantity import at_center, mean_of, per_sample
from ontogeny.measurement.trajectory import SamplerConfig
from ontogeny.models import components as components_of
from ontogeny.sampling import SGLD, LocalPosterior, as_progress, sample
from ontogeny.stores import read_tree, write_tree

_TOKENS = "tokens"


def measure_responses(
    model: nn.Module,
    data: Any,
    loss_fn: LossFn,
    probes: Mapping[str, Any],
    components: Sequence[str],
    *,
    tokens: Any = None,
    sampler: SamplerConfig | None = None,
    store: str | Path | None = None,
    progress: Progress | bool = False,
) -> xr.Dataset:
    """Susceptibilities of components to datasets and to tokens at one set of weights, with the nβ = 0 control.

    Each component's posterior is sampled on `data` with the losses on all probes recorded. Beside it stands the
    control: the component's weights moved at random, every direction alike, as far as its draws lie from w* (root mean
    square). What the control shows as well is geometry of the weights and not of the loss.

    Args:
        model, data, loss_fn: as for `LocalPosterior`.
        probes: name -> samples. The first is the base, samples of the same kind as `data` and not of it; the others
            are the datasets q' of `ontogeny.susceptibility`.
        components: patterns for `restrict`.
        tokens: samples whose per-token losses are recorded too.
        sampler: settings; at least 80 draws over all chains.
        store: a folder where each component's answers go as they are made; what is there is not measured again.
        progress: a `Progress`, or True for a bar in the terminal.

    Returns:
        Dataset over `component` and `dataset` (the probes but the base): `susceptibility`, `mcse`, and those of the
        control, `susceptibility_noise`, `mcse_noise`; over `component` and `probe`: `rise`, the mean rise of the loss
        above that at w*, `rise_mcse`, and those of the control; over `component`: `radius`, the distance, and
        `outcome`; with `tokens`, over `component` and `token`: `token_susceptibility`, `token_mcse`.

    Raises:
        InvalidArgument: for fewer than two probes, or a component that does not exist.

    When not to trust it: where `outcome` is not converged. Rows of different components differ by a factor that
    samples do not tell.

    References:
        Baker et al., "Structural Inference: Interpreting Small Language Models with Susceptibilities", 2504.18274.
    """
    if len(probes) < 2:
        raise InvalidArgument(
            "probes", expected="a base and at least one dataset", found=str(list(probes)), instead='{"mixed": …, …}'
        )
    config = sampler or SamplerConfig()
    settings = {"nbeta": config.nbeta, "localization": config.localization, "batch_size": config.batch_size}
    whole = LocalPosterior(model, data, loss_fn, **settings)
    parts, shapes = components_of(model), shapes_of(model)
    observables = dict(probes) | ({} if tokens is None else {_TOKENS: Samples(tokens, per_token=True)})
    restrictions = [matching(name, parts, shapes) for name in components]
    reporter = as_progress(progress)
    reporter.start("responses", len(restrictions))
    asked = (model, data, loss_fn, probes, tokens, config)
    folder = Path(store) / fingerprint("responses, format 1", asked)[:24] if store else None
    rows = []
    for restriction in restrictions:
        place = folder / f"part-{fingerprint(restriction.name)[:12]}.zarr" if folder else None
        if place and place.exists():
            rows.append(read_tree(place).to_dataset())
        else:
            posterior = whole.restricted(restriction)
            rows.append(_row(posterior, observables, config, derive(config.seed, restriction.name)))
            if place:
                write_tree(place, rows[-1])
        reporter.advance("responses", note=restriction.name)
    reporter.finish("responses")
    return xr.concat(rows, "component").assign_coords(component=list(components))


def _row(posterior: LocalPosterior, observables: Mapping[str, Any], config: SamplerConfig, seed: int) -> xr.Dataset:
    lengths = {"num_chains": config.num_chains, "num_draws": config.num_draws}
    draws = sample(
        posterior,
        SGLD(config.step_size),
        num_warmup=config.num_warmup,
        thinning=config.thinning,
        observables=observables,
        control_variate=config.control_variate,
        seed=seed,
        **lengths,
    )
    radius = math.sqrt(float((draws["sample_stats"]["distance"] ** 2).mean()))
    names = [name for name in observables if name != _TOKENS]
    found = _answers(draws, names) | {"radius": radius, "outcome": np.array(llc(draws).outcome.value, dtype="U16")}
    if _TOKENS in observables:
        each = susceptibilities(draws, _TOKENS, names[0])
        found |= {f"token_{name}": ("token", each[name].values) for name in ("susceptibility", "mcse")}
    noise = sample(
        *_noise(posterior, radius),
        num_warmup=1,  # the first stands at w*
        observables={name: observables[name] for name in names},
        seed=derive(seed, "noise"),
        **lengths,
    )
    found |= {f"{name}_noise": value for name, value in _answers(noise, names).items()}
    return xr.Dataset(found, coords={"dataset": names[1:], "probe": names})


def _noise(posterior: LocalPosterior, radius: float) -> tuple[LocalPosterior, SGLD]:
    """Independent Gaussian weights at this distance: at nβ = 0 and ε = 2/γ a step forgets where it came from."""
    variance = max(radius**2 / posterior.num_parameters, 1e-30)
    return posterior.at(nbeta=0.0, localization=2 / variance), SGLD(variance)


def _answers(draws: xr.DataTree, names: list[str]) -> dict[str, Any]:
    """Susceptibilities to all probes but the first, and the mean rise of the loss on each."""
    moved = [susceptibility(draws, name, names[0]) for name in names[1:]]
    rises = [mean_of(name, (per_sample(draws, name) - at_center(draws, name)).mean(axis=-1), draws) for name in names]
    return {
        "susceptibility": ("dataset", [each.value for each in moved]),
        "mcse": ("dataset", [each.error for each in moved]),
        "rise": ("probe", [each.value for each in rises]),
        "rise_mcse": ("probe", [each.error for each in rises]),
    }
