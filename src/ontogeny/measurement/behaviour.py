"""Behaviour of a language model at a checkpoint: losses, distance to n-gram laws, in-context learning, head scores."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, partial

import numpy as np
import torch
import torch.nn.functional as F
import xarray as xr
from jaxtyping import Float, Int
from torch import Tensor, nn

from ontogeny.circuits import pattern_scores, repeat_scores, text_scores
from ontogeny.core.errors import InvalidArgument
from ontogeny.core.losses import next_token
from ontogeny.data import cross_entropy
from ontogeny.models import Head, Transformer, TransformerConfig, heads

_BATCH = 32


@dataclass(frozen=True)
class LanguageBehaviour:
    """A behaviour for `measure`: the standard measures of a small language model on fixed probes.

    Losses are in nats.

    - `test_loss` (distribution), `loss_by_position` (distribution, position): next-token loss on held-out text.
    - `icl_score`, `icl_by_sequence`: loss late in the context minus loss early; more negative means more in-context
      learning.
    - `ngram_cross_entropy` (order): -Σ q log p of the model p against the n-gram law q of the training text;
      `ngram_by_sequence` (order, ngram_sequence): the same for each probe sequence.
    - `ngram_entropy` (order): entropy of those laws on the same text, the minimum of the cross-entropy.
    - `head_score` (score, layer, head), `head_score_by_sequence`: see `ontogeny.circuits`.
    - `repeated_gain`: loss on the second half of repeated random tokens minus the first; negative means induction.
    - `token_losses` (probe_token): the loss of every `output_stride`-th token of the held-out sequences, for the PCA of
      single tokens' losses over checkpoints (Olsson et al., 2209.11895).
    - `outputs` (output): log-probabilities at a few positions, for trajectory PCA.

    Args:
        held_out: distribution -> tokens (sequence, position); the first is used for in-context learning and outputs.
        ngram_laws: order -> conditionals (probe, position - 1, vocabulary) on the first sequences of that
            distribution.
        repeats: sequences whose second half repeats the first, with tokens drawn from the text's unigram law. Uniform
            tokens are so far from the text that induction hardly shows.
        early, late: positions [start, stop) of the in-context-learning score; Olsson et al. (2209.11895) compare single
            tokens, 50 and 500 of 512; here windows of a shorter context are compared.
        output_sequences, output_stride: probes of `outputs`; the stride is that of `token_losses` too.
    """

    held_out: Mapping[str, Int[Tensor, "sequence position"]]
    ngram_laws: Mapping[str, Float[Tensor, "probe predicted vocabulary"]]
    repeats: Int[Tensor, "repeat position"]
    early: tuple[int, int]
    late: tuple[int, int]
    output_sequences: int = 16
    output_stride: int = 8

    @torch.no_grad()
    def __call__(self, model: nn.Module) -> xr.Dataset:
        if not isinstance(model, Transformer):
            raise InvalidArgument("model_fn", expected="an ontogeny.models.Transformer", found=type(model).__name__)
        main = next(iter(self.held_out))
        losses = {name: _losses(model, tokens) for name, tokens in self.held_out.items()}
        by_position = torch.stack([loss.mean(dim=0) for loss in losses.values()])
        icl = losses[main][:, slice(*self.late)].mean(dim=1) - losses[main][:, slice(*self.early)].mean(dim=1)
        variables = {
            "test_loss": ("distribution", by_position.mean(dim=1)),
            "loss_by_position": (("distribution", "position"), by_position),
            "icl_score": ((), icl.mean()),
            "icl_by_sequence": ("sequence", icl),
            "token_losses": ("probe_token", losses[main][:, :: self.output_stride].flatten()),
            "outputs": ("output", self._outputs(model, main)),
            **self._ngrams(model, main),
            **self._heads(model, main),
        }
        coords = {"distribution": list(self.held_out), "position": np.arange(1, by_position.shape[1] + 1)}
        coords |= {"order": list(self.ngram_laws), "score": list(SCORES)}
        dataset = xr.Dataset({name: (dims, value.numpy()) for name, (dims, value) in variables.items()}, coords)
        dataset["ngram_entropy"].attrs["constant"] = 1
        return dataset

    def _outputs(self, model: Transformer, main: str) -> Tensor:
        tokens = self.held_out[main][: self.output_sequences]
        return _log_probs(model, tokens)[:, :: self.output_stride].flatten()

    def _ngrams(self, model: Transformer, main: str) -> dict[str, tuple[tuple[str, ...] | str, Tensor]]:
        count = len(next(iter(self.ngram_laws.values())))
        log_probs = _log_probs(model, self.held_out[main][:count])[:, :-1]
        distances = torch.stack([cross_entropy(log_probs, law).mean(dim=1) for law in self.ngram_laws.values()])
        entropies = torch.stack([torch.special.entr(law).sum(dim=-1).mean() for law in self.ngram_laws.values()])
        return {
            "ngram_cross_entropy": ("order", distances.mean(dim=1)),
            "ngram_by_sequence": (("order", "ngram_sequence"), distances),
            "ngram_entropy": ("order", entropies),
        }

    def _heads(self, model: Transformer, main: str) -> dict[str, tuple[tuple[str, ...] | str, Tensor]]:
        period = self.repeats.shape[1] // 2
        text, repeats = (_on(model, tokens) for tokens in (self.held_out[main][: len(self.repeats)], self.repeats))
        known = _heads(model.config)
        found = pattern_scores(model, text, text_scores, known=known)
        found |= pattern_scores(model, repeats, partial(repeat_scores, period=period), known=known)
        scores = torch.stack([found[name] for name in SCORES])
        loss = _losses(model, self.repeats)
        return {
            "head_score": (("score", "layer", "head"), scores.mean(dim=-1)),
            "head_score_by_sequence": (("score", "layer", "head", "repeat"), scores),
            "repeated_gain": ((), loss[:, period:].mean() - loss[:, : period - 1].mean()),
        }


@cache
def _heads(config: TransformerConfig) -> tuple[Head, ...]:
    """The heads of such a transformer, found once for all checkpoints."""
    return tuple(heads(Transformer(config, torch.Generator())))


SCORES = ("previous_token", "current_token", "duplicate_token", "prefix_matching")


def _losses(model: Transformer, tokens: Tensor) -> Float[Tensor, "sequence position"]:
    return torch.cat([next_token(model, _on(model, part)).cpu() for part in tokens.split(_BATCH)])


def _log_probs(model: Transformer, tokens: Tensor) -> Float[Tensor, "sequence position vocabulary"]:
    return torch.cat([F.log_softmax(model(_on(model, part)), dim=-1).cpu() for part in tokens.split(_BATCH)])


def _on(model: Transformer, tokens: Tensor) -> Tensor:
    return tokens.to(model.embed.W_E.device)
