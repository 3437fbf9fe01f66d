"""What each attention head attends to: scores from attention patterns, one number a head and sequence."""

from collections.abc import Sequence

import xarray as xr
from jaxtyping import Float
from torch import Tensor

from ontogeny.core.errors import InvalidArgument


def text_scores(
    patterns: Float[Tensor, "*layer sequence head query key"],
) -> dict[str, Float[Tensor, "*layer head sequence"]]:
    """`previous_token`: mean attention from position i to i - 1; `current_token`: to i itself; on any text.

    Elhage et al. 2021; Olsson et al. 2022 (2209.11895). The first position attends only to itself and is left out of
    both. For `pattern_scores`, or of patterns at hand.
    """
    return {
        "previous_token": _mean_diagonal(patterns[..., 1:, :], 0),
        "current_token": _mean_diagonal(patterns[..., 1:, :], 1),
    }


def repeat_scores(
    patterns: Float[Tensor, "*layer sequence head query key"], period: int
) -> dict[str, Float[Tensor, "*layer head sequence"]]:
    """Scores on sequences of random tokens that repeat with `period`, over the positions after the first occurrence.

    `prefix_matching` (induction): mean attention from position i to i - period + 1, the token that followed the earlier
    occurrence of the present one; `duplicate_token`: to i - period, the earlier occurrence itself. Olsson et al.
    2022, 2209.11895.

    Raises:
        InvalidArgument: if the sequences do not hold a repetition.
    """
    if not 1 < period < patterns.shape[-1]:
        raise InvalidArgument("period", expected=f"between 2 and {patterns.shape[-1] - 1}", found=str(period))
    repeated = patterns[..., period:, :]
    return {"prefix_matching": _mean_diagonal(repeated, 1), "duplicate_token": _mean_diagonal(repeated, 0)}


def _mean_diagonal(patterns: Tensor, offset: int) -> Float[Tensor, "*layer head sequence"]:
    """Mean over queries q of the attention to key q + offset, q counted from the first row given."""
    return patterns.diagonal(offset, dim1=-2, dim2=-1).mean(dim=-1).transpose(-1, -2)


def head_types(scores: xr.DataArray, least: Sequence[tuple[str, float]], other: str = "other") -> dict[str, str]:
    """Name of each head, "L0H1" -> the first score that reaches its threshold.

    Args:
        scores: (score, layer, head).
        least: score and threshold, in order.
        other: the type of heads that reach none.
    """
    types = {}
    for layer in range(scores.sizes["layer"]):
        for head in range(scores.sizes["head"]):
            own = scores.isel(layer=layer, head=head)
            reached = [name for name, threshold in least if float(own.sel(score=name)) >= threshold]
            types[f"L{layer}H{head}"] = reached[0] if reached else other
    return types
