"""Equal vectors found among many: up to a tolerance, without comparing pairs."""

from functools import cache

import numpy as np
from jaxtyping import Float, Int

TOLERANCE = 1e-8  # vectors closer than this are one: far above rounding (1e-15), far below what tells beliefs apart
ROUNDING = 1e-11  # merged vectors further apart than this were different vectors that the tolerance made one
_FEW = 500  # vectors up to which a look in a dictionary for each is faster than numpy for all


class Index:
    """Vectors that have been seen, and lookup of new ones among them.

    A vector's key is its cell in a grid of width `TOLERANCE`, hashed to 64 bits. Two equal vectors that rounding puts
    on either side of a cell's border share a cell of a second grid, shifted by half a cell; that they straddle both
    has probability 1e-14. Different vectors share a hash with probability 1e-9 among 100,000.
    """

    def __init__(self, size: int) -> None:
        self._keys: _Dictionaries | _SortedArrays = _Dictionaries()
        self.vectors = np.zeros((0, size))
        self.widest = 0.0  # the largest distance (of one coordinate) between vectors taken for one

    def __len__(self) -> int:
        return len(self.vectors)

    def add(self, vectors: Float[np.ndarray, "new size"]) -> Int[np.ndarray, " new"]:
        """Places of the vectors in `self.vectors`, to which those not seen before are appended in order."""
        if isinstance(self._keys, _Dictionaries) and len(self) + len(vectors) > _FEW:
            self._keys = _SortedArrays()
            self._keys.add(_hash(self.vectors))
        places, unseen = self._keys.add(_hash(vectors))
        if len(unseen):
            self.vectors = np.concatenate([self.vectors, vectors[unseen]])
        if len(vectors):
            self.widest = max(self.widest, float(np.abs(self.vectors[places] - vectors).max()))
        return places


@cache
def _grid(size: int) -> tuple[np.ndarray, np.ndarray]:
    """How far the first grid is shifted, since simple fractions would lie on its borders, and the hash's factors."""
    rng = np.random.default_rng(0)  # which cells there are changes no result
    return rng.random(size), rng.integers(1, 2**62, size, dtype=np.int64) | 1


def _hash(vectors: np.ndarray) -> list[np.ndarray]:
    """A key for the cell of either grid."""
    shift, factors = _grid(vectors.shape[1])
    cells = vectors / TOLERANCE + shift
    return [np.floor(cells + half).astype(np.int64) @ factors for half in (0.0, 0.5)]


class _Dictionaries:
    """Places by key, one vector after the other."""

    def __init__(self) -> None:
        self._places: tuple[dict[int, int], dict[int, int]] = ({}, {})

    def add(self, keys: list[np.ndarray]) -> tuple[np.ndarray, list[int]]:
        """The place of every vector, and which of them are new."""
        first, second = self._places
        places, unseen = [], []
        for vector, (key, other) in enumerate(zip(*(key.tolist() for key in keys), strict=True)):
            place = first.get(key, second.get(other))
            if place is None:
                place = first[key] = second[other] = len(first)
                unseen.append(vector)
            places.append(place)
        return np.array(places, dtype=np.int64), unseen


class _SortedArrays:
    """Places by key, all vectors at once."""

    def __init__(self) -> None:
        self._keys = [np.zeros(0, np.int64) for _ in range(2)]
        self._places = [np.zeros(0, np.int64) for _ in range(2)]

    def add(self, keys: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """The place of every vector, and which of them are new."""
        places = np.full(len(keys[0]), -1)
        for grid in range(2):
            places = np.where(places < 0, self._find(grid, keys[grid]), places)
        unseen = np.flatnonzero(places < 0)
        if not len(unseen):
            return places, unseen
        first, inverse = _distinct(keys[0][unseen])
        again, outer = _distinct(keys[1][unseen[first]])
        places[unseen] = len(self._keys[0]) + outer[inverse]
        chosen = unseen[first[again]]
        self._insert([key[chosen] for key in keys])
        return places, chosen

    def _find(self, grid: int, keys: np.ndarray) -> np.ndarray:
        known = self._keys[grid]
        if not len(known):
            return np.full(len(keys), -1)
        at = np.minimum(np.searchsorted(known, keys), len(known) - 1)
        return np.where(known[at] == keys, self._places[grid][at], -1)

    def _insert(self, keys: list[np.ndarray]) -> None:
        places = np.arange(len(keys[0])) + len(self._keys[0])
        for grid in range(2):
            order = np.argsort(keys[grid])
            at = np.searchsorted(self._keys[grid], keys[grid][order])
            self._keys[grid] = np.insert(self._keys[grid], at, keys[grid][order])
            self._places[grid] = np.insert(self._places[grid], at, places[order])


def _distinct(keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where each distinct key first stands, in the order of these places, and for every key which of them it is."""
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    return first[order], rank[inverse]
