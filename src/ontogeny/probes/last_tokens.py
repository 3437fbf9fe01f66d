"""The last n tokens as a rival: what a table of endings, with no network at all, tells of a target."""

import numpy as np
from jaxtyping import Float, Int

from ontogeny.probes.ridge import CONSTANT


class LastTokens:
    """The best guess from the last n tokens alone, for n = 0, 1, …: a table of weighted means.

    Held out, a context is given the mean of the contexts in other folds that end in the same n tokens, or, where there
    are none, its guess from n − 1. In sample, it is given the mean of all that do, itself included. A context shorter
    than n is its own ending: it is told from longer ones that end like it, as a network with positions could.

    Args:
        tokens: (context, position), aligned to the right, −1 before the first.
        weights: (context,), positive.
        folds: (context,), from 0 on.
        target: (context, dimension).
    """

    def __init__(
        self,
        tokens: Int[np.ndarray, "context position"],
        weights: Float[np.ndarray, " context"],
        folds: Int[np.ndarray, " context"],
        target: Float[np.ndarray, "context dimension"],
    ) -> None:
        self._tokens, self._weights, self._folds, self._target = tokens, weights, folds, target
        self._ending = np.zeros(len(tokens), dtype=np.int64)
        self._n = 0
        self._held_out = np.empty_like(target)
        self._guess()

    def advance(self) -> None:
        """Take one token more into account."""
        self._n += 1
        token = self._tokens[:, -self._n] + 1
        _, self._ending = np.unique(self._ending * (token.max() + 1) + token, return_inverse=True)
        self._guess()

    @property
    def num_endings(self) -> int:
        """How many different endings there are: the size of the table."""
        return int(self._ending.max()) + 1

    def r2(self) -> tuple[float, float]:
        """Held out and in sample."""
        every = np.ones(len(self._target), dtype=bool)
        mean, _ = self._means(every)
        center = self._weights @ self._target / self._weights.sum()
        variance = self._squares(self._target - center)
        if variance <= CONSTANT * self._squares(self._target):
            return float("nan"), float("nan")
        error = self._squares(self._target - self._held_out), self._squares(self._target - mean[self._ending])
        return 1 - error[0] / variance, 1 - error[1] / variance

    def _guess(self) -> None:
        for fold in range(int(self._folds.max()) + 1):
            held = self._folds == fold
            mean, seen = self._means(~held)
            known = held & seen[self._ending]
            self._held_out[known] = mean[self._ending[known]]

    def _means(self, among: np.ndarray) -> tuple[Float[np.ndarray, "ending dimension"], np.ndarray]:
        """Weighted mean of the target for each ending, and which endings occur at all, among some contexts."""
        ending, weights = self._ending[among], self._weights[among]
        total = np.bincount(ending, weights, self.num_endings)
        columns = [np.bincount(ending, weights * column, self.num_endings) for column in self._target[among].T]
        seen = total > 0
        return np.stack(columns, axis=1) / np.where(seen, total, 1.0)[:, None], seen

    def _squares(self, difference: Float[np.ndarray, "context dimension"]) -> float:
        return float(self._weights @ (difference**2).sum(axis=1))
