"""SHA-256 of a graph of labelled nodes, from which fingerprints of nested, shared and cyclic objects are made."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple


class Node(NamedTuple):
    """The content of an object: a label, and other objects.

    Attributes:
        label: all text and bytes of the object, unambiguously.
        children: the objects that it contains.
        unordered: 0 if the order of the children matters; otherwise the size of the unordered groups they form: 1 for a
            set, 2 for keys and values.
    """

    label: bytes
    children: Sequence[Any]
    unordered: int = 0


class Uncovered(Exception):
    """An object without stable content; `trail` lists the objects through which it was reached."""

    def __init__(self, found: str) -> None:
        super().__init__(found)
        self.found = found
        self.trail: list[Any] = []


def combined(label: bytes, parts: Sequence[bytes] = (), unordered: int = 0) -> bytes:
    """SHA-256 of a label, prefixed by its length so that it is unambiguous, and of the digests of its children."""
    if unordered:
        parts = sorted(b"".join(parts[start : start + unordered]) for start in range(0, len(parts), unordered))
    return hashlib.sha256(b"".join([len(label).to_bytes(8, "little"), label, *parts])).digest()


def leaf(*content: object) -> bytes:
    """Digest of something that its `repr` describes completely."""
    return combined(repr(content).encode())


def graph_digest(root: Any, describe: Callable[[Any], bytes | Node]) -> bytes:
    """Digest of `root` and all its content; equal for graphs that cannot be distinguished by following children.

    Each object is described once. It does not matter whether two places hold one object or two equal ones, nor in which
    order the graph is walked, even with cycles.

    Args:
        describe: turns an object into a node, or directly into its digest.
    """
    return _Walk(describe).digest(root)


@dataclass(slots=True)
class _Open:
    """A node whose digest is not known yet, with the digest of each child, or its id until that is known."""

    value: Any
    node: Node
    order: int
    low: int  # the earliest node on Tarjan's stack reachable from here
    parts: list[bytes | int] = field(default_factory=list)


class _Walk:
    """Tarjan's algorithm for strongly connected components; each completes after everything it reaches."""

    def __init__(self, describe: Callable[[Any], bytes | Node]) -> None:
        self.describe = describe
        self.path: list[_Open] = []
        self.pending: list[_Open] = []  # Tarjan's stack
        self.open: dict[int, _Open] = {}
        self.done: dict[int, bytes] = {}
        self.kept: list[Any] = []  # an id identifies an object only while the object lives

    def digest(self, root: Any) -> bytes:
        part = self._part(root)
        while self.path:
            top = self.path[-1]
            if len(top.parts) < len(top.node.children):
                top.parts.append(self._part(top.node.children[len(top.parts)]))
            else:
                self._leave()
        return self._known(part)

    def _part(self, value: Any) -> bytes | int:
        """The digest of `value`, or its id if the digest is not yet known; `value` is then entered."""
        key = id(value)
        if key in self.done:
            return self.done[key]
        if key in self.open:
            self.path[-1].low = min(self.path[-1].low, self.open[key].order)
            return key
        try:
            described = self.describe(value)
        except Uncovered as uncovered:
            uncovered.trail[:0] = [opened.value for opened in self.path]
            raise
        if isinstance(described, bytes):
            if not isinstance(value, (str, int, float)):  # cheaper to describe again than to remember
                self.done[key] = described
                self.kept.append(value)
            return described
        opened = _Open(value, described, len(self.pending), len(self.pending))
        self.open[key] = opened
        self.path.append(opened)
        self.pending.append(opened)
        return key

    def _leave(self) -> None:
        top = self.path.pop()
        if self.path:
            self.path[-1].low = min(self.path[-1].low, top.low)
        if top.low == top.order:
            component = self.pending[top.order :]
            del self.pending[top.order :]
            self._close(component)

    def _close(self, component: list[_Open]) -> None:
        if len(component) > 1 or id(component[0].value) in component[0].parts:
            found = self._refined(component)
        else:
            (only,) = component
            found = {id(only.value): self._combined(only, {})}
        self.done |= found
        for opened in component:
            del self.open[id(opened.value)]
            self.kept.append((opened.value, opened.node))  # the node too, for children that only it holds

    def _refined(self, component: list[_Open]) -> dict[int, bytes]:
        """Digests in a cycle: first of labels, then of labels and the children's last digests, until no nodes separate.

        The last round records which digests follow which, and enters each result. Two nodes therefore share a digest
        only if they cannot be distinguished however far their children are followed.
        """
        now = {id(opened.value): combined(opened.node.label) for opened in component}
        while True:
            after = {id(opened.value): self._combined(opened, now) for opened in component}
            if len(set(after.values())) == len(set(now.values())):
                break
            now = after
        cycle = sorted(set(after.values()))
        return {key: combined(b"cycle", [digest, *cycle]) for key, digest in after.items()}

    def _combined(self, opened: _Open, within: dict[int, bytes]) -> bytes:
        parts = [within[part] if part in within else self._known(part) for part in opened.parts]
        return combined(opened.node.label, parts, opened.node.unordered)

    def _known(self, part: bytes | int) -> bytes:
        return part if isinstance(part, bytes) else self.done[part]
