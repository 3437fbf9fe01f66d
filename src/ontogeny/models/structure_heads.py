"""The heads of an attention module, found from which weights reach which coordinates of its output projection.

The input of the output projection is the heads' outputs side by side. Two coordinates are of one head if query weights
reach both. Weights that reach one head are its own; keys and values that reach several are a group's.
"""

from bisect import bisect_left
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ontogeny.core.restriction import Slice
from ontogeny.models.structure_probe import Gradients, Probe, Reached
from ontogeny.models.structure_readings import Projection, Reading, along

Slices = dict[str, Slice]


@dataclass(frozen=True)
class Heads:
    """Slices by parameter name, of each head and of each group of heads that share keys or values, by its members."""

    own: list[Slices]
    groups: dict[tuple[int, ...], Slices]


def found_heads(probe: Probe, projection: Projection) -> Heads | None:
    """The heads of an attention module; `None` where its parts do not separate by heads."""
    queries = queries_of(probe)
    size = _head_size(probe, projection, queries)
    if size is None:
        return None
    count = projection.width // size
    reach, axes = _reach(probe, projection, count)
    none_kept = torch.zeros(projection.width, dtype=torch.bool)
    past = {name for name, found in probe.reached(Reading(kept=projection.keeping(none_kept))).items() if found.any()}
    hosts = probe.hosts
    own: list[Slices] = [{} for _ in range(count)]
    shared: dict[tuple[int, ...], Slices] = {}
    for name in reach.keys() - past - hosts.keys():
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
        for bias, matrix in hosts.items():
            where = slices.get(matrix.name)
            if where is not None and probe.parameters[bias].shape == matrix.hidden:
                slices[bias] = Slice(where.axis - (where.axis > matrix.axis), where.index)
    return Heads(own, {members: shared[members] for members in sorted(shared)})


def queries_of(probe: Probe) -> Reached:
    """Weights whose gradient at the last position comes from that position alone.

    The first feature of the stream is zero there and not elsewhere: what reads it from there alone has no gradient.
    """
    found: Reached = {}
    for name, reached in probe.reached(Reading(first=(slice(-1, None), 0.0))).items():
        found[name] = torch.zeros_like(reached)
        for axis, size in enumerate(reached.shape if reached.ndim > 1 else ()):
            if size == probe.input_width > 1:
                found[name] |= (~reached.select(axis, 0) & reached.select(axis, 1)).unsqueeze(axis)
    return found


def _head_size(probe: Probe, projection: Projection, queries: Reached) -> int | None:
    """The smallest divisor at which a coordinate of the projection answers to none of the first one's queries.

    A size of one is refused: it is a gate on a channel and no head.
    """
    asking = {name for name, found in queries.items() if found.any()} - {projection.name}

    def reading(coordinate: int) -> Reading:
        return Reading(kept=projection.keeping(torch.arange(projection.width) == coordinate))

    def meet(one: Reached, other: Reached) -> bool:
        return any((one[name] & other[name] & queries[name]).any() for name in asking)

    def meets_first(coordinate: int) -> bool:
        return meet(first, probe.reached(reading(coordinate), asking))

    ends = reading(0), reading(projection.width - 1)
    first, last = (probe.reached(end) for end in ends)
    if not meet(first, first):
        return None
    if meet(first, last):
        own = [
            {name: one[name] & ~other[name] for name in one if name != projection.name}
            for one, other in ((first, last), (last, first))
        ]
        draws = zip(*(probe.gradients(end) for end in ends), strict=True)
        alike = all(_of_one_pattern(*map(_values, draw, own)) for draw in draws)
        return projection.width if alike else None
    if not meets_first(1):
        return None
    sizes = [each for each in range(2, projection.width) if projection.width % each == 0]
    place = bisect_left(sizes, True, key=lambda size: not meets_first(size))
    return sizes[place] if place < len(sizes) else None


def _of_one_pattern(mine: Float[Tensor, " mine"], yours: Float[Tensor, " yours"]) -> bool:
    """Whether two coordinates weigh positions alike: then what is each one's own, its values, has the same gradient up
    to a factor. Not so where heads are mixed, or where they share no more than a source of their queries.
    """
    return mine.shape == yours.shape and bool(torch.cosine_similarity(mine, yours, dim=0).abs() > 0.999)


def _values(gradients: Gradients, places: Reached) -> Float[Tensor, " place"]:
    return torch.cat([gradients[name][where] for name, where in places.items()])


def _reach(probe: Probe, projection: Projection, count: int) -> tuple[Reached, dict[str, int]]:
    """Parameter -> which heads each place reaches `(head, place)`, along the axis that tells heads apart best."""
    reach: dict[tuple[str, int], list[Tensor]] = {}
    head_of = torch.arange(projection.width) // (projection.width // count)
    for head in range(count):
        for name, reached in probe.reached(Reading(kept=projection.keeping(head_of == head))).items():
            for axis in range(reached.ndim):
                reach.setdefault((name, axis), []).append(along(reached, axis))
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
