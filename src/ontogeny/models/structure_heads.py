"""The heads of an attention module, found from which weights reach which coordinates of its output projection.

The input of the output projection is the heads' outputs side by side. Two coordinates are of one head if query weights
reach both. Weights that reach one head are its own; keys and values that reach several are a group's.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool
from torch import Tensor

from ontogeny.core.restriction import Slice
from ontogeny.models.structure_probe import Gradients, Probe, Projection, along

Slices = dict[str, Slice]


@dataclass(frozen=True)
class Heads:
    """Slices by parameter name, of each head and of each group of heads that share keys or values."""

    own: list[Slices]
    groups: list[Slices]


def found_heads(probe: Probe, projection: Projection) -> Heads | None:
    """The heads of an attention module; `None` where its parts do not separate by heads."""
    queries = _queries(probe)
    size = _head_size(probe, projection, queries)
    if size is None:
        return None
    count = projection.width // size
    reach, axes = _reach(probe, projection, count)
    none_kept = torch.zeros(projection.width, dtype=torch.bool)
    past = {name for name, found in probe.gradients(cut=(projection, none_kept)).items() if found.any()}
    matrix_of = {bias: matrix for bias, matrix in _biases(probe).items() if bias not in past}
    own: list[Slices] = [{} for _ in range(count)]
    shared: dict[tuple[int, ...], Slices] = {}
    for name in reach.keys() - past - matrix_of.keys():
        heads, axis = reach[name], axes[name]
        for head in range(count):
            _add(own[head], name, axis, heads[head] & (heads.sum(0) == 1))
        asking = along(queries[name], axis)
        if (asking & (heads.sum(0) > 1) & (heads.sum(0) < count)).any():
            return None
        several = (heads.sum(0) > 1) & ~asking
        for members in {tuple(column.nonzero().flatten().tolist()) for column in heads.T[several]}:
            same = (torch.isin(torch.arange(count), torch.tensor(members)) == heads.T).all(1)
            _add(shared.setdefault(members, {}), name, axis, same & several)
    if not all(any(_holds(queries[name], where) for name, where in slices.items()) for slices in own):
        return None
    for slices in (*own, *shared.values()):
        for bias, matrix in matrix_of.items():
            if matrix in slices and probe.parameters[bias].shape == reach[matrix].shape[1:]:
                slices[bias] = Slice(0, slices[matrix].index)
    return Heads(own, [shared[members] for members in sorted(shared)])


def _queries(probe: Probe) -> dict[str, Bool[Tensor, "..."]]:
    """Weights whose gradient at the last position comes from that position alone.

    The first feature of the stream is zero there and not elsewhere: what reads it from there alone has no gradient.
    """
    stream = probe.stream.clone()
    stream[:, -1, 0] = 0
    found: dict[str, Tensor] = {}
    for name, gradient in probe.gradients(stream=stream).items():
        found[name] = torch.zeros(gradient.shape, dtype=torch.bool)
        for axis, size in enumerate(gradient.shape if gradient.ndim > 1 else ()):
            if size == stream.shape[-1] > 1:
                silent = (gradient.select(axis, 0) == 0) & (gradient.select(axis, 1) != 0)
                found[name] |= silent.unsqueeze(axis)
    return found


def _head_size(probe: Probe, projection: Projection, queries: dict[str, Tensor]) -> int | None:
    """The smallest divisor at which a coordinate of the projection answers to none of the first one's queries.

    A size of one is refused: it is a gate on a channel and no head.
    """

    def reading(coordinate: int) -> Gradients:
        found = probe.gradients(cut=(projection, torch.arange(projection.width) == coordinate))
        return {name: found[name] for name in queries if name != projection.name}

    def meet(one: Gradients, other: Gradients) -> bool:
        return any(((one[name] != 0) & (other[name] != 0) & queries[name]).any() for name in one)

    first, last = reading(0), reading(projection.width - 1)
    if not meet(first, first):
        return None
    if meet(first, last):
        return projection.width if _of_one_pattern(first, last) else None
    sizes = (each for each in range(1, projection.width) if projection.width % each == 0)
    size = next((each for each in sizes if not meet(first, reading(each))), 1)
    return size if size > 1 else None


def _of_one_pattern(one: Gradients, other: Gradients) -> bool:
    """Whether two coordinates weigh positions alike: then what is each one's own, its values, has the same gradient up
    to a factor. Not so where heads are mixed, or where they share no more than a source of their queries.
    """
    mine = torch.cat([one[name][other[name] == 0] for name in one])
    yours = torch.cat([other[name][one[name] == 0] for name in one])
    mine, yours = mine[mine != 0], yours[yours != 0]
    return mine.shape == yours.shape and bool(torch.cosine_similarity(mine, yours, dim=0).abs() > 0.999)


def _reach(probe: Probe, projection: Projection, count: int) -> tuple[dict[str, Tensor], dict[str, int]]:
    """Parameter -> which heads each place reaches `(head, place)`, along the axis that tells heads apart best."""
    reach: dict[tuple[str, int], list[Tensor]] = {}
    head_of = torch.arange(projection.width) // (projection.width // count)
    for head in range(count):
        for name, gradient in probe.gradients(cut=(projection, head_of == head)).items():
            for axis in range(gradient.ndim):
                reach.setdefault((name, axis), []).append(along(gradient, axis))
    stacked = {key: torch.stack(each) for key, each in reach.items()}
    axes: dict[str, int] = {}
    for name, axis in stacked:
        best = axes.setdefault(name, axis)
        if stacked[name, axis].float().mean() < stacked[name, best].float().mean():
            axes[name] = axis
    return {name: stacked[name, axis] for name, axis in axes.items()}, axes


def _add(slices: Slices, name: str, axis: int, places: Bool[Tensor, " place"]) -> None:
    if places.any():
        slices[name] = Slice(axis, tuple(places.nonzero().flatten().tolist()))


def _holds(queries: Bool[Tensor, "..."], where: Slice) -> bool:
    return bool(along(queries, where.axis)[list(where.index)].any())


def _biases(probe: Probe) -> dict[str, str]:
    """Vector -> the one matrix of its module, whose places are its own.

    The bias of keys moves all scores of a query alike: its own gradient is nothing but rounding.
    """
    matrices: dict[str, list[str]] = {}
    for name, tensor in probe.parameters.items():
        if tensor.ndim > 1:
            matrices.setdefault(name.rpartition(".")[0], []).append(name)
    only = {module: names[0] for module, names in matrices.items() if len(names) == 1}
    return {
        name: only[name.rpartition(".")[0]]
        for name, tensor in probe.parameters.items()
        if tensor.ndim == 1 and name.rpartition(".")[0] in only
    }
