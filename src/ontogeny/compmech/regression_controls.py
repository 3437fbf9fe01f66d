"""What a belief regression is held against: the last few tokens, random features, directions the law cannot see."""

import numpy as np
from jaxtyping import Float, Int

from ontogeny.compmech.regression_ridge import CONSTANT, FoldedRidge
from ontogeny.core.errors import InvalidArgument

_NOT_LINEAR = 1e-3  # standard deviations of the law; single precision leaves about a hundredth of it
_ZERO = 1e-5  # of singular values, relative to the greatest
_TOGETHER = 32  # shuffles regressed at once, which bounds memory


class LastTokens:
    """The best guess from the last n tokens alone, for n = 0, 1, …: a table of weighted means.

    Held out, a context is given the mean of the contexts in other folds that end in the same n tokens, or, where there
    are none, its guess from n − 1. In sample, it is given the mean of all that do, itself included. A prefix shorter
    than n is its own ending: it is told from longer prefixes that end like it, as a network with positions could.

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
        if variance <= CONSTANT:
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


def random_features(
    tokens: Int[np.ndarray, "context position"], width: int, seed: int
) -> Float[np.ndarray, "context {width}"]:
    """ReLU(random linear map of the one-hot tokens, by position from the end, plus a random offset).

    What any network of this width that keeps its input can be read for. The ReLU is there for the rank: a linear map
    of P positions and V tokens has P (V − 1) independent columns at most, however wide it is.
    """
    generator = np.random.default_rng(seed)
    num_positions, num_tokens = tokens.shape[1], int(tokens.max()) + 1
    features = np.tile(generator.standard_normal(width), (len(tokens), 1))
    for position in range(num_positions):
        # The last row is of index −1, no token.
        table = np.vstack([generator.standard_normal((num_tokens, width)), np.zeros((1, width))])
        features += table[tokens[:, position]] / np.sqrt(num_positions)
    return np.maximum(features, 0.0)


def hidden_directions(
    beliefs: Float[np.ndarray, "context state"],
    laws: Float[np.ndarray, "context token"],
    weights: Float[np.ndarray, " context"],
) -> Float[np.ndarray, "state hidden"]:
    """Orthonormal directions in which beliefs vary and the next-token law does not: the kernel of the emission matrix.

    The law is linear in the belief, law = belief · E. Of E only what acts on differences of beliefs that occur is
    known and needed. There are none for mess3, whose law determines the belief, and three for RRXOR.

    Raises:
        InvalidArgument: for laws that are not linear in the beliefs.
    """
    root = np.sqrt(weights / weights.sum())[:, None]
    y, law = (root * (array - root[:, 0] ** 2 @ array) for array in (beliefs, laws))
    _, sizes, basis = np.linalg.svd(y, full_matrices=False)
    basis = basis[sizes > _ZERO * sizes[0]].T
    emission, *_ = np.linalg.lstsq(y @ basis, law, rcond=None)
    missed = np.linalg.norm(law - y @ basis @ emission)
    if missed > _NOT_LINEAR * np.linalg.norm(law):
        raise InvalidArgument(
            "next_token_laws",
            expected="the exact laws of these beliefs, which are linear in them",
            found=f"laws of which {missed / np.linalg.norm(law):.1%} of a standard deviation is not",
            instead="cm.next_token_law(process, beliefs)",
        )
    left, sizes, _ = np.linalg.svd(emission, full_matrices=True)
    rank = int((sizes > _ZERO * max(float(sizes[0]), 1.0)).sum())
    return basis @ left[:, rank:]


def shuffled_r2(
    ridge: FoldedRidge, beliefs: Float[np.ndarray, "context state"], num_permutations: int, seed: int
) -> Float[np.ndarray, " permutation"]:
    """Held-out R² of beliefs dealt out anew among the distinct contexts, through the same procedure each time.

    The regression must weigh all contexts alike. A belief goes with the weight of its context (both are of the length
    of the prefix), and shuffles that part the two give p-values that are far from uniform on pure noise.
    """
    generator = np.random.default_rng(seed)
    found = []
    for start in range(0, num_permutations, _TOGETHER):
        count = min(_TOGETHER, num_permutations - start)
        orders = np.stack([generator.permutation(len(beliefs)) for _ in range(count)], axis=1)
        found.append(ridge.held_out(beliefs[orders]).r2)
    return np.concatenate(found) if found else np.empty(0)
