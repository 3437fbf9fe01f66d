"""What errors of this room say to write instead."""

from contextlib import AbstractContextManager

import numpy as np
import torch
import torch.nn.functional as F
from tests.advice import Mistake, follow, mistakes
from tests.models.families import network
from torch import Tensor, nn

import ontogeny as og
from ontogeny import circuits
from ontogeny.circuits import attention_patterns, pattern_scores, text_scores
from ontogeny.models import Transformer, TransformerConfig


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
    def __init__(self, *attentions: Attention, norm: nn.Module | None = None) -> None:
        super().__init__()
        self.norm = norm or nn.Identity()
        self.embed, self.attentions, self.unembed = nn.Embedding(5, 8), nn.ModuleList(attentions), nn.Linear(8, 5)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embed(tokens)
        for attention in self.attentions:
            x = x + attention(self.norm(x))
        return self.unembed(x)


class Squash(nn.Module):
    """What stands where a norm does and is none."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(8))

    def forward(self, x: Tensor) -> Tensor:
        return self.gain * x.tanh()


class OneHot(nn.Module):
    """A network without an embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.attention, self.unembed = Attention(2), nn.Linear(8, 5)

    def forward(self, tokens: Tensor) -> Tensor:
        x = F.one_hot(tokens, 8).float()
        return self.unembed(x + self.attention(x))


def ours(context_length: int = 8) -> Transformer:
    config = TransformerConfig(vocabulary_size=5, context_length=context_length, d_model=8, num_heads=2)
    return Transformer(config, torch.Generator().manual_seed(0))


tokens = torch.tensor([[0, 3, 1, 4], [2, 2, 0, 1]])
headless = nn.Sequential(nn.Embedding(5, 8), nn.Linear(8, 5))
plain, model = Network(Attention(2)), Network(Attention(2), Attention(4))
functional = Network(Attention(2, called=False))
scaled, shown = Network(Attention(2, factor=3.0)), Network(Attention(2, shown=True, factor=3.0))

two, short, one_hot = ours(), ours(3), OneHot()
squashed = Network(Attention(2), norm=Squash())
hidden = Network(Attention(2, shown=True, called=False))
name, sender = "L0H1", "L0H0"
deep = np.random.default_rng(0).standard_normal((5, 6, 4))
acts = deep.reshape(-1, 4)


def works(context: AbstractContextManager[nn.Module], rows: int = 2) -> bool:
    """Whether the network runs within the context."""
    with torch.no_grad(), context as inside:
        inside(tokens[:rows])
    return True


def mean_logit(output: Tensor) -> Tensor:
    return output[..., 0].mean()


def causal(model: nn.Module) -> bool:
    """Whether the network's patterns are found, and are those of a causal attention."""
    return all(
        torch.allclose(patterns.sum(-1), torch.ones(())) and not patterns.triu(1).any()
        for _, patterns in attention_patterns(model, tokens)
    )


