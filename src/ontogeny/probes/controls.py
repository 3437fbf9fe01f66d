"""Controls of a probe: features of a network that was never trained, and targets dealt out at random."""

import numpy as np
from jaxtyping import Float, Int

from ontogeny.probes.ridge import FoldedRidge

_TOGETHER = 32  # shuffles regressed at once, which bounds memory


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


def shuffled_r2(
    ridge: FoldedRidge, target: Float[np.ndarray, "context dimension"], num_permutations: int, seed: int
) -> Float[np.ndarray, " permutation"]:
    """Held-out R² of a target dealt out anew among the distinct contexts, through the same procedure each time.

    The regression must weigh all contexts alike. A target can go with the weight of its context (beliefs and
    probabilities both go with its length), and shuffles that part the two give p-values that are far from uniform on
    pure noise.
    """
    generator = np.random.default_rng(seed)
    found = []
    for start in range(0, num_permutations, _TOGETHER):
        count = min(_TOGETHER, num_permutations - start)
        orders = np.stack([generator.permutation(len(target)) for _ in range(count)], axis=1)
        found.append(ridge.held_out(target[orders]).r2)
    return np.concatenate(found) if found else np.empty(0)
