"""What errors of this room say to write instead."""

from typing import Any

import torch
import torch.nn.functional as F
from tests.advice import Mistake, follow, mistakes
from tests.models.families import network
from torch import Tensor, nn

from ontogeny.models import Site, Transformer, TransformerConfig, heads, intervene, run_with_cache

x = torch.randn(2, 3, generator=torch.Generator().manual_seed(0))


class Twice(nn.Module):
    """One layer called twice, and one that returns no tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.told = nn.Linear(3, 3), Named()

    def forward(self, x: Tensor) -> Tensor:
        x = self.layer(self.layer(x))
        self.told(x)
        return x


class Named(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Identity()

    def forward(self, x: Tensor) -> Any:
        return str(self.inner(x).shape)


class Attention(nn.Module):
    """Attention of two heads that calls its output projection, or a function of its weights."""

    def __init__(self, called: bool) -> None:
        super().__init__()
        self.qkv, self.out, self.called = nn.Linear(8, 24), nn.Linear(8, 8), called

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (each.unflatten(-1, (2, 4)).transpose(1, 2) for each in self.qkv(x).chunk(3, -1))
        z = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2)
        return self.out(z) if self.called else F.linear(z, self.out.weight, self.out.bias)


class OneLayer(nn.Module):
    def __init__(self, called: bool) -> None:
        super().__init__()
        self.embed, self.attention, self.unembed = nn.Embedding(5, 8), Attention(called), nn.Linear(8, 5)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embed(tokens)
        return self.unembed(x + self.attention(x))


seen: list[Tensor] = []
model, module, side = Twice(), "layer", "output"
tokens = torch.tensor([[0, 3, 1, 4], [2, 2, 0, 1]])
calling, functional, grouped = OneLayer(True), OneLayer(False), network("llama")[0]


def run(interventions: Any) -> Tensor:
    with intervene(model, interventions):
        return model(x)


def within(manager: Any) -> bool:
    with manager:
        model(x)
    return len(seen) == 2


def changes(model: nn.Module, place: Any) -> bool:
    """Whether an intervention at the place is told by the output."""
    with torch.no_grad():
        before = logits(model(tokens))
        with intervene(model, {place: torch.zeros_like}):
            return not torch.equal(logits(model(tokens)), before)


def logits(output: Any) -> Tensor:
    return output if isinstance(output, Tensor) else output.logits


def transformer(context_length: int = 4) -> Transformer:
    return Transformer(
        TransformerConfig(vocabulary_size=5, context_length=context_length, d_model=8, num_heads=2), torch.Generator()
    )


# fmt: off
MISTAKES = (
    ("models/interventions.py:_site", "run({'layr': torch.zeros_like})", "interventions", "'layer'",
     "run({ADVICE: torch.zeros_like})"),
    ("models/interventions.py:_site", "run({'zzzz': torch.zeros_like})", "interventions",
     "dict(model.named_modules())", "run({list(ADVICE)[1]: torch.zeros_like})"),
    ("models/interventions.py:_site", "changes(grouped, 'L7G0')", "interventions", "'L1H0'",
     "changes(grouped, ADVICE)"),
    ("models/anatomy.py:site_of", "changes(functional, 'L0H1')", "interventions", "'L0.attn'",
     "changes(functional, ADVICE)"),
    ("models/anatomy.py:site_of", "changes(functional, 'L0H1')", "interventions",
     "an attention that calls its projection", "changes(calling, 'L0H1')"),
    ("models/anatomy.py:site_of#2", "changes(grouped, 'L1G1')", "interventions", "'L1H3'",
     "changes(grouped, ADVICE)"),
    ("models/anatomy.py:site_of#2", "changes(grouped, 'L1G1')", "interventions", "heads(model)[9].key.site",
     "changes(grouped, (lambda model: ADVICE)(grouped))"),
    ("models/anatomy.py:site_of#2", "changes(grouped, 'L1G1')", "interventions", "heads(model)[9].value.site",
     "changes(grouped, (lambda model: ADVICE)(grouped))"),
    ("models/places.py:Site.written", "run({Site('layer', index=(0,)): lambda part: part[:, :0]})", "interventions",
     "a function that keeps the shape", "run({Site('layer', index=(0,)): lambda part: 0 * part})"),
    ("models/places.py:Site.written", "run({Site('layer', index=0): lambda part: torch.zeros(2, 3)})", "interventions",
     "Site(module, side)", "run({ADVICE: lambda activation: torch.zeros(2, 3)})"),
    ("models/interventions.py:run_with_cache.keep.capture", "run_with_cache(model, x, names='layer')", "names",
     "intervene(model, {'layer': seen.append})", "within(ADVICE)"),
    ("models/hooks.py:_replaced", "run({'told': torch.zeros_like})", "interventions",
     "the name of a module in it", "run({'told.inner': torch.zeros_like})"),
    ("models/hooks.py:_replaced", "run({'told': torch.zeros_like})", "interventions",
     "or around it that does", "not run({'': torch.zeros_like}).any()"),
    ("models/hooks.py:_replaced#2", "run({'layer': lambda activation: 0.0})", "interventions",
     "torch.zeros_like", "run({'layer': ADVICE})"),
    ("models/transformer.py:TransformerConfig._heads_divide_width",
     "TransformerConfig(vocabulary_size=5, context_length=4, d_model=10, num_heads=4)", "num_heads", "d_model=8",
     "TransformerConfig(vocabulary_size=5, context_length=4, ADVICE, num_heads=4)"),
    ("models/transformer.py:Transformer.forward", "transformer()(torch.zeros(1, 5).long())", "tokens",
     "a longer context_length in TransformerConfig", "transformer(5)(torch.zeros(1, 5).long())"),
    ("models/transformer.py:Transformer.forward", "transformer()(torch.zeros(1, 5).long())", "tokens",
     "shorter sequences", "transformer()(torch.zeros(1, 4).long())"),
)
# fmt: on


@mistakes(*MISTAKES)
def test_advice(mistake: Mistake) -> None:
    seen.clear()
    follow(mistake, globals())
