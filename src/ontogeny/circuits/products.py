"""The circuits of a head as products of its weights: which queries meet which keys, and what is moved."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ontogeny.circuits.ends import embedding, head_named, unembedding
from ontogeny.circuits.low_rank import LowRank
from ontogeny.circuits.norms import norm_before
from ontogeny.core.errors import InvalidArgument
from ontogeny.models import Head

_ROTARY = "Queries and keys are turned by their positions: this product holds at distance zero alone."


def qk_circuit(model: nn.Module, head: str, *, full: bool = False, fold_norm: bool = False) -> LowRank:
    """W_Q W_Kᵀ, which makes the score of a query (row) and a key (column), before the constant 1/√d_head.

    Elhage et al. 2021. Biases and positions are not in it: a score is q·k with q = x W_Q + b_Q. Grouped queries share
    keys: heads of a group have one W_K and their own W_Q. Under rotary positions scores between positions are other
    products, which the note says. Patterns, with all of this in them, are those of `attention_patterns`.

    Args:
        model: any module with heads (`og.heads`). Its weights are read, never changed.
        head: name, such as `"L1H3"`.
        full: from token to token, W_E W_Q W_Kᵀ W_Eᵀ, (vocabulary, vocabulary), which is never formed; default between
            directions of the stream, (d_model, d_model). A head that reads embeddings does this: one of layer 0.
        fold_norm: fold the gain of the norm that the attention reads through, and its centring, into W_Q and W_K.

    Raises:
        InvalidArgument: for names of no head, and for heads whose queries or keys are normalised, which have no such
            product: `normalized` of `og.heads`.
    """
    found = head_named(model, head)
    if found.normalized != "no":
        raise InvalidArgument(
            "head",
            expected="a head whose score is a product of query and key",
            found=f"{head!r}, whose queries or keys are divided by their length first ({found.normalized})",
            instead="circuits.attention_patterns(model, tokens), or ov_circuit, which exists for every head",
        )
    fold = _fold(model, found, fold_norm)
    query, key = fold(found.W_Q), fold(found.W_K)
    if full:
        tokens = _floating(embedding(model))
        query, key = tokens @ query, tokens @ key
    return LowRank(query, key.mT, _ROTARY if found.rotary else "")


def ov_circuit(model: nn.Module, head: str, *, full: bool = False, fold_norm: bool = False) -> LowRank:
    """W_V W_O, which makes what a head writes (column) of what it attends to (row).

    Elhage et al. 2021. Biases are not in it. Grouped queries share values: heads of a group have one W_V.

    Args:
        model, head: as for `qk_circuit`.
        full: from tokens to logits, W_E W_V W_O W_U, (vocabulary, vocabulary), which is never formed: what a head adds
            directly where it reads embeddings.
        fold_norm: fold the norm that the attention reads through into W_V and, if `full`, the final norm into W_U.

    Raises:
        InvalidArgument: for names of no head.
    """
    found = head_named(model, head)
    value, output = _fold(model, found, fold_norm)(found.W_V), _floating(found.W_O)
    if full:
        value, output = _floating(embedding(model)) @ value, output @ _floating(unembedding(model, fold_norm)[0])
    return LowRank(value, output)


def direct_path(model: nn.Module, *, fold_norm: bool = False) -> LowRank:
    """W_E W_U, (vocabulary, vocabulary): what a token says of the next one through no layer, its bigrams at best.

    Args:
        model: any module with heads, an embedding and an unembedding.
        fold_norm: fold the final norm into W_U.
    """
    return LowRank(_floating(embedding(model)), _floating(unembedding(model, fold_norm)[0]))


def copying_score(model: nn.Module, head: str, *, fold_norm: bool = False) -> float:
    """Σλ / Σ|λ| over the eigenvalues of the full OV circuit, in [-1, 1]: 1 for a head that raises what it attends to.

    Elhage et al. 2021. Not evidence alone: a matrix with positive eigenvalues may raise other tokens more than the
    token itself. `head_scores` measures what is raised on sequences.
    """
    return ov_circuit(model, head, full=True, fold_norm=fold_norm).positive_share()


def _fold(model: nn.Module, head: Head, fold_norm: bool) -> Callable[[Tensor], Float[Tensor, "d_model d_head"]]:
    norm = norm_before(model, head.attention) if fold_norm else None
    return lambda weight: _floating(weight) if norm is None else norm.folded(_floating(weight))


def _floating(weight: Tensor) -> Tensor:
    """Detached, and in 32 bits at least, in which decompositions are."""
    detached = weight.detach()
    return detached if detached.dtype == torch.float64 else detached.float()
