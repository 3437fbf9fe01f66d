"""Passes of a model whose weights are divided over processes by FSDP2: the caller's own module, lent for each pass."""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from operator import itemgetter
from typing import Any

import torch
import torch.distributed as dist
from jaxtyping import Float
from torch import Tensor, nn

from ontogeny.core.batches import mapped
from ontogeny.core.errors import InvalidArgument
from ontogeny.core.losses import LossFn, per_sample, per_token
from ontogeny.core.restriction import (
    Restriction,
    matching,
    modules_and_parameters,
    parameters_of,
    picked,
    shapes_of,
)
from ontogeny.sampling.layout import Divided, Layout, Piece, divided_rows
from ontogeny.sampling.passes import Free, one_path


def is_sharded(model: nn.Module) -> bool:
    """Whether any parameter is divided over processes."""
    return any(hasattr(parameter, "to_local") for parameter in nn.Module.parameters(model))


def stored_here(parameter: Tensor) -> Tensor:
    """The rows of a parameter that are stored in this process; all of them if it is not divided."""
    return parameter.to_local() if hasattr(parameter, "to_local") else parameter


def restrict_by_name(model: nn.Module, pattern: str) -> Restriction:
    """The restriction of a pattern over names of modules and parameters.

    Heads and layers are found by running copies of a network. Make their restriction before `fully_shard`.
    """
    return matching(pattern, modules_and_parameters(model), shapes_of(model))


