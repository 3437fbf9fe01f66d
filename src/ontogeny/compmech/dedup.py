"""Equal vectors found among many: up to a tolerance, without comparing pairs."""

import numpy as np
from jaxtyping import Float, Int

TOLERANCE = 1e-8  # vectors closer than this are one: far above rounding (1e-15), far below what tells beliefs apart
ROUNDING = 1e-11  # merged vectors further apart than this were different vectors that the tolerance made one


class Index:
    """Vectors that have been seen, and lookup of new ones among them.

    A vector's key is its cell in a grid of width `TOLERANCE`, hashed to 64 bits. Two equal vectors that rounding puts
    on either side of a cell's border share a cell of a second grid, shifted by half a cell; that they straddle both
    has probability 1e-14. Different vectors share a hash with probability 1e-9 among 100,000.
    """

    def __init__(self, size: int) -> None:
        rng = np.random.default_rng(0)  # of the class's own: which cells there are changes no result
        self._shift = rng.random(size)  # otherwise simple fractions lie on the borders of cells
        self._factors = rng.integers(1, 2**62, size, dtype=np.int64) | 1
        self._keys = [np.zeros(0, np.int64) for _ in range(2)]
        self._places = [np.zeros(0, np.int64) for _ in range(2)]
        self.vectors = np.zeros((0, size))
        self.widest = 0.0  # the largest distance (of one coordinate) between vectors taken for one

    def __len__(self) -> int:
        return len(self.vectors)

    def add(self, vectors: Float[np.ndarray, "new size"]) -> Int[np.ndarray, " new"]:
        """Places of the vectors in `self.vectors`, to which those not seen before are appended in order."""
        keys = self._hash(vectors)
        places = np.full(len(vectors), -1)
        for grid in range(2):
            places = np.where(places < 0, self._find(grid, keys[grid]), places)
        unseen = np.flatnonzero(places < 0)
        if len(unseen):
            first, inverse = _distinct(keys[0][unseen])
            again, outer = _distinct(keys[1][unseen[first]])
            places[unseen] = len(self) + outer[inverse]
            chosen = unseen[first[again]]
            self._insert(vectors[chosen], [key[chosen] for key in keys])
        if len(vectors):
            self.widest = max(self.widest, float(np.abs(self.vectors[places] - vectors).max()))
        return places

    def _hash(self, vectors: np.ndarray) -> list[np.ndarray]:
        cells = vectors / TOLERANCE + self._shift
        return [np.floor(cells + half).astype(np.int64) @ self._factors for half in (0.0, 0.5)]

    def _find(self, grid: int, keys: np.ndarray) -> np.ndarray:
        known = self._keys[grid]
        if not len(known):
            return np.full(len(keys), -1)
        at = np.minimum(np.searchsorted(known, keys), len(known) - 1)
        return np.where(known[at] == keys, self._places[grid][at], -1)

    def _insert(self, vectors: np.ndarray, keys: list[np.ndarray]) -> None:
        places = np.arange(len(self), len(self) + len(vectors))
        for grid in range(2):
            order = np.argsort(keys[grid])
            at = np.searchsorted(self._keys[grid], keys[grid][order])
            self._keys[grid] = np.insert(self._keys[grid], at, keys[grid][order])
            self._places[grid] = np.insert(self._places[grid], at, places[order])
        self.vectors = np.concatenate([self.vectors, vectors])


def _distinct(keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where each distinct key first stands, in the order of these places, and for every key which of them it is."""
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    return first[order], rank[inverse]
