"""Forward and backward passes of the caller's model for many chains: one after another, or all in one pass."""

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from operator import itemgetter
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from ontogeny.core.batches import mapped
from ontogeny.core.copies import copied
from ontogeny.core.errors import InvalidArgument
from ontogeny.core.losses import LossFn, per_sample, per_token
from ontogeny.core.restriction import parameters_of, picked, placed
from ontogeny.sampling.layout import Layout, Piece

Free = Mapping[str, Int[Tensor, " free"] | None]


@runtime_checkable
class Pass(Protocol):
    """Add `scale` times the gradient of the mean loss with respect to the free coordinates to `into`."""

    def __call__(
        self, weights: Sequence[Tensor], batch: Any, size: int, shared: bool, into: Sequence[Tensor], scale: float
    ) -> Float[Tensor, "chain batch"]:
        """Add the gradients of one batch; return the per-sample losses.

        Args:
            weights: per parameter, `(chain, *shape)`, or `(chain, num_free)` where it is only partly free.
            batch: the samples of each chain, or of all chains if `shared`.
            size: samples per chain.
            shared: whether all chains see the same samples.
            into: same shapes as `weights`, accumulated in place.
            scale: factor of the gradients.
        """
        ...


@runtime_checkable
class Run(Pass, Protocol):
    """Passes of chains one after another.

    Attributes:
        model: what is run.
        loss_fn: per-sample losses.
        indices: name of each parameter with free coordinates -> their flat indices in this process, or None for all.
        layout: where free coordinates are stored.
        live: the leaves of gradients, in the order of `indices`; none where no process has them alone.
    """

    model: nn.Module
    loss_fn: LossFn
    indices: dict[str, Tensor | None]
    layout: Layout
    live: list[nn.Parameter]

    def losses(self, weights: Sequence[Tensor], batch: Any, size: int, tokens: bool = False) -> Float[Tensor, " entry"]:
        """Losses at the weights of one chain, detached: one per sample, or one per token."""
        ...

    def graph(self, weights: Sequence[Tensor], batch: Any, size: int) -> Float[Tensor, "batch position"]:
        """Losses at the weights of one chain, with the graph of their backward pass."""
        ...


@contextmanager
def one_path() -> Generator[None]:
    """Run the model along the path that gradients take, whether or not gradients are wanted.

    PyTorch's attention layers, and some user code, compute something different without gradients. L(w) and L(w*) would
    then be losses of two different functions.
    """
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with torch.enable_grad():
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)


class OneByOne:
    """Runs one chain after another through a copy of the caller's model, whose free parameters point at the chain's
    weights.

    Args:
        model: the caller's; frozen parameters share its storage, free ones take no memory in the copy.
        loss_fn: per-sample losses.
        free: name of each parameter with free coordinates -> their flat indices, or None where all are free.
        device: where weights of chains live, and the copy; one whose parameters are on several devices stays on them.
        narrow: run a model of 16-bit weights as it is, instead of a copy in 32 bits.
    """

    def __init__(
        self, model: nn.Module, loss_fn: LossFn, free: Free, device: torch.device, narrow: bool = False
    ) -> None:
        halves = any(wide(parameter.dtype) != parameter.dtype for parameter in parameters_of(model).values())
        self.loss_fn = _Widened(loss_fn) if halves and not narrow else loss_fn
        self.indices = {name: None if index is None else index.to(device) for name, index in free.items()}
        spread = len({parameter.device for parameter in parameters_of(model).values()}) > 1
        self.model = _skeleton(model, self.indices, None if spread else device, as_it_is if narrow else wide)
        parameters = parameters_of(self.model)
        own = parameters_of(model)
        counts = {name: own[name].numel() if index is None else len(index) for name, index in self.indices.items()}
        self.layout = Layout(Piece.of(counts))
        self.live = [parameters[name] for name in free]
        self._centers = {
            name: parameters[name].detach().clone() for name, index in self.indices.items() if index is not None
        }

    def __call__(
        self, weights: Sequence[Tensor], batch: Any, size: int, shared: bool, into: Sequence[Tensor], scale: float
    ) -> Float[Tensor, "chain batch"]:
        losses = []
        rows = weights[0].shape[0] if weights else 1
        for chain in range(rows):
            each = batch if shared else mapped(itemgetter(chain), batch)
            self.point_at(weights, chain)
            with one_path():
                loss = per_sample(self.loss_fn, self.model, each, size)
                found = torch.autograd.grad(loss.mean(), self.live, allow_unused=True) if self.live else ()
            for target, gradient, index in zip(into, found, self.indices.values(), strict=True):
                if gradient is not None:
                    target[chain].add_(picked(gradient.to(target.device), index), alpha=scale)
            losses.append(loss.detach().to(into[0].device if into else loss.device))
        return losses[0][None] if rows == 1 else torch.stack(losses)

    def losses(self, weights: Sequence[Tensor], batch: Any, size: int, tokens: bool = False) -> Float[Tensor, " entry"]:
        """Losses at the weights of one chain, detached: one per sample, or one per token."""
        self.point_at(weights, 0)
        with one_path():
            found = (per_token if tokens else per_sample)(self.loss_fn, self.model, batch, size)
        return found.detach().flatten()

    def graph(self, weights: Sequence[Tensor], batch: Any, size: int) -> Float[Tensor, "batch position"]:
        """Losses at the weights of one chain, with the graph of their backward pass."""
        self.point_at(weights, 0)
        with one_path():
            return per_token(self.loss_fn, self.model, batch, size)

    def center(self, name: str) -> Tensor:
        """The caller's weights of a partly free parameter; nothing for a wholly free one."""
        return self._centers.get(name, torch.empty(0))

    def point_at(self, weights: Sequence[Tensor], chain: int) -> None:
        for parameter, weight, index in zip(self.live, weights, self.indices.values(), strict=True):
            if index is None:
                parameter.data = weight[chain].to(parameter)
            else:
                parameter.data.view(-1).index_copy_(0, index.to(parameter.device), weight[chain].to(parameter))


