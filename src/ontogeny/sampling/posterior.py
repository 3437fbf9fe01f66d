"""The one posterior: temperature, localisation, restriction and data enter here, and never in a kernel."""

import copy
import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value, vmap

from ontogeny.core.errors import InvalidArgument
from ontogeny.core.losses import LossFn, per_sample
from ontogeny.core.restriction import Restriction, restrict
from ontogeny.core.samples import Samples


class LocalPosterior:
    """The localised, tempered posterior around a trained network's weights w*.

    p(w) ∝ exp(-nβ L(w) - (γ/2) |w - w*|²), L the mean loss over the data, w the free parameters as one flat vector of
    length P.

    Args:
        model: any module; its present weights are the center w*. It is not changed: a copy of its structure is run in
            eval
            mode (dropout off, batch-norm statistics frozen). Weights below 32 bits get float32 copies.
        data: samples (see `Samples`): tensors, a map-style dataset, or an iterable of batches with `num_samples`.
        loss_fn: `loss_fn(model, batch)` -> losses `(batch,)` or `(batch, position)`, unreduced.
        nbeta: n·β; default n / log n (Lau et al., 2308.12108). Use the number of samples, never of tokens or of a
            batch.
        localization: γ > 0 or 0; large values lower the estimate by Σ½ γ/(nβh+γ).
        restriction: free parameters, as a `Restriction` or a pattern for `restrict`; default all.
        batch_size: samples a gradient is taken on, drawn with replacement; n or more means all samples each time,
            without noise.
            Default the smaller of n and 256.
        num_samples: n, where the data do not say it.
        device: where chains live; default the device of the model's parameters.

    Raises:
        InvalidArgument: for data of unknown length, n < 3 without `nbeta`, a model without parameters, an empty
            restriction, or a loss that is not one a sample.

    References:
        Lau et al., "Quantifying degeneracy in singular models via the learning coefficient", arXiv 2308.12108.
    """

    def __init__(
        self,
        model: nn.Module,
        data: Any,
        loss_fn: LossFn,
        nbeta: float | None = None,
        localization: float = 1.0,
        restriction: Restriction | str | None = None,
        batch_size: int | None = None,
        *,
        num_samples: int | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        self.samples = Samples(data, num_samples)
        self.loss_fn = loss_fn
        self.nbeta = _default_nbeta(len(self.samples)) if nbeta is None else float(nbeta)
        self.localization = float(localization)
        if self.nbeta < 0 or self.localization < 0 or not math.isfinite(self.nbeta + self.localization):
            found = f"nbeta={nbeta}, localization={localization}"
            raise InvalidArgument(
                "nbeta, localization",
                expected="finite numbers ≥ 0",
                found=found,
                instead="nbeta=None, localization=1.0",
            )
        if batch_size is not None and batch_size < 1:
            raise InvalidArgument(
                "batch_size", expected="an integer ≥ 1", found=str(batch_size), instead="batch_size=None"
            )
        self.batch_size = min(batch_size or 256, len(self.samples))
        if isinstance(restriction, str):
            restriction = restrict(model, restriction)
        self.restriction = restriction
        parameters = dict(model.named_parameters())
        free = list(parameters) if restriction is None else list(restriction.free)
        if not free:
            raise InvalidArgument(
                "model", expected="a module with free parameters", found="none", instead="og.restrict(…)"
            )
        self.device = torch.device(device or parameters[free[0]].device)
        self._names, self._shapes = free, [parameters[name].shape for name in free]
        self._sizes = [parameters[name].numel() for name in free]
        flat = [parameters[name].detach().to(self.device, _wide(parameters[name].dtype)).flatten() for name in free]
        self.center: Float[Tensor, " parameters"] = torch.cat(flat)
        self._module = _LossModule(_skeleton(model, set(free), self.device), loss_fn)
        self._center_losses = torch.full((self.samples.stored,), torch.nan)
        self.center_losses(torch.arange(min(2, self.samples.stored)))  # so that a loss of another kind is met here

    @property
    def num_parameters(self) -> int:
        """P, the number of free parameters."""
        return self.center.numel()

    def batch_indices(self, order: torch.Generator) -> Int[Tensor, " batch"]:
        """The samples of the next minibatch of the chain whose order this generator is."""
        if self.batch_size >= self.samples.stored:
            return torch.arange(self.samples.stored)
        return torch.randint(self.samples.stored, (self.batch_size,), generator=order)

    def gradients(
        self,
        positions: Float[Tensor, "chain parameters"],
        indices: Int[Tensor, "chain batch"],
        out: Tensor,
        vectorized: bool,
    ) -> Float[Tensor, " chain"]:
        """Write ∇U_B(w) = nβ ∇L_B(w) + γ (w - w*) of each chain into `out`; return the mean losses L_B(w).

        Args:
            positions: w of each chain.
            indices: the minibatch of each chain.
            out: where the gradients go, of the shape of `positions`.
            vectorized: all chains in one pass, by `torch.func.vmap`; otherwise there must be one chain.
        """
        torch.sub(positions, self.center, out=out).mul_(self.localization)
        if vectorized:
            batch = self.samples.take(indices, self.device)
            mean_loss = partial(self._mean_loss, batch_size=indices.shape[1])
            grads, losses = vmap(grad_and_value(mean_loss))(self._views(positions), batch)
        else:
            leaves = {name: view[0].detach().requires_grad_() for name, view in self._views(positions).items()}
            with torch.enable_grad():
                loss = self._mean_loss(leaves, self.samples.take(indices[0], self.device), indices.shape[1])
                found = torch.autograd.grad(loss, list(leaves.values()), allow_unused=True)
            grads = {name: grad for name, grad in zip(leaves, found, strict=True) if grad is not None}
            losses = loss.detach()[None]
        views = self._views(out)
        for name, grad in grads.items():
            views[name].add_(grad, alpha=self.nbeta)
        return losses.detach()

    def losses(
        self, position: Float[Tensor, " parameters"], samples: Samples, indices: Tensor
    ) -> Float[Tensor, " batch"]:
        """Per-sample losses at `position` on any samples, without gradients."""
        with torch.no_grad():
            parameters = {name: view[0] for name, view in self._views(position[None]).items()}
            return self._call(parameters, samples.take(indices, self.device), len(indices))

    def center_losses(self, indices: Tensor) -> Float[Tensor, " batch"]:
        """Per-sample losses at w* of the posterior's own samples; each sample's is computed once and kept."""
        needed = torch.unique(indices[self._center_losses[indices].isnan()])
        if len(needed):
            self._center_losses[needed] = self.losses(self.center, self.samples, needed).float().cpu()
        return self._center_losses[indices]

    def vectorizes(self) -> bool:
        """Whether the model and loss run under `torch.func.vmap` (models with data-dependent control flow do not)."""
        indices = torch.zeros((2, 1), dtype=torch.long)
        positions = self.center.expand(2, -1)
        try:
            with torch.no_grad():
                vmap(partial(self._mean_loss, batch_size=1))(
                    self._views(positions), self.samples.take(indices, self.device)
                )
        except RuntimeError:
            return False
        return True

    def _mean_loss(self, parameters: dict[str, Tensor], batch: Any, batch_size: int) -> Tensor:
        return self._call(parameters, batch, batch_size).mean()

    def _call(self, parameters: dict[str, Tensor], batch: Any, batch_size: int) -> Tensor:
        return functional_call(
            self._module, {f"model.{name}": tensor for name, tensor in parameters.items()}, (batch, batch_size)
        )

    def _views(self, flat: Float[Tensor, "chain parameters"]) -> dict[str, Tensor]:
        parts: Sequence[Tensor] = flat.split(self._sizes, dim=1)
        return {
            name: part.unflatten(1, shape) if shape else part.squeeze(1)
            for name, part, shape in zip(self._names, parts, self._shapes, strict=True)
        }


class _LossModule(nn.Module):
    """A module whose forward pass is the caller's loss, so that the caller's function meets a real module with
    swapped weights.
    """

    def __init__(self, model: nn.Module, loss_fn: LossFn) -> None:
        super().__init__()
        self.model, self.loss_fn = model, loss_fn

    def forward(self, batch: Any, batch_size: int) -> Tensor:
        return per_sample(self.loss_fn, self.model, batch, batch_size)


def _skeleton(model: nn.Module, free: set[str], device: torch.device) -> nn.Module:
    """A copy of the model in eval mode whose free parameters take no memory; frozen ones share the caller's storage."""
    memo: dict[int, Any] = {}
    for name, parameter in model.named_parameters():
        detached = parameter.detach()
        stored = detached.to("meta") if name in free else detached.to(device, _wide(parameter.dtype))
        memo[id(parameter)] = nn.Parameter(stored, requires_grad=False)
    for buffer in model.buffers():
        memo[id(buffer)] = buffer.detach().to(device, _wide(buffer.dtype), copy=True)
    return copy.deepcopy(model, memo).eval()


def _wide(dtype: torch.dtype) -> torch.dtype:
    return torch.float32 if dtype in (torch.float16, torch.bfloat16) else dtype


def _default_nbeta(num_samples: int) -> float:
    if num_samples < 3:
        raise InvalidArgument(
            "data",
            expected="at least 3 samples for the default nβ = n / log n",
            found=str(num_samples),
            instead="nbeta=...",
        )
    return num_samples / math.log(num_samples)
