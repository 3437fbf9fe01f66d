"""Random tokens that repeat, on which heads are told apart: nothing but the repetition can be known of them."""

import torch
from jaxtyping import Int
from pydantic import Field, NonNegativeInt, PositiveInt
from torch import Tensor, nn

from ontogeny.core.errors import InvalidArgument
from ontogeny.core.seeds import generator
from ontogeny.core.settings import Settings

_CONTEXT = ("context_length", "max_position_embeddings")  # of our config; of those of transformers, by any name there


class RepeatConfig(Settings):
    """Sequences of random tokens, none twice, and then the same ones again (Olsson et al. 2022, 2209.11895).

    Where a network's config states a shorter context, there are fewer occurrences, and then fewer tokens; no more
    tokens than the vocabulary has.

    Attributes:
        num_sequences: sequences.
        period: distinct tokens.
        occurrences: how often they stand in a sequence.
        first: a token that all sequences begin with, for networks that expect one, as those of Hugging Face with
            `tokenizer.bos_token_id` do. No score counts its query or its key.
        tokens: those to draw from; default the whole vocabulary, all alike. Olsson et al. leave out very common and
            very rare ones. In a network trained on text rare tokens hardly show induction: give the common ones.
    """

    num_sequences: PositiveInt = 10
    period: int = Field(default=25, ge=2)
    occurrences: int = Field(default=4, ge=2)
    first: NonNegativeInt | None = None
    tokens: tuple[int, ...] | None = None


def repeated_tokens(
    model: nn.Module, vocabulary: int, config: RepeatConfig, seed: int
) -> tuple[Int[Tensor, "sequence position"], int]:
    """Sequences on the model's device, without `first`, and their period.

    Raises:
        InvalidArgument: where fewer than two tokens fit twice into the context or can be drawn.
    """
    pool = torch.arange(vocabulary) if config.tokens is None else torch.tensor(config.tokens)
    room = _context(model, config.period * config.occurrences + 1) - (config.first is not None)
    period = min(config.period, len(pool), room // 2)
    if period < 2:
        raise InvalidArgument(
            "repeats",
            expected="two tokens or more, in a context that holds them twice",
            found=f"{len(pool)} tokens and {room} positions",
            instead="circuits.text_scores by pattern_scores, which needs no repetition",
        )
    source = generator(seed, "repeats")
    once = torch.stack(
        [pool[torch.randperm(len(pool), generator=source)[:period]] for _ in range(config.num_sequences)]
    )
    device = next(model.parameters()).device
    return once.repeat(1, min(config.occurrences, room // period)).to(device), period


def _context(model: nn.Module, default: int) -> int:
    config = getattr(model, "config", None)
    stated = [getattr(config, name, None) for name in _CONTEXT]
    return min([each for each in stated if isinstance(each, int) and each > 0], default=default)
