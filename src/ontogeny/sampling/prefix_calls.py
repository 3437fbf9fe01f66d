"""The calls of modules in a pass, and which of them no free weight reaches."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import TreeSpec, tree_flatten, tree_unflatten
from torch.utils.flop_counter import flop_registry

from ontogeny.sampling.passes import OneByOne, one_path
from ontogeny.sampling.recompute import is_recomputed


@dataclass
class Site:
    """A module that is called once in a pass and whose output, of one row per sample, no free weight reaches.

    Attributes:
        path: its path in the network.
        module: the module.
        spec: how its output is made of tensors and None.
        filled: which of these are tensors.
        values: the tensors of a trial pass.
        multiplications: what its call takes for one sample, counted twice each as usual.
    """

    path: str
    module: nn.Module
    spec: TreeSpec
    filled: list[bool]
    values: list[Tensor] = field(repr=False)
    multiplications: float

    def output(self, tensors: Sequence[Tensor]) -> Any:
        """An output of the same structure, made of other tensors."""
        rest = iter(tensors)
        return tree_unflatten([next(rest) if there else None for there in self.filled], self.spec)

    def leaves(self) -> list[Tensor]:
        """The values of the trial pass as leaves that record whether they are read."""
        return [value.detach().clone().requires_grad_(value.is_floating_point()) for value in self.values]

    def blank(self, size: int) -> list[Tensor]:
        """What stands for an output that nothing reads: NaN, which would show in the losses."""
        return [
            value.new_full((), torch.nan if value.is_floating_point() else 0).expand(size, *value.shape[1:])
            for value in self.values
        ]

    def dense(self, least: float) -> bool:
        """Whether each number of the output stands for at least so many multiplications."""
        return self.multiplications >= least * sum(value[0].numel() for value in self.values)


class Multiplications(TorchDispatchMode):
    """Counts the multiplications and additions of matrix products, attentions and convolutions."""

    total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        count = flop_registry.get(func._overloadpacket)
        self.total += count(*args, **(kwargs or {}), out_val=out) if count else 0
        return out


@dataclass
class _Call:
    path: str
    around: tuple[str, ...]
    output: Any
    untouched: bool  # when the call ended: the network may change its output in place
    multiplications: int


class _Calls:
    """Hooks that list the calls of all modules, in the order in which they end.

    Attributes:
        over: whether the forward pass has ended, so that later calls are those of layers that are computed again.
    """

    over = False

    def __init__(self, model: nn.Module, counter: Multiplications) -> None:
        self.made: list[_Call] = []
        self._counter, self._open = counter, list[tuple[str, int, int]]()
        self._handles: list[Any] = []
        self._hooked = {id(module) for module in model.modules() if module._forward_hooks}
        for path, module in model.named_modules():
            if path:
                self._handles.append(module.register_forward_pre_hook(self._begin(path)))
                self._handles.append(module.register_forward_hook(self._end))

    def _begin(self, path: str) -> Any:
        def hook(module: nn.Module, args: Any) -> None:
            self._open.append((path, self._counter.total, len(self.made)))

        return hook

    def _end(self, module: nn.Module, args: Any, output: Any) -> None:
        path, before, inside = self._open.pop()
        if self.over:
            return
        around, untouched = tuple(each for each, *_ in self._open), _untouched(output)
        if untouched and id(module) not in self._hooked:
            del self.made[inside:]  # it will be skipped as a whole, and what is in it takes memory
        self.made.append(_Call(path, around, output if untouched else None, untouched, self._counter.total - before))

    def remove(self) -> None:
        for handle in self._handles:
            handle.remove()


def frozen_sites(run: OneByOne, batches: Sequence[Any], sizes: Sequence[int]) -> tuple[list[Site], float]:
    """The outermost modules that no free weight reaches, in the order of the pass, and the work of a whole pass.

    Args:
        run: the pass, whose model points at w*.
        batches: two batches of different sizes, by which outputs of one row per sample are known.
        sizes: their numbers of samples.
    """
    hooked = {path for path, module in run.model.named_modules() if module._forward_hooks}
    recomputed = {path for path, module in run.model.named_modules() if is_recomputed(module)}
    found, total = list[list[_Call]](), 0
    for batch in batches:
        with Multiplications() as counter:
            calls = _Calls(run.model, counter)
            try:
                with one_path():
                    losses = run.loss_fn(run.model, batch)
                calls.over = True
                torch.autograd.grad(losses.float().mean(), run.live, allow_unused=True)
            finally:
                calls.remove()  # not before: a pass may take another path where hooks look on
        found.append(calls.made)
        total = total or counter.total
    times = Counter(call.path for call in found[0])
    others = {call.path: call for call in found[1]}
    frozen = {call.path for call in found[0] if times[call.path] == 1 and call.untouched}
    modules, sites = dict(run.model.named_modules()), []
    for call in found[0]:
        outermost = not (frozen - hooked) & set(call.around)
        # what is computed again in the backward pass has to find the same modules there
        if call.path not in frozen - hooked or not outermost or recomputed & set(call.around):
            continue
        parts, spec = tree_flatten(call.output)
        values, other = tensors_of(call.output), tensors_of(others[call.path].output) if call.path in others else []
        if _by_rows(values, other, sizes):
            filled = [each is not None for each in parts]
            sites.append(Site(call.path, modules[call.path], spec, filled, values, call.multiplications / sizes[0]))
    return sites, total / sizes[0]


def _untouched(output: Any) -> bool:
    """Whether an output is tensors and None alone, and none of them comes from a free weight."""
    parts = [each for each in tree_flatten(output)[0] if each is not None]
    return bool(parts) and all(isinstance(each, Tensor) and not each.requires_grad for each in parts)


def tensors_of(output: Any) -> list[Tensor]:
    """The tensors of an output, in their order."""
    return [each for each in tree_flatten(output)[0] if isinstance(each, Tensor)]


def _by_rows(values: Sequence[Tensor], other: Sequence[Any], sizes: Sequence[int]) -> bool:
    """Whether tensors have one row for each sample, of the same shape in both batches."""
    if len(values) != len(other):
        return False
    return all(
        one.ndim and two.ndim and (len(one), len(two)) == tuple(sizes) and one.shape[1:] == two.shape[1:]
        for one, two in zip(values, other, strict=True)
    )
