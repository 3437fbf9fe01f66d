"""What a head of layer 0 says by itself: source a … destination b → output c, and what it must say besides.

Elhage et al. 2021. A head that attends from b to a by QK[b, a] raises c by OV[a, c] then, whichever b it was. So a head
cannot hold two skip-trigrams of one source apart.
"""

from collections.abc import Sequence

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor, nn

from ontogeny.circuits.ends import head_named
from ontogeny.circuits.low_rank import LowRank
from ontogeny.circuits.products import ov_circuit, qk_circuit
from ontogeny.core.errors import InvalidArgument

Trigram = tuple[int, int, int]

_BLOCK = 2**24  # numbers held at once


@torch.no_grad()
def skip_trigrams(model: nn.Module, head: str, count: int = 20, *, fold_norm: bool = False) -> xr.Dataset:
    """The skip-trigrams that a head says most strongly, over the whole vocabulary.

    score(a, b, c) = QK[b, a] + OV[a, c]. QK = W_E W_Q W_Kᵀ W_Eᵀ / √d_head is the attention score of destination b and
    source a, less its mean over sources, which the softmax does not see; OV = W_E W_V W_O W_U is what attending to a
    adds to the logit of c, less its mean over outputs, which the next softmax does not see.

    Exact for a head of layer 0 with neither norm nor positions; of others it is the direct path from embeddings alone.
    Norms scale both parts, and positions add to the attention score. Memory stays below that of a few rows of the
    vocabulary by vocabulary table, which is never formed.

    Args:
        model, head, fold_norm: as for `qk_circuit` and `ov_circuit`, whose full circuits are read.
        count: how many, from the strongest.

    Returns:
        `source`, `destination`, `output`, `score`, `attention` (QK) and `effect` (OV), over `rank`.

    Raises:
        InvalidArgument: as `qk_circuit` and `ov_circuit`.
    """
    qk, ov = _circuits(model, head, fold_norm)
    vocabulary = qk.shape[0]
    few = min(count, vocabulary)
    best: dict[str, Tensor] = {}
    scores_mean, effect_mean = qk.mean_column(), ov.mean_column()
    for sources in torch.arange(vocabulary, device=qk.left.device).split(max(1, _BLOCK // vocabulary)):
        # given its source a trigram's score is a sum, so that the best are among sums of the best
        attention = (qk.columns(sources) - scores_mean[:, None]).mT.topk(few)
        effect = (ov.rows(sources) - effect_mean[sources, None]).topk(few)
        pairs = attention.values[:, :, None] + effect.values[:, None, :]
        chosen = pairs.flatten().topk(min(count, pairs.numel()))
        row, first, second = torch.unravel_index(chosen.indices, pairs.shape)
        block = {
            "source": sources[row],
            "destination": attention.indices[row, first],
            "output": effect.indices[row, second],
            "score": chosen.values,
            "attention": attention.values[row, first],
            "effect": effect.values[row, second],
        }
        joined = {name: torch.cat([best[name], each]) if best else each for name, each in block.items()}
        order = joined["score"].argsort(descending=True, stable=True)[:count]
        best = {name: each[order] for name, each in joined.items()}
    return xr.Dataset({name: ("rank", each.cpu().numpy()) for name, each in best.items()}, attrs={"note": qk.note})


@torch.no_grad()
def skip_trigram_bugs(
    model: nn.Module, head: str, trigrams: Sequence[Trigram], *, fold_norm: bool = False
) -> xr.Dataset:
    """What a head that serves these skip-trigrams must say besides.

    For two of one source, (a, b, c) and (a, b', c'), the crossed (a, b, c') and (a, b', c) have
    score(a, b, c') + score(a, b', c) = score(a, b, c) + score(a, b', c'), whatever the weights: the head cannot lower
    one but by raising the other.

    Args:
        model, head, fold_norm: as for `skip_trigrams`.
        trigrams: (source, destination, output) that are served, such as those that the text has.

    Returns:
        `source`, `destination`, `output`, `score` (of `skip_trigrams`) and `served`, over `trigram`: those given, then
        all crossings of them that are not among them, the bugs, from the strongest.

    Raises:
        InvalidArgument: for no trigrams, and as `skip_trigrams`.
    """
    served = list(dict.fromkeys(trigrams))
    if not served:
        raise InvalidArgument("trigrams", expected="one (source, destination, output) or more", found="none")
    crossed = {(a, b, c) for a, b, _ in served for other, _, c in served if other == a}
    qk, ov = _circuits(model, head, fold_norm)
    scores_mean, effect_mean = qk.mean_column(), ov.mean_column()
    rows = []
    for a, b, c in [*served, *sorted(crossed - set(served))]:
        attention = qk.left[b] @ qk.right[:, a] - scores_mean[b]
        rows.append((a, b, c, float(attention + ov.left[a] @ ov.right[:, c] - effect_mean[a]), (a, b, c) in served))
    rows[len(served) :] = sorted(rows[len(served) :], key=lambda row: -row[3])
    columns = zip(*rows, strict=True)
    names = ("source", "destination", "output", "score", "served")
    return xr.Dataset({name: ("trigram", np.array(each)) for name, each in zip(names, columns, strict=True)})


@torch.no_grad()
def source_shares(
    model: nn.Module, head: str, destination: int, sources: Sequence[int], *, fold_norm: bool = False
) -> Float[np.ndarray, " source"]:
    """How a destination's attention is divided among sources that compete: softmax of QK[b, a] over them.

    Every source takes from all others: in a context with a rival a' the weight of a falls from 1 to
    1 / (1 + exp(QK[b, a'] - QK[b, a])), and with it the effect of its skip-trigram. A source that stands in the context
    several times is given several times.
    """
    qk, _ = _circuits(model, head, fold_norm)
    return (qk.left[destination] @ qk.right[:, list(sources)]).softmax(-1).cpu().numpy()


def _circuits(model: nn.Module, head: str, fold_norm: bool) -> tuple[LowRank, LowRank]:
    qk = qk_circuit(model, head, full=True, fold_norm=fold_norm)
    scale = head_named(model, head).W_Q.shape[1] ** -0.5
    return LowRank(scale * qk.left, qk.right, qk.note), ov_circuit(model, head, full=True, fold_norm=fold_norm)
