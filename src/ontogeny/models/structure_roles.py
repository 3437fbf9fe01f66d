"""Which weights of a head make its queries, its keys and its values, and in which order.

Queries answer to the last position alone. Of the other weights a value's reach one coordinate of the head's output, and
a key's reach all of it, through the pattern. Values stand in the order of the coordinates they reach, and a query
stands where the key stands that it is multiplied with.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from ontogeny.models.places import Site, TensorSlice
from ontogeny.models.structure_codes import spelt
from ontogeny.models.structure_heads import Heads, queries_of
from ontogeny.models.structure_probe import Probe, Reached
from ontogeny.models.structure_readings import Projection, Reading
from ontogeny.models.structure_sites import Shown, found_pattern, found_sites

Normalized = Literal["no", "by head", "over heads"]
# A vector that is normalised can be scaled without effect. The constant that norms add to the variance leaves 1e-5.
_NO_EFFECT = 1e-3


@dataclass(frozen=True)
class Roles:
    """What makes one head, in names relative to its attention; see `anatomy.Head`."""

    query: TensorSlice
    key: TensorSlice
    value: TensorSlice
    output: TensorSlice
    pattern: Site | None
    rotary: bool
    normalized: Normalized


@dataclass(frozen=True)
class _Columns:
    """Hidden coordinates of one matrix that reads the stream."""

    matrix: Projection
    index: list[int]

    def ordered(self, numbers: Int[Tensor, " hidden"]) -> "_Columns | None":
        """The same coordinates by their numbers; `None` if they are not numbered from 0 on."""
        by_number = {int(numbers[place]): place for place in self.index}
        ordered = [by_number.get(number) for number in range(len(self.index))]
        return None if None in ordered else _Columns(self.matrix, [place for place in ordered if place is not None])


_Head = dict[str, _Columns]  # by role


def found_roles(probe: Probe, unchanged: Probe, projection: Projection, heads: Heads) -> list[Roles] | None:
    """Roles by head; `None` where a head's queries, keys or values are not columns of one matrix of the stream.

    Args:
        probe: of an attention, with norms passed over.
        unchanged: of the same attention, with norms.
        projection: of its outputs.
        heads: what `found_heads` found.
    """
    count = len(heads.own)
    size = projection.width // count
    values = spelt(size, lambda kept: _by_column(probe, Reading(kept=projection.keeping(kept.repeat(count)))))
    queries = queries_of(probe)
    found = [head for number in range(count) if (head := _columns(probe, heads, number, queries, values))]
    if len(found) < count:
        return None
    kept_keys, width = _keys_kept(probe, found), max(len(head["key"].index) for head in found)
    partners = spelt(width, lambda kept: _by_column(probe, Reading(kept=kept_keys(kept), alone=True)))
    ordered: list[_Head] = []
    for head in found:
        if len(head["query"].index) != width or len(head["value"].index) != size:
            return None
        query, value = head["query"], head["value"]
        clear = partners[query.matrix.name][1][query.index]
        query, value = query.ordered(partners[query.matrix.name][0]), value.ordered(values[value.matrix.name][0])
        if query is None or value is None or not clear.all():
            return None
        ordered.append({"query": query, "key": head["key"], "value": value})
    rotary = _rotary(probe, ordered, kept_keys, width)
    return _roles(probe, projection, ordered, rotary, _normalized(unchanged, projection, ordered))


def _columns(
    probe: Probe, heads: Heads, head: int, queries: Reached, values: dict[str, tuple[Tensor, Tensor]]
) -> _Head | None:
    """The columns of each role, in the order of the matrix; `None` where a role lies in several matrices or in none."""
    groups = [slices for members, slices in heads.groups.items() if head in members]
    found: dict[str, list[_Columns]] = {"query": [], "key": [], "value": []}
    for slices in (heads.own[head], *groups):
        for matrix in probe.readers:
            if matrix.name not in slices:
                continue
            mine = matrix.hidden_of(slices[matrix.name].mask(tuple(probe.parameters[matrix.name].shape))).any(0)
            asking, single = matrix.hidden_of(queries[matrix.name]).any(0), values[matrix.name][1]
            kinds = {"query": asking, "key": ~asking & ~single, "value": ~asking & single}
            for kind, places in kinds.items():
                if (mine & places).any():
                    found[kind].append(_Columns(matrix, (mine & places).nonzero().flatten().tolist()))
    return {kind: each[0] for kind, each in found.items()} if all(len(each) == 1 for each in found.values()) else None


def _by_column(probe: Probe, reading: Reading) -> dict[str, Bool[Tensor, " hidden"]]:
    """Which columns of each matrix that reads the stream reach the number that is read."""
    names = {matrix.name for matrix in probe.readers}
    reached = probe.reached(reading, names)
    return {matrix.name: matrix.hidden_of(reached[matrix.name]).any(0) for matrix in probe.readers}


def _keys_kept(probe: Probe, heads: list[_Head]) -> Callable[[Tensor], dict[str, Tensor]]:
    """Masks that keep some coordinates of every head's keys, and no bias."""
    no_bias = {bias: torch.zeros((), dtype=torch.bool) for bias in probe.hosts}
    keys = [head["key"] for head in heads]

    def masks(kept: Bool[Tensor, " width"]) -> dict[str, Tensor]:
        columns = {key.matrix: torch.ones(key.matrix.width, dtype=torch.bool) for key in keys}
        for key in keys:
            columns[key.matrix][key.index] = kept[: len(key.index)]
        return no_bias | {name: mask for each in columns for name, mask in each.keeping(columns[each]).items()}

    return masks


