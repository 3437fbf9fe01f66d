"""Susceptibilities of every component to changes of the data, with pure weight noise of the same radius as control."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import xarray as xr
from torch import nn

from ontogeny.core.errors import InvalidArgument
from ontogeny.core.losses import LossFn
from ontogeny.core.outcome import Outcome
from ontogeny.core.protocols import Progress
from ontogeny.core.restriction import Restriction
from ontogeny.core.samples import Samples
from ontogeny.core.seeds import derive
from ontogeny.estimators import cross_llc, llc, susceptibilities, susceptibility
from ontogeny.estimators.covariances import enough_draws
from ontogeny.estimators.quantity import at_center, mean_of, per_sample
from ontogeny.measurement.protocol import Cell
from ontogeny.sampling import Calibrated, LocalPosterior, PosteriorConfig, Sampler, sample, weight_noise
from ontogeny.sampling.noise_control import radius_of

_TOKENS = "tokens"


@dataclass(frozen=True)
class Responses:
    """Susceptibilities of components to datasets and to tokens, with the nβ = 0 control: a `Measurement`.

    Each component's posterior is sampled on `data`, recording the losses on all probes. In the control, the component's
    weights are perturbed isotropically, to the same root mean square distance from w*. What the control shows as well
    is geometry of the weights, not of the loss.

    Results over `component` and `perturbation` (all probes but the base): `susceptibility`, `mcse`, and for the control
    `susceptibility_noise`, `mcse_noise`. Over `component` and `probe`: `rise`, the mean rise of the loss above that at
    w*, `rise_mcse`, `cross_llc`, the corrected cross-coefficient (`ontogeny.cross_llc`), `cross_llc_mcse`, and the same
    for the control. Over `component`: `radius`, the distance, and `outcome`, the worst
    verdict on the draws and on the susceptibilities. With `tokens`, over `component` and `token`:
    `token_susceptibility`, `token_mcse`, NaN where the draws are too few for their errors.

    Args:
        data, loss_fn: as for `LocalPosterior`.
        probes: name -> samples. The first is the base: fresh samples from the distribution of `data`. The others are
            the datasets q' of `ontogeny.susceptibility`.
        components: name -> restriction.
        posterior: nβ, γ and the other settings of the posterior.
        sampler: default `Calibrated()`.
        tokens: samples whose per-token losses are recorded too.
        seed: root of the seed tree.

    Raises:
        InvalidArgument: for fewer than two probes.

    When not to trust it: where `outcome` is not converged. Rows of different components differ by an unknown factor.

    References:
        Baker et al., "Structural Inference: Interpreting Small Language Models with Susceptibilities", 2504.18274.
    """

    data: Any
    loss_fn: LossFn
    probes: Mapping[str, Any]
    components: Mapping[str, Restriction]
    posterior: PosteriorConfig = field(default_factory=PosteriorConfig)
    sampler: Sampler = field(default_factory=Calibrated)
    tokens: Any = None
    seed: int = 0
    name: str = "responses"

    def __post_init__(self) -> None:
        if len(self.probes) < 2:
            raise InvalidArgument(
                "probes",
                expected="a base and at least one dataset",
                found=str(list(self.probes)),
                instead='{"mixed": …, "code": …}',
            )

    def cells(self) -> Sequence[Cell]:
        common = (self.data, self.loss_fn, self.probes, self.tokens, self.posterior, self.sampler)
        return [
            Cell(
                f"responses of {name}",
                partial(self._at, name),
                (*common, restriction.name, dict(restriction.indices), derive(self.seed, name)),
                {"component": name},
                weight=100.0,
            )
            for name, restriction in self.components.items()
        ]

    def _at(self, component: str, model: nn.Module, step: int, progress: Progress) -> xr.Dataset:
        posterior = LocalPosterior(
            model,
            self.data,
            self.loss_fn,
            restriction=self.components[component],
            **self.posterior.options(),
        )
        tokens = {} if self.tokens is None else {_TOKENS: Samples(self.tokens, per_token=True)}
        seed = derive(self.seed, component, step)
        draws = sample(posterior, self.sampler, observables={**self.probes, **tokens}, seed=seed, progress=progress)
        radius = radius_of(draws)
        names = list(self.probes)
        found, outcomes = _answers(draws, names, posterior.nbeta)
        if self.tokens is not None:
            found |= _of_tokens(draws, names[0])
            outcomes += [] if enough_draws(draws) else [Outcome.TOO_FEW_DRAWS]
        gravest = max([llc(draws).sampled, *outcomes], key=list(Outcome).index)
        found |= {"radius": radius, "outcome": np.array(gravest.value, dtype="U16")}
        control = {"observables": self.probes, "seed": derive(seed, "noise"), "progress": progress}
        # draws without a chain that is left have no displacement, and no answers
        noise = weight_noise(posterior, draws, **control) if 0 < radius < math.inf else draws
        found |= {f"{name}_noise": value for name, value in _answers(noise, names, posterior.nbeta)[0].items()}
        return xr.Dataset(found, coords={"perturbation": names[1:], "probe": names})


def _of_tokens(draws: xr.DataTree, base: str) -> dict[str, Any]:
    """Susceptibilities to single tokens; NaN where the draws are too few for their errors."""
    if enough_draws(draws):
        each = susceptibilities(draws, _TOKENS, base)
        return {f"token_{name}": ("token", each[name].values) for name in ("susceptibility", "mcse")}
    unknown = np.full(len(at_center(draws, _TOKENS)), np.nan)
    return {f"token_{name}": ("token", unknown) for name in ("susceptibility", "mcse")}


def _answers(draws: xr.DataTree, names: list[str], nbeta: float) -> tuple[dict[str, Any], list[Any]]:
    """Susceptibilities to all probes but the first, rises and cross-coefficients on each, and their verdicts."""
    moved = [susceptibility(draws, name, names[0]) for name in names[1:]]
    rises = [mean_of(name, (per_sample(draws, name) - at_center(draws, name)).mean(axis=-1), draws) for name in names]
    crossed = [cross_llc(draws, name, nbeta=nbeta) for name in names]
    found = {
        "susceptibility": ("perturbation", [each.value for each in moved]),
        "mcse": ("perturbation", [each.error for each in moved]),
        "rise": ("probe", [each.value for each in rises]),
        "rise_mcse": ("probe", [each.error for each in rises]),
        "cross_llc": ("probe", [each.value for each in crossed]),
        "cross_llc_mcse": ("probe", [each.error for each in crossed]),
    }
    return found, [each.outcome for each in (*moved, *crossed)]
