"""Attention patterns of any network with heads, one layer and one batch at a time."""

import copy
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from ontogeny.core.errors import InvalidArgument
from ontogeny.models import Head, Site, heads
from ontogeny.models.hooks import replacing
from ontogeny.models.structure_calls import evaluating, recorded

Patterns = Float[Tensor, "sequence head query key"]
Scores = dict[str, Float[Tensor, "head sequence"]]

# A pattern in 16 bits sums to one up to this.
_ROUNDING = 0.05


def attention_patterns(
    model: nn.Module,
    tokens: Int[Tensor, "sequence position"],
    batch_size: int = 16,
    known: Sequence[Head] | None = None,
) -> Iterator[tuple[int, Patterns]]:
    """Attention probabilities of every head, layer by layer and batch by batch.

    Read where a module returns them. Elsewhere, as behind fused kernels, each layer's attention is run again with
    one-hot values: if the value at position k is the k-th unit vector, a head's output at a query is its attention to
    the first d_head positions, and further runs give the next. So what the network attends with is what is returned,
    whatever is added to its scores, and not what a formula says of them.

    Args:
        model: any module on tokens with heads (see `og.heads`). It runs in eval mode without gradients, once a batch;
            it comes back as it was, and interventions on it apply.
        tokens: without padding.
        batch_size: sequences at a time. The most that is held is (batch_size, head, position, position) and the inputs
            of the attentions of one batch.
        known: the heads, where they have been found before; default `heads(model)`.

    Yields:
        The number of a layer, and its patterns on a batch, `(sequence, head, query, key)`. Rows sum to one, or to less
        where a head may attend to nothing.

    Raises:
        InvalidArgument: for a network without heads, and where neither patterns nor values and outputs are shown.
    """
    by_layer: dict[int, list[Head]] = {}
    for head in heads(model) if known is None else known:
        by_layer.setdefault(head.layer, []).append(head)
    if not by_layer:
        raise InvalidArgument(
            "model",
            expected="a network with attention heads",
            found=f"{type(model).__name__}, in which none are told apart",
            instead="a network for which og.heads(model) is not empty",
        )
    paths = {members[0].attention for members in by_layer.values()}
    for batch in tokens.split(batch_size):
        calls = recorded(model, (batch,), paths)
        for layer, members in by_layer.items():
            call = calls.made.pop(members[0].attention)
            module = model.get_submodule(members[0].attention)

            def run(module: nn.Module = module, args: Any = call.args, kwargs: Any = call.kwargs) -> None:
                copied = copy.deepcopy((args, kwargs))  # a cache among the arguments is filled by a run
                module(*copied[0], **copied[1])

            with torch.no_grad(), evaluating(model):
                yield layer, _of_layer(model, members, run, batch.shape[1])


def pattern_scores(
    model: nn.Module,
    tokens: Int[Tensor, "sequence position"],
    score: Callable[[Patterns], Scores],
    batch_size: int = 16,
    known: Sequence[Head] | None = None,
) -> dict[str, Float[Tensor, "layer head sequence"]]:
    """Scores of every head, accumulated over `attention_patterns`, of which no more than one layer's is held at once.

    Args:
        model, tokens, batch_size, known: as for `attention_patterns`.
        score: name -> number by head and sequence, from the patterns of one layer: `text_scores`, `repeat_scores`.

    Returns:
        Name -> scores, on the CPU. Layers are those with heads, in order.

    Raises:
        InvalidArgument: as `attention_patterns`, and for layers with unequal numbers of heads.
    """
    found: dict[str, dict[int, list[Tensor]]] = {}
    for layer, patterns in attention_patterns(model, tokens, batch_size, known):
        for name, scores in score(patterns).items():
            found.setdefault(name, {}).setdefault(layer, []).append(scores.cpu())
    counts = {len(scores[0]) for layers in found.values() for scores in layers.values()}
    if len(counts) > 1:
        raise InvalidArgument(
            "model",
            expected="layers with equally many heads",
            found=f"{sorted(counts)}",
            instead="attention_patterns(model, tokens), which gives each layer's own",
        )
    return {name: torch.stack([torch.cat(each, dim=1) for each in layers.values()]) for name, layers in found.items()}


def _of_layer(model: nn.Module, members: list[Head], run: Callable[[], None], length: int) -> Patterns:
    shown = [head.pattern for head in members]
    if None not in shown:
        return torch.stack(_seen(model, [site for site in shown if site is not None], run), dim=1)
    values = list(dict.fromkeys(head.value.site for head in members))
    outputs = [head.site for head in members]
    if None in values or None in outputs:
        raise InvalidArgument(
            "model",
            expected="attentions whose values and outputs are the inputs or outputs of modules",
            found=f"{members[0].attention!r}, in which no module shows them",
            instead="an attention that calls modules for its projections",
        )
    blocks = []
    for start in range(0, length, len(members[0].value.index)):
        one_hot = [(site, partial(_one_hot, start)) for site in values if site is not None]
        with replacing(model, one_hot):
            blocks.append(torch.stack(_seen(model, [site for site in outputs if site is not None], run), dim=1))
    patterns = torch.cat(blocks, dim=-1)[..., :length]
    sums = patterns.sum(-1)
    if not bool((patterns >= 0).all() & (sums < 1 + _ROUNDING).all()):
        raise InvalidArgument(
            "model",
            expected="heads whose outputs are means of their values",
            found=f"{members[0].attention!r}, whose outputs or values are changed before or after they are averaged",
            instead="a network whose modules return its attention patterns",
        )
    return patterns


def _seen(model: nn.Module, sites: list[Site], run: Callable[[], None]) -> list[Tensor]:
    """The activations at the sites in one run."""
    seen: list[list[Tensor]] = [[] for _ in sites]
    with replacing(model, [(site, each.append) for site, each in zip(sites, seen, strict=True)]):
        run()
    return [each[0] for each in seen]


def _one_hot(start: int, values: Float[Tensor, "batch position width"]) -> Float[Tensor, "batch position width"]:
    """Unit vectors at the positions from `start` on, as many as fit, and zeros at all others."""
    units = torch.zeros_like(values)
    count = min(values.shape[-1], values.shape[-2] - start)
    units[:, start : start + count, :count] = torch.eye(count, dtype=values.dtype, device=values.device)
    return units
