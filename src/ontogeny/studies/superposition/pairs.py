"""Pairs of features that go together or exclude each other, and the angles between their columns."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from ontogeny.core.seeds import generator
from ontogeny.stores import Checkpoints
from ontogeny.testing.superposition import Autoencoder

_SCORED = 20_000  # inputs on which networks are compared
KINDS = ("together", "exclusive", "independent")


@dataclass(frozen=True)
class PairedFeatures:
    """A task: features 2i and 2i + 1 are a pair, each on with probability `density`, and then U[0, 1].

    Both of a pair are on at once (`together`), at most one of them (`exclusive`), or each by itself (`independent`).
    Samples are (x, 1), with equal importances.
    """

    kind: str
    pairs: int
    density: float

    def sample(self, num_samples: int, seed: int) -> tuple[Tensor, Tensor]:
        source, size = generator(seed, "pairs"), (num_samples, self.pairs)
        first, second = torch.rand((2, *size), generator=source)
        on = first < self.density
        other = {
            "together": on,
            "exclusive": (first >= self.density) & (first < 2 * self.density),
            "independent": second < self.density,
        }[self.kind]
        x = torch.rand((num_samples, 2 * self.pairs), generator=source)
        x = x * torch.stack([on, other], dim=-1).flatten(1)
        return x, torch.ones_like(x)


def angles(trained: Sequence[Checkpoints], tasks: Sequence[PairedFeatures], tries: int) -> xr.Dataset:
    """Cosines between the columns of all features at the end, of the best of every `tries` networks of a task.

    Returns:
        `cosine` (kind, network, feature, other), NaN on the diagonal; `W` (kind, network, hidden, feature).
    """
    weights, losses = [], []
    for one, task in zip(trained, tasks, strict=True):
        end = one.load(one.steps[-1])
        x, _ = task.sample(_SCORED, 0)
        with torch.no_grad():
            losses.append(float((x - Autoencoder(end["W"], end["b"])(x)).square().sum(1).mean()))
        weights.append(end["W"])
    best = np.reshape(losses, (-1, tries)).argmin(1) + tries * np.arange(len(losses) // tries)
    kept = torch.stack([weights[place] for place in best])
    columns = torch.nn.functional.normalize(kept, dim=1)
    cosine = columns.transpose(1, 2) @ columns
    cosine.diagonal(dim1=1, dim2=2).fill_(torch.nan)
    return xr.Dataset(
        {
            "cosine": (("kind", "network", "feature", "other"), cosine.unflatten(0, (len(KINDS), -1)).numpy()),
            "W": (("kind", "network", "hidden", "feature"), kept.unflatten(0, (len(KINDS), -1)).numpy()),
        },
        {"kind": list(KINDS)},
    )


def of_pairs(table: xr.Dataset, kind: str, partner: np.ndarray | None = None) -> np.ndarray:
    """The cosine of each pair, over (network, pair); with `partner` (network, feature), of other pairs."""
    cosine = table["cosine"].sel(kind=kind).transpose("network", "feature", "other").values
    count, features = cosine.shape[:2]
    order = np.tile(np.arange(features), (count, 1)) if partner is None else partner
    return np.stack([own[places[::2], places[1::2]] for own, places in zip(cosine, order, strict=True)])
