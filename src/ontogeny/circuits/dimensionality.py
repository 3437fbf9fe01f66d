"""How many dimensions of a layer each feature takes up."""

import torch
from jaxtyping import Float
from torch import Tensor

from ontogeny.core.errors import InvalidArgument


def feature_dimensionality(
    directions: Float[Tensor, "..."],
) -> Float[Tensor, "*instance features"]:
    """D_i = |W_i|² / Σ_j (Ŵ_i · W_j)², with Ŵ_i = W_i / |W_i|: the dimensions that feature i does not share.

    A feature with a direction of its own has 1, one of k at the corners of a regular k-gon 2/k, one of a pair of
    opposite features 1/2. In orthogonal subspaces each geometry keeps its own values. ΣD_i is at most the number of
    hidden units, and equal to it where Σ_i W_i W_iᵀ is a multiple of the identity.

    Args:
        directions: W (…, hidden, features), whose columns W_i are how features are written; of one network, or of many
            in leading dimensions. Columns W x of data points x have dimensionalities as well.

    Returns:
        D_i, between 0 and 1; 0 for a feature without any weight.

    Raises:
        InvalidArgument: for fewer than two dimensions.

    Don't read geometry off one value: 1/2 is that of a pair of opposite features, of a square, and of a feature in an
    irregular arrangement. A short feature that is parallel to a long one has almost 0, and the long one almost 1.

    References:
        Elhage et al., "Toy models of superposition", 2022, section "Feature dimensionality".
    """
    if directions.ndim < 2:
        raise InvalidArgument(
            "directions",
            expected="one column a feature, (hidden, features)",
            found=f"shape {tuple(directions.shape)}",
            instead="torch.eye(2)",
        )
    gram = directions.mT @ directions
    squares = gram.diagonal(dim1=-2, dim2=-1)
    overlaps = gram.square().sum(dim=-1)  # |W_i|² Σ_j (Ŵ_i · W_j)²
    return torch.where(overlaps > 0, squares.square() / overlaps, torch.zeros_like(overlaps))
