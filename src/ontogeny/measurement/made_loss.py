"""Coefficients of a loss that is made from the network at each checkpoint, such as its distance from itself."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xarray as xr
from torch import nn

from ontogeny.core.losses import LossFn
from ontogeny.core.protocols import Progress
from ontogeny.core.seeds import derive
from ontogeny.estimators import llc
from ontogeny.measurement.protocol import Cell
from ontogeny.sampling import Calibrated, LocalPosterior, PosteriorConfig, Sampler, sample


@dataclass(frozen=True)
class MadeLoss:
    """The coefficient of `loss_of(network)` at each checkpoint: a `Measurement`.

    With K(w) = |f(x; w) - f(x; w*)|² for a loss, of which every checkpoint is a minimum, it is the coefficient of the
    network's own function, at saddles of the training loss too.

    Results: `complexity`, `complexity_mcse`, `withheld` and `outcome`.

    Args:
        loss_of: from the network at a checkpoint to a loss function.
        data: as for `LocalPosterior`.
        posterior: nβ, γ and the other settings of the posterior; default n / log n and 1.
        sampler: how it is sampled.
        seed: root of the seed tree.
        name: of the loss.
    """

    loss_of: Callable[[Any], LossFn]
    data: Any
    posterior: PosteriorConfig = field(default_factory=PosteriorConfig)
    sampler: Sampler = field(default_factory=Calibrated)
    seed: int = 0
    name: str = "own function"

    def cells(self) -> Sequence[Cell]:
        return [Cell("", self._at, (self.loss_of, self.data, self.posterior, self.sampler, self.seed), weight=100.0)]

    def _at(self, model: nn.Module, step: int, progress: Progress) -> xr.Dataset:
        posterior = LocalPosterior(model, self.data, self.loss_of(model), **self.posterior.options())
        found = llc(sample(posterior, self.sampler, seed=derive(self.seed, step), progress=progress))
        told = {name: getattr(found, name) for name in ("complexity", "complexity_mcse", "withheld")}
        return xr.Dataset(told | {"outcome": np.array(found.outcome.value, dtype="U16")})
