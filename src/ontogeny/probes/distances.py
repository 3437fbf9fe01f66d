"""Whether the distances between predictions are those between targets, of whatever kind."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.spatial.distance import pdist

from ontogeny.core import arguments
from ontogeny.core.arguments import Numbers
from ontogeny.core.errors import InvalidArgument
from ontogeny.core.seeds import derive
from ontogeny.probes.contexts import as_weights

_MAX_CONTEXTS = 2000  # two million pairs


class DistanceR2(NamedTuple):
    """R² of pairwise distances between predictions with those between each target.

    Attributes:
        r2: by the target's name; NaN where all distances of one kind are equal.
        num_contexts: how many distinct contexts were compared, each with every other.
    """

    r2: dict[str, float]
    num_contexts: int


def distance_r2(
    predicted: Numbers, targets: Mapping[str, Numbers], weights: Numbers | None = None, seed: int = 0
) -> DistanceR2:
    """R² of pairwise distances between predictions with the pairwise distances between each of several targets.

    R² is the squared correlation over pairs i < j with weights w_i w_j, that of the best straight line, since distances
    of targets have different scales. Distances are Euclidean.

    Args:
        predicted: (context, dimension), one row a distinct context, held out: `Probe.predicted`.
        targets: name -> (context, dimension), of any number of dimensions.
        weights: (context,), not negative; by default all alike.
        seed: of the sample that is taken of more than 2000 contexts: as many draws with replacement in proportion to
            the weights, which then weigh as often as they were drawn.

    Raises:
        InvalidArgument: for other shapes, fewer than three contexts of positive weight, values that are not finite, and
            negative weights; a target is named as in the mapping.

    When not to trust it: distances that correlate can still hide a collapse of nearby contexts; few large distances
    can carry the whole R². Where one target determines another, both are high.
    """
    found = arguments.real_matrix("predicted", predicted)
    size = len(found)
    found = _finite_rows("predicted", found, size)
    values = {name: _finite_rows(name, target, size) for name, target in targets.items()}
    weights = as_weights(np.ones(size) if weights is None else weights, size)
    if (weights > 0).sum() < 3:
        positive = f"{(weights > 0).sum()} positive ones"
        raise InvalidArgument("weights", expected="three or more positive", found=positive)
    seed = arguments.whole_number("seed", seed, least=None)
    if size > _MAX_CONTEXTS:
        generator = np.random.default_rng(derive(seed, "distances"))
        weights = generator.multinomial(_MAX_CONTEXTS, weights / weights.sum()).astype(np.float64)
    kept = weights > 0
    distances = pdist(found[kept])
    first, second = np.triu_indices(int(kept.sum()), 1)
    pair_weights = weights[kept][first] * weights[kept][second]
    return DistanceR2(
        {name: _squared_correlation(distances, pdist(value[kept]), pair_weights) for name, value in values.items()},
        int(kept.sum()),
    )


def _finite_rows(name: str, given: Numbers, size: int) -> Float[np.ndarray, "context _"]:
    return arguments.real_array(name, arguments.real_matrix(name, given, size), f"numbers for {size} contexts")


def _squared_correlation(
    a: Float[np.ndarray, " pair"], b: Float[np.ndarray, " pair"], weights: Float[np.ndarray, " pair"]
) -> float:
    a, b = a - np.average(a, weights=weights), b - np.average(b, weights=weights)
    product = float(weights @ a**2) * float(weights @ b**2)
    return float(weights @ (a * b)) ** 2 / product if product > 0 else float("nan")
