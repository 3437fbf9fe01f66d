"""Which tokens a network predicts worse without one of its parts, shown in their context."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch
import xarray as xr
from jaxtyping import Int
from torch import Tensor, nn

from ontogeny.circuits.ablations import ablate
from ontogeny.circuits.replacements import Replacement
from ontogeny.core.losses import next_token
from ontogeny.models import heads
from ontogeny.models.structure_calls import evaluating


@dataclass(frozen=True)
class AffectedToken:
    """A token whose loss an ablation changes.

    Attributes:
        sequence, position: where the token stands.
        effect: change of its loss, in nats; positive where the part had helped.
        token: its number.
        context: numbers of the tokens before it, the nearest last.
        text: both as text, the token in brackets, if a decoder was given.
    """

    sequence: int
    position: int
    effect: float
    token: int
    context: tuple[int, ...]
    text: str


@torch.no_grad()
def token_effects(
    model: nn.Module,
    tokens: Int[Tensor, "sequence position"],
    parts: Iterable[str] | None = None,
    how: str | Replacement = "zero",
) -> xr.Dataset:
    """By how much each token's loss changes if a part is ablated.

    Args:
        model: any network of tokens.
        tokens: without padding; all in one batch.
        parts: each is ablated alone; default all heads.
        how: as for `ablate`.

    Returns:
        `loss` (sequence, position), -log p of the token at each position but the first, in nats; `effect` (part,
        sequence, position), the loss without the part less that with it.

    Raises:
        InvalidArgument: as `ablate` and `losses.next_token`.
    """
    names = [head.name for head in heads(model)] if parts is None else list(parts)
    with evaluating(model):
        loss = next_token(model, tokens)
        without = []
        for name in names:
            with ablate(model, name, how):
                without.append(next_token(model, tokens))
    effect = torch.stack([each - loss for each in without]) if names else loss[None][:0]
    coords = {"part": names, "sequence": np.arange(len(tokens)), "position": np.arange(1, tokens.shape[1])}
    data = {
        "loss": (("sequence", "position"), loss.double().cpu().numpy()),
        "effect": (("part", "sequence", "position"), effect.double().cpu().numpy()),
    }
    return xr.Dataset(data, coords)


def most_affected(
    effects: xr.Dataset,
    tokens: Int[Tensor, "sequence position"],
    part: str,
    count: int = 10,
    *,
    before: int = 8,
    decode: Callable[[list[int]], str] | None = None,
) -> list[AffectedToken]:
    """The tokens that an ablation hurts most, in their context.

    Args:
        effects: of `token_effects`.
        tokens: those it was taken on.
        part: which of its parts.
        count: how many, from the most affected.
        before: tokens of context shown.
        decode: numbers to text, as a tokenizer's `decode`.
    """
    values = effects["effect"].sel(part=part)
    sequences, positions = np.unravel_index(np.argsort(-values.values, axis=None)[:count], values.shape)
    found = []
    for sequence, column in zip(sequences.tolist(), positions.tolist(), strict=True):
        position = int(values["position"][column])
        context = tokens[sequence, max(0, position - before) : position].tolist()
        token, effect = int(tokens[sequence, position]), float(values[sequence, column])
        text = "" if decode is None else f"{decode(context)}[{decode([token])}]"
        found.append(AffectedToken(sequence, position, effect, token, tuple(context), text))
    return found
