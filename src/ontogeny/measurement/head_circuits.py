"""What heads compute and what reads what, at a checkpoint: composition, copying, and ablation on repeats."""

from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
import xarray as xr
from jaxtyping import Int
from torch import Tensor, nn

from ontogeny.circuits import composition, copying_score, token_effects
from ontogeny.core.errors import InvalidArgument
from ontogeny.models import heads

_INPUTS = ("Q", "K", "V")
_ROTATIONS = 99  # of which only the p-values make use


@dataclass(frozen=True)
class HeadCircuits:
    """A behaviour for `measure`: the circuits of all heads, over `head` and over (`sender`, `receiver`).

    - `composition` (input, sender, receiver): score of what a head writes in what a later one reads, over its baseline
      1/√d_model; NaN where the receiver is not in a later layer. See `circuits.composition`.
    - `copying_eigenvalues` (head): Σλ / Σ|λ| of the full OV circuit. See `circuits.copying_score`.
    - `repeat_rise` (head): nats by which the loss on the second half of repeated sequences rises with the head at zero.

    Args:
        repeats: sequences whose second half repeats the first.

    Raises:
        InvalidArgument: for sequences of odd length, and as `circuits.composition` for a network of one layer.
    """

    repeats: Int[Tensor, "sequence position"]

    def __post_init__(self) -> None:
        length = self.repeats.shape[-1]
        if length % 2 or not torch.equal(*self.repeats.chunk(2, dim=-1)):
            raise InvalidArgument(
                "repeats",
                expected="sequences whose second half is their first",
                found=f"shape {tuple(self.repeats.shape)}",
                instead="torch.cat([half, half], dim=1)",
            )

    def __call__(self, model: nn.Module) -> xr.Dataset:
        found = heads(model)
        names, places = [head.name for head in found], [(head.layer, head.index) for head in found]
        device = next(model.parameters()).device
        effects = token_effects(model, self.repeats.to(device), names)["effect"]
        period = self.repeats.shape[1] // 2
        rise = effects.sel(position=slice(period + 1, None)).mean(("sequence", "position"))
        between = np.stack([_table(composition(model, each, count=_ROTATIONS), places) for each in _INPUTS])
        data = {
            "composition": (("input", "sender", "receiver"), between),
            "copying_eigenvalues": ("head", [copying_score(model, name) for name in names]),
            "repeat_rise": ("head", rise.values),
        }
        return xr.Dataset(data, {"input": list(_INPUTS), "sender": names, "receiver": names, "head": names})


def _table(scores: xr.DataArray, places: list[tuple[int, int]]) -> np.ndarray:
    """Scores over their baseline, from head to head."""
    pairs = [
        scores.sel(layer_from=one, head_from=first, layer_to=other, head_to=second).item()
        for (one, first), (other, second) in product(places, places)
    ]
    return np.array(pairs).reshape(len(places), len(places)) / scores.attrs["baseline"]
