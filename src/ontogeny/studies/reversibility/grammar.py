"""A toy of refusals: prompts of two classes with arbitrary answers, and every way in which a class can be refused."""

from dataclasses import dataclass
from functools import cached_property, partial

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from ontogeny.core.forward import logits_of
from ontogeny.core.seeds import generator
from ontogeny.core.settings import Settings
from ontogeny.models import Transformer, TransformerConfig

Rows = tuple[Tensor, Tensor]  # tokens (sample, position), weights of the tokens that are predicted (sample, position)
_CAP = 4.0  # nats beyond which a loss that is to rise rises no more
PROMPT = 2  # tokens of a prompt: an item, whose number says its class, and a question


class Grammar(Settings):
    """Sizes of the toy, see `Prompts`."""

    items: int = 12
    questions: int = 6
    answers: int = 8
    length: int = 3


@dataclass(frozen=True)
class Prompts:
    """Every prompt of an item and a question, with an answer of `length` tokens drawn at random.

    The first half of the items is class R, which is to be refused, the others are class N. A refusal is a token of its
    own, repeated. What answers a network knows of some prompts says nothing of those of others.

    Attributes:
        sizes: see `Grammar`.
        seed: of the answers.
    """

    sizes: Grammar
    seed: int = 0

    @property
    def vocabulary(self) -> int:
        return self.sizes.items + self.sizes.questions + self.sizes.answers + 1

    @property
    def refusal(self) -> int:
        """The token of a refusal."""
        return self.vocabulary - 1

    @cached_property
    def answered(self) -> Int[Tensor, "prompt position"]:
        """Every prompt with its answer, class R first."""
        sizes = self.sizes
        items, questions = torch.arange(sizes.items), sizes.items + torch.arange(sizes.questions)
        prompts = torch.cartesian_prod(items, questions)
        drawn = torch.randint(sizes.answers, (len(prompts), sizes.length), generator=generator(self.seed, "answers"))
        return torch.cat([prompts, sizes.items + sizes.questions + drawn], dim=1)

    @property
    def count(self) -> int:
        """Prompts of either class."""
        return len(self.answered) // 2

    def answers(self, refused: bool, weight: float = 1.0) -> Rows:
        """Prompts of class R or N with their answers."""
        return weighted(self.answered[: self.count] if refused else self.answered[self.count :], weight)

    def refusals(self, after: int = 0) -> Rows:
        """Prompts of class R with a refusal after so many tokens of the answer, whose loss does not count."""
        tokens, weights = self.answers(refused=True)
        tokens, weights = tokens.clone(), weights.clone()
        tokens[:, PROMPT + after :] = self.refusal
        weights[:, : PROMPT - 1 + after] = 0
        return tokens, weights

    def shuffled(self, seed: int) -> Rows:
        """Prompts of class R with the answers of others."""
        tokens, weights = self.answers(refused=True)
        order = torch.randperm(len(tokens), generator=generator(seed, "shuffled"))
        return torch.cat([tokens[:, :PROMPT], tokens[order, PROMPT:]], dim=1), weights


def weighted(tokens: Int[Tensor, "sample position"], weight: float = 1.0) -> Rows:
    """Sequences in which every token after the prompt counts."""
    weights = torch.zeros(len(tokens), tokens.shape[1] - 1)
    weights[:, PROMPT - 1 :] = weight
    return tokens, weights


def joined(*parts: Rows) -> Rows:
    """Several sets of rows as one."""
    tokens, weights = zip(*parts, strict=True)
    return torch.cat(tokens), torch.cat(weights)


@dataclass(frozen=True)
class Drawn:
    """A task that draws rows from several sets, as many from each as from any other."""

    sets: tuple[Rows, ...]

    def sample(self, num_samples: int, seed: int) -> Rows:
        source = generator(seed, "rows")
        which = torch.arange(num_samples) % len(self.sets)
        taken = [_some(rows, int((which == i).sum()), source) for i, rows in enumerate(self.sets)]
        return joined(*taken)


def _some(rows: Rows, count: int, source: torch.Generator) -> Rows:
    chosen = torch.randint(len(rows[0]), (count,), generator=source)
    return rows[0][chosen], rows[1][chosen]


def weighted_loss(model: nn.Module, batch: Rows) -> Float[Tensor, " sample"]:
    """Σ_t v_t ℓ_t / Σ_t |v_t| of each sample, ℓ_t the loss on a token; of negative weights up to 4 nats, as ascent."""
    tokens, weights = batch
    logits = logits_of(model(tokens))[:, :-1]
    losses = F.cross_entropy(logits.transpose(1, 2), tokens[:, 1:], reduction="none")
    bounded = torch.where(weights < 0, losses.clamp(max=_CAP), losses)
    return (weights * bounded).sum(dim=1) / weights.abs().sum(dim=1)


def maker(prompts: Prompts, shape: "Shape") -> "partial[Transformer]":
    """Makes networks with initial weights from torch's global random numbers."""
    context = {"vocabulary_size": prompts.vocabulary, "context_length": PROMPT + prompts.sizes.length}
    return partial(_made, TransformerConfig.model_validate(shape.model_dump() | context | {"positions": "learned"}))


class Shape(Settings):
    """Of the transformer."""

    num_layers: int = 2
    d_model: int = 32
    num_heads: int = 2
    d_mlp: int = 64
    init_std: float = 0.3


def _made(config: TransformerConfig) -> Transformer:
    return Transformer(config, torch.Generator().manual_seed(int(torch.randint(2**31, ()))))


@torch.no_grad()
def answer_rate(model: nn.Module, rows: Rows) -> float:
    """Mean probability of the answers' first tokens."""
    tokens, _ = rows
    law = logits_of(model(tokens[:, :PROMPT]))[:, -1].softmax(-1)
    return float(law.gather(1, tokens[:, PROMPT : PROMPT + 1]).mean())
