"""What errors of this room say to write instead."""

from typing import Any

import torch
from tests.advice import Mistake, follow, mistakes
from torch import Tensor, nn

from ontogeny.models import Transformer, TransformerConfig, intervene, run_with_cache

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


seen: list[Tensor] = []
model = Twice()


def run(interventions: Any) -> Tensor:
    with intervene(model, interventions):
        return model(x)


def within(manager: Any) -> bool:
    with manager:
        model(x)
    return len(seen) == 2


def transformer(context_length: int = 4) -> Transformer:
    return Transformer(
        TransformerConfig(vocabulary_size=5, context_length=context_length, d_model=8, num_heads=2), torch.Generator()
    )


# fmt: off
MISTAKES = (
    ("models/interventions.py:intervene", "run({'layr': torch.zeros_like})", "interventions", "'layer'",
     "run({ADVICE: torch.zeros_like})"),
    ("models/interventions.py:run_with_cache.keep.capture", "run_with_cache(model, x, names='layer')", "names",
     "intervene(model, {'layer': seen.append})", "within(ADVICE)"),
    ("models/interventions.py:_as_hook.hook", "run({'told': torch.zeros_like})", "interventions",
     "the name of a module in it", "run({'told.inner': torch.zeros_like})"),
    ("models/interventions.py:_as_hook.hook#2", "run({'layer': lambda activation: 0.0})", "interventions",
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