def _rotary(probe: Probe, heads: list[_Head], kept_keys: Callable[[Tensor], dict[str, Tensor]], width: int) -> bool:
    """Whether a query is multiplied with keys at other positions in a basis that turns with the distance.

    Then it meets two coordinates of them. Those whose number has an odd number of ones in binary are kept: whatever
    the distance at which coordinates are turned with one another, some pair is parted.
    """
    kept = torch.tensor([number.bit_count() % 2 == 1 for number in range(width)])
    reached = _by_column(probe, Reading(kept=kept_keys(kept)))
    return any(bool(reached[head["query"].matrix.name][head["query"].index][~kept].any()) for head in heads)


def _normalized(probe: Probe, projection: Projection, heads: list[_Head]) -> Normalized:
    """Whether queries or keys are normalised before they are multiplied, and then over how much.

    Read off the first head: if queries or keys that are not its own reach its output, or if its own could be scaled.
    """
    first = heads[0]
    reading = Reading(kept=projection.keeping(torch.arange(projection.width) < projection.width // len(heads)))
    reached = _by_column(probe, reading)
    for kind in ("query", "key"):
        for head in heads:
            others = set(head[kind].index) - set(first[kind].index)
            if bool(reached[head[kind].matrix.name][list(others)].any()):
                return "over heads"
    draws = probe.gradients(reading)
    return "by head" if any(_scalable(probe, draws, first[kind]) for kind in ("query", "key")) else "no"


def _scalable(probe: Probe, draws: list[dict[str, Tensor]], columns: _Columns) -> bool:
    """Whether the length of the vectors that these columns make has no effect: the derivative by it, Σ w ∂/∂w, is 0."""
    for gradients in draws:
        name, index = columns.matrix.name, columns.index
        terms = [columns.matrix.hidden_of(probe.parameters[name] * gradients[name])[:, index].flatten()]
        for bias in _biases(probe, columns.matrix):
            terms.append((probe.parameters[bias] * gradients[bias]).flatten()[index])
        effect = torch.cat(terms)
        if not effect.sum().abs() <= _NO_EFFECT * effect.abs().sum():
            return False
    return True


def _roles(
    probe: Probe, projection: Projection, heads: list[_Head], rotary: bool, normalized: Normalized
) -> list[Roles]:
    sites = found_sites(probe, projection)
    size = projection.width // len(heads)
    output = [_Columns(projection, list(range(head * size, (head + 1) * size))) for head in range(len(heads))]
    own = sites if normalized != "over heads" else {}
    shown = found_pattern(probe, projection, len(heads))
    found = []
    for number, (head, written) in enumerate(zip(heads, output, strict=True)):
        query, key = (_slice(probe, head[kind], own) for kind in ("query", "key"))
        value, out = _slice(probe, head["value"], sites), _slice(probe, written, sites)
        pattern = Site(shown.module, axis=1, index=number) if shown else None
        found.append(Roles(query, key, value, out, pattern, rotary, normalized))
    return found


def _slice(probe: Probe, columns: _Columns, sites: dict[str, Shown]) -> TensorSlice:
    name, axis, index = columns.matrix.name, columns.matrix.axis, tuple(columns.index)
    biases = [TensorSlice(bias, None, index) for bias in _biases(probe, columns.matrix)]
    site = sites[name].site(index) if name in sites else None
    return TensorSlice(name, axis, index, biases[0] if biases else None, site)


def _biases(probe: Probe, matrix: Projection) -> list[str]:
    return [bias for bias, host in probe.hosts.items() if host == matrix]