class Batched:
    """Runs all chains in one `torch.func.vmap` pass. `compiled` adds `torch.compile`, which pays off in long runs.

    On a CPU this helps only small models, whose steps are dominated by the overhead of small operations.
    """

    def __init__(self, source: OneByOne, compiled: bool = False) -> None:
        self._source = _LossModule(source.model, source.loss_fn)
        self._free, self._places = source.indices, _places(source.model)
        # weights at the center of partly free parameters, whatever a chain has left in the copy
        self._centers = {name: source.center(name) for name in self._free}
        self._dtypes = {name: parameter.dtype for name, parameter in parameters_of(source.model).items()}
        gradient = grad(self.loss, has_aux=True)
        self._shared, self._apart = vmap(gradient, in_dims=(0, None, None)), vmap(gradient, in_dims=(0, 0, None))
        if compiled:
            self._shared, self._apart = torch.compile(self._shared), torch.compile(self._apart)

    def __call__(
        self, weights: Sequence[Tensor], batch: Any, size: int, shared: bool, into: Sequence[Tensor], scale: float
    ) -> Float[Tensor, "chain batch"]:
        with one_path():
            found, losses = (self._shared if shared else self._apart)(list(weights), batch, size)
        for target, gradient in zip(into, found, strict=True):
            target.add_(gradient, alpha=scale)
        return losses.detach()

    def loss(self, weights: Sequence[Tensor], batch: Any, size: int) -> tuple[Tensor, Tensor]:
        """The mean loss of a batch at the free weights of one chain, and the losses. It has no side effects."""
        named: dict[str, Tensor] = {}
        for (name, index), weight in zip(self._free.items(), weights, strict=True):
            tensor = placed(self._centers[name], index, weight.to(self._dtypes[name]))
            named |= dict.fromkeys((f"model.{path}" for path in self._places[name]), tensor)
        losses = functional_call(self._source, named, (batch, size), tie_weights=False)
        return losses.mean(), losses


class _LossModule(nn.Module):
    """A module whose forward pass is the caller's loss, so that the loss gets a real module with swapped weights."""

    def __init__(self, model: nn.Module, loss_fn: LossFn) -> None:
        super().__init__()
        self.model, self.loss_fn = model, loss_fn

    def forward(self, batch: Any, batch_size: int) -> Tensor:
        return per_sample(self.loss_fn, self.model, batch, batch_size)


def _places(model: nn.Module) -> dict[str, list[str]]:
    """Parameter -> one path for each module that holds it; tied parameters have several.

    A module with two paths is named by one of them: `functional_call` fills both but restores one, and weights would
        stay.
    """
    first = {id(tensor): name for name, tensor in parameters_of(model).items()}
    places: dict[str, list[str]] = {name: [] for name in first.values()}
    for path, module in model.named_modules():
        for name, tensor in nn.Module.named_parameters(module, recurse=False, remove_duplicate=False):
            places[first[id(tensor)]].append(f"{path}.{name}" if path else name)
    return places


def _skeleton(
    model: nn.Module, free: Free, device: torch.device | None, held: Callable[[torch.dtype], torch.dtype]
) -> nn.Module:
    """A copy of the model in eval mode. Free parameters take no memory, frozen ones share the caller's storage, and
    partly free ones are copied so that they can be written into.
    """
    memo: dict[int, Any] = {}
    for name, parameter in parameters_of(model).items():
        detached, where = parameter.detach(), device or parameter.device
        if free.get(name) is not None:
            memo[id(parameter)] = nn.Parameter(
                detached.to(where, held(parameter.dtype), copy=True, memory_format=torch.contiguous_format)
            )
        elif name in free:
            memo[id(parameter)] = nn.Parameter(torch.empty(0, dtype=held(parameter.dtype), device=where))
        else:
            memo[id(parameter)] = nn.Parameter(detached.to(where, held(parameter.dtype)), requires_grad=False)
    for buffer in model.buffers():
        memo[id(buffer)] = buffer.detach().to(device or buffer.device, held(buffer.dtype), copy=True)
    return copied(model, memo).eval()


def wide(dtype: torch.dtype) -> torch.dtype:
    """The dtype in which weights are sampled: at least 32 bits."""
    return torch.float32 if dtype in (torch.float16, torch.bfloat16) else dtype


def as_it_is(dtype: torch.dtype) -> torch.dtype:
    """The dtype itself."""
    return dtype


class _Widened:
    """Casts the batch to the precision of the copy, whose weights have at least 32 bits."""

    def __init__(self, loss_fn: LossFn) -> None:
        self.loss_fn = loss_fn

    def __call__(self, model: Any, batch: Any) -> Tensor:
        try:
            return self.loss_fn(model, mapped(lambda part: part.to(wide(part.dtype)), batch))
        except RuntimeError as error:
            if "dtype" not in str(error) and "scalar type" not in str(error):
                raise
            raise InvalidArgument(
                "model",
                expected="a forward pass that runs with 32-bit weights, in which half-precision ones are sampled",
                found=f"a pass with another fixed dtype ({str(error).splitlines()[0]})",
                instead="x.to(self.linear.weight.dtype) where the forward pass or the loss casts to a fixed dtype",
            ) from error