# fmt: off
MISTAKES = (
    ("circuits/attribution.py:logit_attribution", "circuits.logit_attribution(network('cohere')[0], tokens)", "model",
     "circuits.ablate(model, name)", "works(ADVICE)"),
    ("circuits/compositions.py:_factors", "circuits.composition(two, 'keys')", "input", "'K'",
     "circuits.composition(two, ADVICE, count=9).notnull().any()"),
    ("circuits/dimensionality.py:feature_dimensionality", "circuits.feature_dimensionality(torch.ones(3))",
     "directions", "torch.eye(2)", "circuits.feature_dimensionality(ADVICE).sum() == 2"),
    ("circuits/ends.py:head_named", "circuits.qk_circuit(two, 'L9H1')", "head", "'L1H1'",
     "circuits.qk_circuit(two, ADVICE).norm() > 0"),
    ("circuits/ends.py:head_named", "circuits.qk_circuit(headless, 'L0H0')", "head",
     "a network for which og.heads(model) is not empty", "bool(og.heads(two)) and circuits.qk_circuit(two, 'L0H0')"),
    ("circuits/ends.py:_no_ends", "circuits.qk_circuit(one_hot, 'L0H0', full=True)", "model", "full=False",
     "circuits.qk_circuit(one_hot, 'L0H0', ADVICE).shape == (8, 8)"),
    ("circuits/ends.py:_no_ends", "circuits.direct_path(one_hot)", "model", "pattern_scores",
     "bool(ADVICE(one_hot, tokens, text_scores))"),
    ("circuits/norms.py:_measured", "circuits.ov_circuit(squashed, 'L0H0', fold_norm=True)", "model",
     "fold_norm=False", "circuits.ov_circuit(squashed, 'L0H0', ADVICE).norm() > 0"),
    ("circuits/norms.py:_measured", "circuits.ov_circuit(squashed, 'L0H0', fold_norm=True)", "model",
     "circuits.ablate", "works(ADVICE(squashed, 'L0H0'))"),
    ("circuits/patching.py:_both", "circuits.activation_patching(two, tokens, tokens[:1], mean_logit)", "corrupted",
     "clean.roll(1, dims=0)",
     "bool(circuits.activation_patching(two, tokens, (lambda clean: ADVICE)(tokens), mean_logit).effect.any())"),
    ("circuits/patching.py:_both", "circuits.activation_patching(headless, tokens, tokens.roll(1, 0), mean_logit)",
     "places", "places=[path]",
     "(lambda path: circuits.activation_patching(headless, tokens, tokens.roll(1, 0), mean_logit, ADVICE))('0').sizes"),
    ("circuits/patching.py:_number", "circuits.activation_patching(two, tokens, tokens, lambda output: 1.0)", "metric",
     "lambda output: output[:, -1, 0].mean()", "circuits.activation_patching(two, tokens, tokens, ADVICE).sizes"),
    ("circuits/paths.py:ablate_path", "works(circuits.ablate_path(two, 'L0H0', 'L1H0', 'keys'))", "input", "input='K'",
     "works(circuits.ablate_path(two, 'L0H0', 'L1H0', ADVICE))"),
    ("circuits/paths.py:_shown", "works(circuits.ablate_path(network('llama')[0], 'L0H0', 'L1H3', 'V'))", "receiver",
     "['L1H3', 'L1H4', 'L1H5']", "works(circuits.ablate_path(network('llama')[0], 'L0H0', ADVICE, 'V'))"),
    ("circuits/paths.py:_shown#2", "works(circuits.ablate_path(network('olmo2')[0], 'L0H0', 'L1H3', 'Q'))", "receiver",
     "circuits.ablate(model, sender)", "works((lambda model: ADVICE)(network('olmo2')[0]))"),
    ("circuits/paths.py:_sending", "works(circuits.ablate_path(two, 'L1H0', 'L1H1'))", "sender", "'L0.attn'",
     "works(circuits.ablate_path(two, ADVICE, 'L1H1'))"),
    ("circuits/paths.py:_sending", "works(circuits.ablate_path(two, 'L0H0', 'L0H1'))", "sender", "'embed'",
     "works(circuits.ablate_path(two, ADVICE, 'L0H1'))"),
    ("circuits/products.py:qk_circuit", "circuits.qk_circuit(network('qwen3')[0], 'L0H0')", "head",
     "circuits.attention_patterns(model, tokens)",
     "len(list((lambda model: ADVICE)(network('qwen3')[0]))) == 2"),
    ("circuits/products.py:qk_circuit", "circuits.qk_circuit(network('qwen3')[0], 'L0H0')", "head", "ov_circuit",
     "circuits.ADVICE(network('qwen3')[0], 'L0H0').norm() > 0"),
    ("circuits/repeats.py:repeated_tokens", "circuits.head_scores(short)", "repeats", "circuits.text_scores",
     "bool(pattern_scores(short, tokens[:, :3], ADVICE))"),
    ("circuits/replacements.py:Replacement.__post_init__", "works(circuits.ablate(two, 'L0H0', 'Zero'))", "how",
     "how='mean'", "works(circuits.ablate(two, 'L0H0', ADVICE))"),
    ("circuits/replacements.py:Replacement._everywhere", "works(circuits.ablate(two, 'L0H0', 'resample'), rows=1)",
     "how", "circuits.Replacement('resample', reference=tokens)",
     "works(circuits.ablate(two, 'L0H0', ADVICE), rows=1)"),
    ("circuits/scores.py:_copying", "circuits.head_scores(hidden)", "model",
     "pattern_scores(model, tokens, text_scores)", "bool((lambda model: ADVICE)(hidden))"),
    ("circuits/stream.py:_does_not_add", "circuits.logit_attribution(network('gemma2')[0], tokens)", "model",
     "circuits.ablate(model, name)", "works((lambda model: ADVICE)(network('gemma2')[0]))"),
    ("circuits/patterns.py:attention_patterns", "causal(headless)", "model",
     "a network for which og.heads(model) is not empty", "bool(og.heads(plain)) and causal(plain)"),
    ("circuits/patterns.py:pattern_scores", "pattern_scores(model, tokens, text_scores)", "model",
     "attention_patterns(model, tokens)", "[each.shape[1] for _, each in ADVICE] == [2, 4]"),
    ("circuits/patterns.py:_of_layer", "causal(functional)", "model",
     "an attention that calls modules for its projections", "causal(plain)"),
    ("circuits/patterns.py:_of_layer#2", "causal(scaled)", "model",
     "a network whose modules return its attention patterns", "causal(shown)"),
    ("circuits/matching.py:best_matching", "circuits.best_matching(np.ones(3))", "similarity",
     "circuits.similarities(first, second)",
     "(lambda first, second: circuits.best_matching(ADVICE))([acts], [acts]).mean > 0.99"),
    ("circuits/token_kinds.py:PatternRules.__post_init__", "circuits.PatternRules(reach=1)", "reach", "reach=6",
     "circuits.PatternRules(ADVICE).reach == 6"),
    ("circuits/similarity.py:svcca", "circuits.svcca(acts, acts, kept=2)", "kept", "kept=0.99",
     "circuits.svcca(acts, acts, ADVICE) > 0.99"),
    ("circuits/similarity.py:circuit_cosine",
     "circuits.circuit_cosine(circuits.ov_circuit(two, name), circuits.ov_circuit(two, name, full=True))", "second",
     "full=True", "circuits.circuit_cosine(*2 * [circuits.ov_circuit(two, name, ADVICE)]) > 0.99"),
    ("circuits/similarity.py:checked", "circuits.debiased_cka(deep, deep)", "first",
     "activations.reshape(-1, width)",
     "(lambda activations, width: circuits.debiased_cka(ADVICE, ADVICE))(deep, 4) > 0.99"),
    ("circuits/tails.py:tail_of", "circuits.tail_of(-np.ones(9))", "values",
     "more samples, or a quantile at which the unit is active",
     "circuits.tail_of(np.random.default_rng(0).exponential(size=900)).num_values == 90"),
)
# fmt: on


@mistakes(*MISTAKES)
def test_advice(mistake: Mistake) -> None:
    follow(mistake, globals())
