"""What errors of this room say to write instead."""

import torch
import torch.nn.functional as F
from tests.advice import Mistake, follow, mistakes
from torch import Tensor, nn

import ontogeny as og
from ontogeny.circuits import attention_patterns, pattern_scores, text_scores


class Attention(nn.Module):
    """Causal attention. Its pattern passes through a module or not; its outputs are the means of values, times a
    factor; its projections are modules, or functions of their weights.
    """

    def __init__(self, heads: int, shown: bool = False, factor: float = 1.0, called: bool = True) -> None:
        super().__init__()
        self.qkv, self.out = nn.Linear(8, 3 * 4 * heads), nn.Linear(4 * heads, 8)
        self.heads, self.factor, self.called = heads, factor, called
        self.pattern = nn.Identity() if shown else None

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (
            each.unflatten(-1, (self.heads, -1)).transpose(1, 2) for each in self._project(self.qkv, x).chunk(3, -1)
        )
        pattern = (q @ k.mT + torch.full(x.shape[1:2] * 2, -torch.inf).triu(1)).softmax(-1)
        pattern = self.pattern(pattern) if self.pattern else pattern
        return self._project(self.out, self.factor * (pattern @ v).transpose(1, 2).flatten(2))

    def _project(self, projection: nn.Linear, x: Tensor) -> Tensor:
        return projection(x) if self.called else F.linear(x, projection.weight, projection.bias)


class Network(nn.Module):
    def __init__(self, *attentions: Attention) -> None:
        super().__init__()
        self.embed, self.attentions, self.unembed = nn.Embedding(5, 8), nn.ModuleList(attentions), nn.Linear(8, 5)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embed(tokens)
        for attention in self.attentions:
            x = x + attention(x)
        return self.unembed(x)


tokens = torch.tensor([[0, 3, 1, 4], [2, 2, 0, 1]])
headless = nn.Sequential(nn.Embedding(5, 8), nn.Linear(8, 5))
plain, model = Network(Attention(2)), Network(Attention(2), Attention(4))
functional = Network(Attention(2, called=False))
scaled, shown = Network(Attention(2, factor=3.0)), Network(Attention(2, shown=True, factor=3.0))


def causal(model: nn.Module) -> bool:
    """Whether the network's patterns are found, and are those of a causal attention."""
    return all(
        torch.allclose(patterns.sum(-1), torch.ones(())) and not patterns.triu(1).any()
        for _, patterns in attention_patterns(model, tokens)
    )


# fmt: off
MISTAKES = (
    ("circuits/patterns.py:attention_patterns", "causal(headless)", "model",
     "a network for which og.heads(model) is not empty", "bool(og.heads(plain)) and causal(plain)"),
    ("circuits/patterns.py:pattern_scores", "pattern_scores(model, tokens, text_scores)", "model",
     "attention_patterns(model, tokens)", "[each.shape[1] for _, each in ADVICE] == [2, 4]"),
    ("circuits/patterns.py:_of_layer", "causal(functional)", "model",
     "an attention that calls modules for its projections", "causal(plain)"),
    ("circuits/patterns.py:_of_layer#2", "causal(scaled)", "model",
     "a network whose modules return its attention patterns", "causal(shown)"),
)
# fmt: on


@mistakes(*MISTAKES)
def test_advice(mistake: Mistake) -> None:
    follow(mistake, globals())