class Sharded:
    """Runs one chain after another through the caller's own FSDP2 module, each process on its share of the samples.

    Such a module cannot be copied. For the length of a pass it is in eval mode, its free weights are the chain's and
    all others are frozen; afterwards weights, modes and gradients are as before. Every process makes the same calls.

    Args:
        model: a module after `fully_shard`, over a mesh of one dimension.
        loss_fn: per-sample losses.
        free: name of each parameter with free coordinates -> their flat indices in the whole parameter, or None.

    Raises:
        InvalidArgument: for parameters that are not divided by rows over one group of processes.
    """

    def __init__(self, model: nn.Module, loss_fn: LossFn, free: Free) -> None:
        self.model, self.loss_fn = model, loss_fn
        parameters = parameters_of(model)
        self._all, self._free = list(parameters.values()), [parameters[name] for name in free]
        _require_rows(parameters, free)
        divided: Any = next(each for each in self._all if hasattr(each, "to_local"))
        self.group = divided.device_mesh.get_group()
        self._count, self._rank = dist.get_world_size(self.group), dist.get_rank(self.group)
        self.indices: dict[str, Tensor | None] = {}
        pieces: dict[str, Piece] = {}
        for name, index in free.items():
            pieces[name], self.indices[name] = _piece(parameters[name], index)
        self.layout: Layout = Divided(pieces, self.group)
        self.live: list[nn.Parameter] = []  # gradients are those of the processes together: none is a leaf here

    def __call__(
        self, weights: Sequence[Tensor], batch: Any, size: int, shared: bool, into: Sequence[Tensor], scale: float
    ) -> Float[Tensor, "chain batch"]:
        """See `Pass`. FSDP averages gradients over processes."""
        found = []
        for chain in range(weights[0].shape[0] if weights else 1):
            mine, kept = self._mine(batch if shared else mapped(itemgetter(chain), batch), size)
            with self._lent(weights, chain), one_path():
                losses = per_sample(self.loss_fn, self.model, mine, max(kept, 1))[: kept or None]
                (losses.sum() * (self._count / size if kept else 0.0)).backward()
                for target, parameter, index in zip(into, self._free, self.indices.values(), strict=True):
                    if parameter.grad is not None:
                        gradient = stored_here(parameter.grad)
                        target[chain].add_(picked(gradient, index).view_as(target[chain]), alpha=scale)
            found.append(self._gathered(losses.detach()[:kept, None], size)[:, 0])
        return torch.stack(found)

    def losses(self, weights: Sequence[Tensor], batch: Any, size: int, tokens: bool = False) -> Float[Tensor, " entry"]:
        """Losses at the weights of one chain, detached: one per sample, or one per token."""
        mine, kept = self._mine(batch, size)
        with self._lent(weights, 0), one_path():
            found = per_token(self.loss_fn, self.model, mine, max(kept, 1)).detach()[:kept]
        self._resharded()
        whole = self._gathered(found if tokens else found.mean(1, keepdim=True), size)
        return whole.flatten()

    def graph(self, weights: Sequence[Tensor], batch: Any, size: int) -> Float[Tensor, "batch position"]:
        """Losses of all samples, computed in every process, with the graph of their backward pass."""
        with self._lent(weights, 0), one_path():
            found = per_token(self.loss_fn, self.model, batch, size)
        self._resharded()
        return found

    def _mine(self, batch: Any, size: int) -> tuple[Any, int]:
        """The samples of this process, and their number. One that does not count if there are none."""
        rows = divided_rows(size, self._count, self._rank)
        kept = rows.stop - rows.start
        rows = rows if kept else slice(0, 1)
        return mapped(itemgetter(rows), batch), kept

    def _gathered(self, mine: Float[Tensor, "kept position"], size: int) -> Float[Tensor, "batch position"]:
        """The losses of all processes, in the order of the samples."""
        spans = [divided_rows(size, self._count, number) for number in range(self._count)]
        counts = [span.stop - span.start for span in spans]
        padded = torch.nn.functional.pad(mine, (0, 0, 0, max(counts) - len(mine)))
        found = [torch.empty_like(padded) for _ in counts]
        dist.all_gather(found, padded.contiguous(), group=self.group)
        return torch.cat([each[:count] for each, count in zip(found, counts, strict=True)])

    @contextmanager
    def _lent(self, weights: Sequence[Tensor], chain: int) -> Generator[None]:
        """The module with the weights of a chain; as it was afterwards."""
        modes = [(module, module.training) for module in self.model.modules()]
        before = [(each, each.requires_grad, each.grad) for each in self._all]
        own = [picked(stored_here(each.detach()), index).clone() for each, index in self._places()]
        free = set(map(id, self._free))
        try:
            self.model.eval()
            for each in self._all:
                each.requires_grad_(id(each) in free)
                each.grad = None
            self._write([weight[chain] for weight in weights])
            yield
        finally:
            self._write(own)
            for each, wanted, gradient in before:
                each.requires_grad_(wanted)
                each.grad = gradient
            for module, mode in modes:
                module.training = mode

    def _write(self, values: Sequence[Tensor]) -> None:
        for (parameter, index), value in zip(self._places(), values, strict=True):
            place = stored_here(parameter.detach())
            if index is None:
                place.copy_(value.view_as(place))
            else:
                place.view(-1).index_copy_(0, index, value.to(place.dtype))

    def _places(self) -> list[tuple[nn.Parameter, Tensor | None]]:
        return list(zip(self._free, self.indices.values(), strict=True))

    def _resharded(self) -> None:
        """Give back the gathered weights of a pass that no backward pass follows."""
        for module in self.model.modules():
            if hasattr(module, "reshard"):
                module.reshard()  # type: ignore[operator]


def _piece(parameter: Any, index: Tensor | None) -> tuple[Piece, Tensor | None]:
    """Which free numbers of a parameter are stored here, and their places in the rows that are."""
    local = parameter.to_local()
    row = parameter.numel() // max(len(parameter), 1)
    mesh = parameter.device_mesh
    chunk = -(-len(parameter) // mesh.size())  # FSDP gives each process as many rows, and the last the rest
    start = min(chunk * mesh.get_local_rank(), len(parameter)) * row
    if index is None:
        return Piece(parameter.numel(), start, local.numel()), None
    first, last = (int(torch.searchsorted(index, edge)) for edge in (start, start + local.numel()))
    return Piece(len(index), first, last - first), index[first:last] - start


def _require_rows(parameters: dict[str, nn.Parameter], free: Free) -> None:
    for name in free:
        parameter: Any = parameters[name]
        placements = getattr(parameter, "placements", ())
        if len(placements) != 1 or not placements[0].is_shard(0):
            raise InvalidArgument(
                "model",
                expected="free parameters divided by rows over a mesh of one dimension, as by fully_shard(model)",
                found=f"{name!r} with placements {placements or 'of a tensor that is not divided'}",
                instead="fully_shard(model) without ignored_params and shard_placement_fn",
            )
