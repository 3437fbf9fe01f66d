"""How far the weights of a network can be compressed before its loss rises: a second witness of complexity.

Weights are rounded, or their matrices cut to lower ranks, ever more coarsely, up to the first step at which the loss
rises by more than is tolerated (after "Compressibility measures complexity", 2510.12077, in our form).
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ontogeny.core.losses import LossFn

_GRID = 96


@torch.no_grad()
def critical_bits(model: nn.Module, rows: tuple[Tensor, ...], loss_fn: LossFn, tolerated: float) -> float:
    """Bits a weight at the coarsest rounding that is tolerated: log₂(1 + 2/Δ).

    Every tensor is rounded to multiples of Δ max|w|, with Δ from 2⁻¹² to 1 evenly in its logarithm.

    Args:
        model: left as it was.
        rows: samples of the loss.
        loss_fn: per-sample losses.
        tolerated: rise of the mean loss, in nats.
    """

    def rounded(weight: Float[Tensor, "..."], delta: float) -> Tensor:
        unit = delta * weight.abs().max().clamp(min=1e-30)
        return (weight / unit).round() * unit

    grid = torch.logspace(-12, 0, _GRID, base=2.0, dtype=torch.float64).tolist()
    delta = _coarsest(model, rows, loss_fn, tolerated, rounded, grid)
    return float(torch.log2(torch.tensor(1 + 2 / delta)))


@torch.no_grad()
def critical_rank(model: nn.Module, rows: tuple[Tensor, ...], loss_fn: LossFn, tolerated: float) -> int:
    """The ranks of all matrices together at the coarsest cut that is tolerated.

    Every matrix keeps the singular values above a share τ of its largest, with τ from 10⁻³ to 1 evenly in its
    logarithm. Vectors are kept.

    Args:
        model, rows, loss_fn, tolerated: as for `critical_bits`.
    """

    def cut(weight: Tensor, share: float) -> Tensor:
        if weight.ndim != 2:
            return weight
        left, values, right = torch.linalg.svd(weight, full_matrices=False)
        return left @ torch.diag(values * (values >= share * values[0])) @ right

    grid = torch.logspace(-3, 0, _GRID, dtype=torch.float64).tolist()
    share = _coarsest(model, rows, loss_fn, tolerated, cut, grid)
    spectra = [torch.linalg.svdvals(weight) for weight in model.parameters() if weight.ndim == 2]
    return sum(int((values >= share * values[0]).sum()) for values in spectra)


def _coarsest(
    model: nn.Module,
    rows: tuple[Tensor, ...],
    loss_fn: LossFn,
    tolerated: float,
    compress: Callable[[Tensor, float], Tensor],
    grid: list[float],
) -> float:
    """The last value of the grid before the loss rises by more than is tolerated; the first if it does at once."""
    before = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    loss, last = float(loss_fn(model, rows).double().mean()), grid[0]
    try:
        for value in grid:
            for name, weight in model.named_parameters():
                weight.copy_(compress(before[name], value))
            if not float(loss_fn(model, rows).double().mean()) - loss <= tolerated:
                break
            last = value
    finally:
        for name, weight in model.named_parameters():
            weight.copy_(before[name])
    return last
