"""Which phase the posterior prefers: a loss gap against a gap of learning coefficients, and the free energies.

Chen, Lau, Mendel, Wei and Murfet (2310.06301); Carroll et al. (2501.17745).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float
from scipy.special import lambertw
from torch import nn

from ontogeny.core.losses import LossFn
from ontogeny.core.protocols import Progress
from ontogeny.core.seeds import derive
from ontogeny.estimators import llc
from ontogeny.measurement import Cell
from ontogeny.sampling import LocalPosterior, PosteriorConfig, Sampler


def crossover(complexity_gap: float, loss_gap: float) -> float:
    """The n > e at which n/ln n = Δλ/ΔL, from which on the more complex phase of the lower loss has more mass.

    Phases of free energy n L + λ ln n are equal there. n/ln n is at least e, so that for a smaller ratio the more
    complex phase has more mass at every n: 0 is returned. So it is for a gap in complexity that is not positive. For a
    loss gap that is not positive it never has: infinity.

    Args:
        complexity_gap: Δλ = λ(dMMSE) − λ(ridge).
        loss_gap: ΔL = L(ridge) − L(dMMSE), in nats a sample.
    """
    if not np.isfinite([complexity_gap, loss_gap]).all():
        return float("nan")
    if loss_gap <= 0:
        return float("inf")
    ratio = complexity_gap / loss_gap
    if ratio < np.e:
        return 0.0
    return float(-ratio * lambertw(-1 / ratio, -1).real)


@dataclass(frozen=True)
class Ladder:
    """A measurement: λ̂ and the mean loss at several nβ, from which a free energy is integrated.

    Args:
        data, loss_fn: that define the posterior.
        nbetas: increasing.
        posterior: γ and the other settings; its nβ is not used.
        sampler: of each.
        seed: root of the seed tree.
    """

    data: object
    loss_fn: LossFn
    nbetas: tuple[float, ...]
    posterior: PosteriorConfig
    sampler: Sampler
    seed: int
    name: str = "ladder"

    def cells(self) -> Sequence[Cell]:
        return [
            Cell(
                f"nβ {nbeta:g}",
                partial(self._at, nbeta),
                (self.data, self.loss_fn, nbeta, self.posterior, self.sampler, self.seed),
                {"nbeta": f"{nbeta:g}"},
                weight=60.0,
            )
            for nbeta in self.nbetas
        ]

    def _at(self, nbeta: float, model: nn.Module, step: int, progress: Progress) -> xr.Dataset:
        options = self.posterior.options() | {"nbeta": nbeta}
        posterior = LocalPosterior(model, self.data, self.loss_fn, **options)
        found = llc(self.sampler.draw(posterior, seed=derive(self.seed, f"{nbeta:g}"), progress=progress))
        with torch.no_grad():
            center = float(self.loss_fn(model, self.data).double().mean())
        told = {"ladder_value": found.value, "ladder_mcse": found.mcse, "center_loss": center}
        return xr.Dataset(told | {"ladder_outcome": np.array(found.sampled.value, dtype="U16")})


def free_energy(
    nbetas: Float[np.ndarray, " nbeta"], values: Float[np.ndarray, " nbeta"], center: float
) -> Float[np.ndarray, " nbeta"]:
    """F(n) = −ln ∫ exp(−n L(w)) φ(w) dw at each n of the ladder, φ the Gaussian of variance 1/γ around w*.

    By thermodynamic integration, F(n) = ∫₀ⁿ E_b[L] db = n L(w*) + ∫₀ⁿ λ̂(b) d ln b with λ̂(b) = b (E_b[L] − L(w*)). The
    integral is by the trapezoidal rule in ln b, and below the first b by λ̂ ∝ b, which is too little unless λ̂ is below
    1 there.

    When not to trust it: φ is another prior for another w*, so that masses compare neighbourhoods of equal size and no
    more; at small b chains must explore all of φ.

    Args:
        nbetas: b, increasing.
        values: λ̂(b).
        center: L(w*).
    """
    between = np.diff(np.log(nbetas)) * (values[1:] + values[:-1]) / 2
    return nbetas * center + values[0] + np.concatenate([[0.0], np.cumsum(between)])


def weighed(ladders: Sequence[xr.Dataset], labels: Sequence[str], phases: Sequence[str]) -> xr.Dataset:
    """Free energies of both phases of each diversity, and the log odds of the second phase against the first.

    Args:
        ladders: one for each label and phase, in this order.
        labels, phases: of each.

    Returns:
        `free_energy` and its Monte Carlo error, `ladder_value`, `ladder_outcome` (M, phase, nbeta); `log_odds` and its
        error (M, nbeta), which are positive where the second phase has more mass; `crossing` (M), the first n from
        which they stay positive, infinity if they end negative.
    """
    rows = []
    for label, phase, ladder in zip(labels, phases, ladders, strict=True):
        one = ladder.isel(step=0, drop=True)
        nbetas = one["nbeta"].values.astype(float)
        energy = free_energy(nbetas, one["ladder_value"].values, float(one["center_loss"].values.flat[0]))
        weight = np.gradient(np.log(nbetas))
        error = np.sqrt(np.cumsum((weight * one["ladder_mcse"].values) ** 2))
        found = {"free_energy": ("nbeta", energy), "free_energy_mcse": ("nbeta", error)}
        found |= {name: ("nbeta", one[name].values) for name in ("ladder_value", "ladder_outcome")}
        rows.append(xr.Dataset(found, {"nbeta": nbetas, "M": label, "phase": phase}))
    names = list(dict.fromkeys(phases))
    table = xr.concat(
        [xr.concat([row for row in rows if str(row["M"].values) == label], "phase") for label in dict.fromkeys(labels)],
        "M",
    )
    first, second = (table["free_energy"].sel(phase=name) for name in names)
    error = np.sqrt((table["free_energy_mcse"] ** 2).sum("phase"))
    odds = (first - second).drop_vars("phase", errors="ignore")
    crossing = [_crossing(table["nbeta"].values, row) for row in odds.transpose("M", "nbeta").values]
    return table.assign(log_odds=odds, log_odds_mcse=error, crossing=("M", crossing))


def _crossing(nbetas: np.ndarray, odds: np.ndarray) -> float:
    """Where log odds turn positive for good, interpolated in ln n."""
    negative = np.flatnonzero(odds <= 0)
    if not len(negative):
        return 0.0
    last = negative[-1]
    if last == len(odds) - 1:
        return float("inf")
    low, high = np.log(nbetas[last : last + 2])
    return float(np.exp(low + (high - low) * -odds[last] / (odds[last + 1] - odds[last])))
