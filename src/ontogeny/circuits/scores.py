"""Scores of every head of a network, on repeated random tokens and on text."""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
import xarray as xr
from jaxtyping import Float, Int
from torch import Tensor, nn

from ontogeny.circuits.ends import unembedding
from ontogeny.circuits.heads import attention_entropy, repeat_scores, text_scores
from ontogeny.circuits.patterns import Patterns, Scores, attention_patterns, pattern_scores
from ontogeny.circuits.repeats import RepeatConfig, repeated_tokens
from ontogeny.core.errors import InvalidArgument
from ontogeny.models import Head, heads, run_with_cache
from ontogeny.models.structure_calls import evaluating

_REPEATS = RepeatConfig()


@torch.no_grad()
def head_scores(
    model: nn.Module,
    text: Int[Tensor, "sequence position"] | None = None,
    *,
    repeats: RepeatConfig = _REPEATS,
    seed: int = 0,
    batch_size: int = 16,
    known: Sequence[Head] | None = None,
) -> xr.Dataset:
    """What each head attends to, and whether it raises what it attends to; each in [0, 1] but the entropy.

    | variable | mean over queries of |
    |---|---|
    | `previous_token`, `current_token` | attention to the position before, and to the query's own; on `text` |
    | `attention_entropy` | -Σ a log a, in nats; on `text` |
    | `duplicate_token` | attention to earlier occurrences of the query's token; on repeats |
    | `prefix_matching` | attention to the positions after these, as of an induction head; on repeats |
    | `copying` | of what the head raises among the tokens of a sequence, the share that is the token attended to |

    For `copying`, the value at key k, through W_O, the final norm's gain and W_U, gives logits; less their mean over
    the vocabulary, r_k(t) = max(0, ·) is what the head raises token t by if it attends to k. The score is
    Σ a_qk r_k(t_k) / Σ a_qk r_k(t) over queries, keys, and tokens t of the sequence, on the first occurrence of each
    token. It is 1 if the head raises only what it attends to, 1/period for one that raises all alike, 0 if it lowers
    what it attends to, and NaN if it raises nothing. Olsson et al. 2022 (2209.11895) take the share of the head's total
    effect at each query and map it to [-1, 1].

    Not to be trusted alone: a pattern on random tokens says what a head attends to there, not what the network uses it
    for. `copying` is the direct effect, with no later layer, and leaves out norms between W_O and the stream.

    Args:
        model: any network of tokens with heads; interventions on it apply.
        text: tokens without padding, all counted; default the repeats.
        repeats: the random sequences.
        seed: of them.
        batch_size: sequences at a time.
        known: the heads, where they have been found before; default `heads(model)`.

    Returns:
        Variables over (layer, head). Attributes: `period` and `occurrences` as they were used.

    Raises:
        InvalidArgument: as `attention_patterns`; for layers with unequal numbers of heads; and for heads whose values
            no module shows.
    """
    found = heads(model) if known is None else known
    matrix, _ = unembedding(model, fold_norm=True)
    tokens, period = repeated_tokens(model, matrix.shape[1], repeats, seed)
    begun, repeated = int(repeats.first is not None), _with_first(tokens, repeats.first)
    on_text = (repeated, begun) if text is None else (text, 0)
    scores: Scores = {}
    for score, (given, begin) in (
        (text_scores, on_text),
        (attention_entropy, on_text),
        (partial(repeat_scores, period=period), (repeated, begun)),
    ):
        scores |= pattern_scores(model, given, partial(_from, begin, score), batch_size, found)
    variables = {name: each.mean(-1) for name, each in scores.items()}
    variables["copying"] = _copying(model, repeated[:, : begun + period], begun, matrix, found, batch_size)
    coords = {"layer": sorted({head.layer for head in found}), "head": np.arange(variables["copying"].shape[1])}
    attrs = {"period": period, "occurrences": tokens.shape[1] // period}
    data = {name: (("layer", "head"), each.double().cpu().numpy()) for name, each in variables.items()}
    return xr.Dataset(data, coords, attrs)


def _from(begin: int, score: Callable[[Patterns], Scores], patterns: Patterns) -> Scores:
    """Scores of the positions from `begin` on."""
    return score(patterns[..., begin:, begin:])


def _with_first(tokens: Int[Tensor, "sequence position"], first: int | None) -> Int[Tensor, "sequence longer"]:
    return tokens if first is None else F.pad(tokens, (1, 0), value=first)


def _copying(
    model: nn.Module,
    tokens: Int[Tensor, "sequence position"],
    begin: int,
    unembedded: Float[Tensor, "d_model vocabulary"],
    known: Sequence[Head],
    batch_size: int,
) -> Float[Tensor, "layer head"]:
    """The score of the same name, over the positions from `begin` on, whose tokens differ."""
    hidden = [head.name for head in known if head.value.site is None]
    if hidden:
        raise InvalidArgument(
            "model",
            expected="heads whose values are shown by a module",
            found=f"{hidden[0]!r}, whose values are not",
            instead="pattern_scores(model, tokens, text_scores), which takes patterns alone",
        )
    kept = slice(begin, None)
    centre = unembedded.mean(1)
    own, total = (dict.fromkeys(((head.layer, head.index) for head in known), 0.0) for _ in range(2))
    sites = {head.value.site for head in known if head.value.site is not None}
    for batch in tokens.split(batch_size):
        with evaluating(model):
            values = run_with_cache(model, batch, names=sites)[1]
        raised_by = unembedded[:, batch[:, kept]] - centre[:, None, None]  # d_model, sequence, token
        for layer, patterns in attention_patterns(model, batch, batch_size, known):
            for place, head in enumerate(each for each in known if each.layer == layer):
                written = values[head.value.site][:, kept] @ head.W_O
                raised = torch.einsum("bkd,dbt->bkt", written.float(), raised_by.float()).relu()
                weight = patterns[:, place, kept, kept].sum(1)  # what a key gets of all queries
                own[layer, head.index] += float((weight * raised.diagonal(dim1=-2, dim2=-1)).sum())
                total[layer, head.index] += float((weight * raised.sum(-1)).sum())
    shares = torch.tensor([own[each] for each in own]) / torch.tensor([total[each] for each in own])
    return shares.view(len({head.layer for head in known}), -1)
