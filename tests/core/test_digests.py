"""Graphs have one digest if and only if they cannot be told apart, in whatever order they are walked."""

import itertools
from collections.abc import Sequence

import pytest

from ontogeny.core.digests import Node, combined, graph_digest


class Box:
    """A labelled node that can be put into cycles."""

    def __init__(self, label: str, *children: "Box", unordered: int = 0) -> None:
        self.label, self.children, self.unordered = label, list(children), unordered


def digest(box: Box) -> bytes:
    return graph_digest(box, lambda found: Node(found.label.encode(), found.children, found.unordered))


def ring(labels: Sequence[str]) -> Box:
    boxes = [Box(label) for label in labels]
    for box, following in zip(boxes, [*boxes[1:], boxes[0]], strict=True):
        box.children = [following]
    return boxes[0]


def test_a_shared_child_is_as_good_as_two_equal_ones() -> None:
    shared = Box("leaf")
    assert digest(Box("top", shared, shared)) == digest(Box("top", Box("leaf"), Box("leaf")))
    assert digest(Box("top", shared)) != digest(Box("top", shared, shared))


def test_order_matters_only_where_it_is_said_to() -> None:
    first, second = Box("a"), Box("b")
    assert digest(Box("list", first, second)) != digest(Box("list", second, first))
    assert digest(Box("set", first, second, unordered=1)) == digest(Box("set", second, first, unordered=1))
    mapping = digest(Box("map", first, second, second, first, unordered=2))
    assert digest(Box("map", second, first, first, second, unordered=2)) == mapping
    assert digest(Box("map", first, first, second, second, unordered=2)) != mapping


def test_cycles_that_differ_anywhere_have_other_digests() -> None:
    rings = ["a", "ab", "aab", "aaab", "abb", "aabb", "abab" + "b"]
    assert len({digest(ring(labels)) for labels in rings}) == len(rings)
    assert digest(ring("aab")) != digest(ring("aba"))  # entered at another place
    assert digest(ring("ab")) == digest(ring("abab"))  # nothing that follows children can tell


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_mutual_references_do_not_depend_on_where_the_walk_begins(order: tuple[int, ...]) -> None:
    boxes = [Box("a"), Box("b"), Box("c")]
    for box in boxes:
        box.children = boxes
    inside = Box("set", *(boxes[index] for index in order), unordered=1)
    assert digest(inside) == digest(Box("set", *boxes, unordered=1))
    assert len({digest(box) for box in boxes}) == 3


def test_two_cycles_that_meet_and_one_that_only_reads_another() -> None:
    inner = ring("xy")
    outer = Box("o", inner)
    outer.children.append(outer)
    changed = Box("o", ring("xz"))
    changed.children.append(changed)
    assert digest(outer) != digest(changed)


def test_depth_is_not_limited_by_the_call_stack() -> None:
    deep = Box("leaf")
    for _ in range(3_000):
        deep = Box("list", deep)
    assert len(digest(deep)) == 32


def test_a_label_never_runs_into_what_follows() -> None:
    part = combined(b"x")
    assert combined(b"a" + part) != combined(b"a", [part])
