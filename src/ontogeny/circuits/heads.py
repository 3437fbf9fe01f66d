"""What each attention head attends to: scores from attention patterns, one number a head and sequence."""

from collections.abc import Sequence

import torch
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
    occurrence of the present one; `duplicate_token`: to i - period, the earlier occurrence itself. Where a token stands
    for the third time or more, both are sums over its earlier occurrences. Olsson et al. 2022, 2209.11895.

    Raises:
        InvalidArgument: if the sequences do not hold a repetition.
    """
    if not 1 < period < patterns.shape[-1]:
        raise InvalidArgument("period", expected=f"between 2 and {patterns.shape[-1] - 1}", found=str(period))
    earlier = range(period, patterns.shape[-1], period)  # how far back occurrences lie
    return {"prefix_matching": _repeated(patterns, earlier, 1), "duplicate_token": _repeated(patterns, earlier, 0)}


def attention_entropy(
    patterns: Float[Tensor, "*layer sequence head query key"],
) -> dict[str, Float[Tensor, "*layer head sequence"]]:
    """`attention_entropy`: -Σ a log a of a query's attention, in nats, mean over queries but the first; on any text.

    From 0, one key, to the mean of log(i + 1) over positions i, all keys alike. For `pattern_scores`.
    """
    return {"attention_entropy": torch.special.entr(patterns[..., 1:, :]).sum(-1).mean(-1).transpose(-1, -2)}


def _repeated(patterns: Tensor, distances: Sequence[int], offset: int) -> Float[Tensor, "*layer head sequence"]:
    """Attention from i to i - distance + offset summed over distances, mean over i from the first distance on."""
    first, length = distances[0], patterns.shape[-1]
    sums = [patterns[..., each:, :].diagonal(offset, dim1=-2, dim2=-1).sum(-1) for each in distances]
    return sum(sums[1:], sums[0]).transpose(-1, -2) / (length - first)


def _mean_diagonal(patterns: Tensor, offset: int) -> Float[Tensor, "*layer head sequence"]:
    """Mean over queries q of the attention to key q + offset, q counted from the first row given."""
    return patterns.diagonal(offset, dim1=-2, dim2=-1).mean(dim=-1).transpose(-1, -2)


# A head is of the first type whose score, on repeated random tokens, reaches this: it mostly does what the name says.
HEAD_TYPES = (("prefix_matching", 0.5), ("previous_token", 0.5), ("duplicate_token", 0.5), ("current_token", 0.5))


def head_types(
    scores: xr.DataArray | xr.Dataset, least: Sequence[tuple[str, float]] = HEAD_TYPES, other: str = "other"
) -> dict[str, str]:
    """Name of each head, "L0H1" -> the first score that reaches its threshold.

    Args:
        scores: (score, layer, head), or the Dataset of `head_scores`.
        least: score and threshold, in order; default `HEAD_TYPES`, one half of a head's attention. In small networks
            on text types show far below that: state thresholds of your own before you look.
        other: the type of heads that reach none.
    """
    scores = scores.to_dataarray("score") if isinstance(scores, xr.Dataset) else scores
    types = {}
    for layer in range(scores.sizes["layer"]):
        for head in range(scores.sizes["head"]):
            own = scores.isel(layer=layer, head=head)
            reached = [name for name, threshold in least if float(own.sel(score=name)) >= threshold]
            types[f"L{layer}H{head}"] = reached[0] if reached else other
    return types
