"""Morse-Bott points: where a loss is least on a manifold and curves across it, λ is half the rank of its Hessian."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call, grad, vjp, vmap

from ontogeny.core.errors import InvalidArgument
from ontogeny.core.losses import LossFn

# Relative to the largest eigenvalue: curvature, and what rounding in float64 leaves of none. Between them is neither.
_CURVED, _FLAT = 1e-7, 1e-11
_ROWS = 64  # of the Hessian, at a time


class _Loss(nn.Module):
    """A module whose forward pass is the mean loss of another, so that weights can be swapped inside it."""

    def __init__(self, model: nn.Module, loss: LossFn) -> None:
        super().__init__()
        self.model, self.loss = model, loss

    def forward(self, batch: Any) -> Tensor:
        return self.loss(self.model, batch).mean()


class FlatLoss:
    """The mean loss over all data, in float64, as a function of one flat vector of all weights.

    Args:
        model: gives w* and the structure; it is copied.
        data: a tensor or a tuple of tensors; floating ones are widened.
        loss: of each sample.
    """

    def __init__(self, model: nn.Module, data: Any, loss: LossFn) -> None:
        self._names = [f"model.{name}" for name, _ in model.named_parameters()]
        weights = [parameter.detach().double() for parameter in model.parameters()]
        self._shapes = [weight.shape for weight in weights]
        self._module = _Loss(model, loss)
        self._batch = tuple(_wide(part) for part in data) if isinstance(data, tuple) else _wide(data)
        self.center: Float[Tensor, " parameters"] = torch.cat([weight.flatten() for weight in weights])

    def __call__(self, position: Float[Tensor, " parameters"]) -> Float[Tensor, ""]:
        parts = position.split([shape.numel() for shape in self._shapes])
        weights = {name: part.view(shape) for name, part, shape in zip(self._names, parts, self._shapes, strict=True)}
        return functional_call(self._module, weights, (self._batch,))

    def hessian(self, position: Float[Tensor, " parameters"]) -> Float[Tensor, "parameters parameters"]:
        """All second derivatives, a few rows at a time."""
        row = vjp(grad(self), position)[1]
        basis = torch.eye(len(position), dtype=torch.float64)
        return torch.cat([vmap(row)(some)[0] for some in basis.split(_ROWS)])


def hessian_rank(loss: FlatLoss) -> int:
    """Rank of the Hessian at w*: twice λ, if the loss is Morse-Bott there.

    That it is so is the caller's to know: the minimum must be a manifold of as many dimensions as the Hessian has
    zeros (of symmetries, say, or of unused weights).

    Raises:
        InvalidArgument: unless every eigenvalue is clearly positive or clearly zero, as at a minimum.
    """
    eigenvalues = torch.linalg.eigvalsh(loss.hessian(loss.center))
    relative = eigenvalues / eigenvalues.abs().max()
    doubtful = relative[(relative < _CURVED) & (relative.abs() > _FLAT)]
    if len(doubtful):
        raise InvalidArgument(
            "target",
            expected=f"eigenvalues that are above {_CURVED:g} or within ±{_FLAT:g} of the largest",
            found=f"{doubtful.tolist()[:5]} of it",
            instead="a genuine minimum, and one without nearly flat directions",
        )
    return int((relative > _CURVED).sum())


def _wide(part: Tensor) -> Tensor:
    return part.double() if part.is_floating_point() else part
