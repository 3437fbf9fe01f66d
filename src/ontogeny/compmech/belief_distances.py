"""Whether the distances between predicted beliefs are those between beliefs, or those between next-token laws."""

from dataclasses import dataclass

from ontogeny.core.arguments import Numbers
from ontogeny.probes import distance_r2


@dataclass(frozen=True)
class DistanceComparison:
    """R² of pairwise distances of predicted beliefs with two others.

    Attributes:
        beliefs_r2: with the distances of the true beliefs.
        laws_r2: with the distances of the next-token laws.
        num_contexts: how many distinct contexts were compared, each with every other.
    """

    beliefs_r2: float
    laws_r2: float
    num_contexts: int

    def __str__(self) -> str:
        return (
            f"pairwise distances of {self.num_contexts} contexts: R² {self.beliefs_r2:.4f} with beliefs, "
            f"{self.laws_r2:.4f} with next-token laws"
        )


def distance_comparison(
    predicted: Numbers,
    beliefs: Numbers,
    next_token_laws: Numbers,
    weights: Numbers | None = None,
    seed: int = 0,
) -> DistanceComparison:
    """R² of pairwise distances of predicted beliefs with those of true beliefs and with those of next-token laws.

    R² is the squared correlation over pairs i < j with weights w_i w_j, that of the best straight line, since distances
    of laws have another scale than those of beliefs. Distances are Euclidean.

    Args:
        predicted: (context, state), one row a distinct context, held out: `Probe.predicted`.
        beliefs: (context, state).
        next_token_laws: (context, token).
        weights: (context,), not negative; by default all alike.
        seed: of the sample that is taken of more than 2000 contexts: as many draws with replacement in proportion to
            the weights, which then weigh as often as they were drawn. The standard error of R² was below 0.01 in
            all trials on mess3.

    Returns:
        Both, NaN where all distances of one kind are equal.

    Raises:
        InvalidArgument: for other shapes, fewer than three contexts of positive weight, values that are not finite, and
            negative weights.

    When not to trust it: distances that correlate can still hide a collapse of nearby contexts; few large distances
    can carry the whole R². Where the law determines the belief (mess3) both are high.

    Source: Shai et al. (arXiv 2405.15943), on RRXOR: .95 with beliefs against .31 with laws. The distances of the
    beliefs themselves have .313 with those of the laws on its 1046 contexts of 1 to 10 tokens, weighed alike, and
    .267 weighed by probability.
    """
    found = distance_r2(predicted, {"beliefs": beliefs, "next_token_laws": next_token_laws}, weights, seed)
    return DistanceComparison(found.r2["beliefs"], found.r2["next_token_laws"], found.num_contexts)
