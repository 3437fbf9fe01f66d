"""Discovery is the same on every machine and at every precision, and leaves the caller's model and state alone."""

import copy
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ontogeny.core.restriction import Component
from ontogeny.models import Transformer, TransformerConfig, components

Rounding = Callable[[int], AbstractContextManager[None]]


def ours(**changes: Any) -> Transformer:
    shape: dict[str, Any] = {"vocabulary_size": 11, "context_length": 6, "num_layers": 1, "d_model": 12, "num_heads": 3}
    return Transformer(TransformerConfig(**shape | changes), torch.Generator().manual_seed(0))


class Network(nn.Module):
    """One layer, with keys and values fused."""

    def __init__(self, dtype: torch.dtype | None = None, mix: nn.Module | None = None, heads: int = 2) -> None:
        super().__init__()
        self.tokens, self.head = nn.Embedding(5, 8), nn.Linear(8, 5)
        self.attention = Attention(dtype, mix or nn.Identity(), heads)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.tokens(tokens)
        return self.head(x + self.attention(x).to(x.dtype))


class Attention(nn.Module):
    """Attention that computes in a type of its own, if it has one, and so needs its weights in that type."""

    def __init__(self, dtype: torch.dtype | None, mix: nn.Module, heads: int) -> None:
        super().__init__()
        self.dtype, self.mix, self.heads = dtype, mix, heads
        self.q, self.kv, self.out = nn.Linear(8, 8), nn.Linear(8, 16), nn.Linear(8, 8)
        self.to(dtype)

    def forward(self, x: Tensor) -> Tensor:
        x = x.to(self.dtype or x.dtype)
        q, k, v = (
            each.unflatten(-1, (self.heads, -1)).transpose(1, 2) for each in (self.q(x), *self.kv(x).chunk(2, -1))
        )
        return self.out((self.mix((q @ k.mT).softmax(-1)) @ v).transpose(1, 2).flatten(2))


class Noisy(nn.Module):
    """Layers of `torch.nn`, with noise on the stream in eval mode too."""

    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.tokens, self.layers = nn.Embedding(5, 8), nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.tokens(tokens)
        return self.layers(x + torch.randn_like(x))


SHAPES: dict[str, Callable[[], nn.Module]] = {
    "attention only": ours,
    "one head": lambda: ours(num_heads=1),
    "with an MLP": lambda: ours(d_mlp=20),
    "without norms": lambda: ours(normalization="none", positions="learned"),
    "fused": Network,
    "mixed heads": lambda: Network(mix=nn.Conv2d(2, 2, 1)),
    "32 bits": lambda: Network(torch.float32),
    "layers of torch": Noisy,
    "no attention": lambda: nn.Sequential(nn.Embedding(5, 4), nn.Linear(4, 5)),
}


@pytest.mark.parametrize("seeds", [range(2), pytest.param(range(2, 10), marks=pytest.mark.slow)], ids=["two", "eight"])
@pytest.mark.parametrize("shape", SHAPES)
def test_parts_do_not_depend_on_how_gradients_are_rounded(shape: str, seeds: range, other_rounding: Rounding) -> None:
    model = SHAPES[shape]()
    parts = components(model)
    for seed in seeds:
        with other_rounding(seed):
            assert components(model) == parts


@pytest.mark.parametrize("heads", [1, 3])
def test_a_bias_of_keys_is_its_heads_though_its_gradient_is_rounding(heads: int, other_rounding: Rounding) -> None:
    model = ours(num_heads=heads)
    for rounding in (nullcontext(), other_rounding(0)):
        with rounding:
            parts = components(model)
        for head in range(heads):
            slices = parts[f"L0H{head}"].slices
            assert slices["blocks.0.attn.b_K"] == slices["blocks.0.attn.W_K"]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_attention_that_runs_in_one_type_alone_has_the_same_parts(dtype: torch.dtype) -> None:
    assert components(Network(dtype)) == components(Network())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_parts_do_not_depend_on_the_type_of_the_weights(dtype: torch.dtype) -> None:
    assert components(ours(d_mlp=20).to(dtype)) == components(ours(d_mlp=20))


def test_parts_do_not_depend_on_the_last_bit_of_the_weights() -> None:
    model = ours(d_mlp=20)
    parts = components(model)
    with torch.no_grad():
        for each in model.parameters():
            each.copy_(each.nextafter(torch.tensor(torch.inf)))
    assert components(model) == parts


def test_a_gradient_that_is_small_by_chance_is_not_taken_for_rounding() -> None:
    parts = components(
        ours(d_model=4, num_heads=2, d_mlp=8192)
    )  # in one draw some of so many biases have such gradients
    assert parts["L0.mlp.neurons"].units == 8192
    assert parts["L0.mlp.neurons"].slices.keys() == {f"blocks.0.mlp.{name}" for name in ("W_in", "b_in", "W_out")}


@pytest.mark.parametrize("dtype", [None, torch.float32])
def test_neither_no_grad_nor_autocast_around_the_call_matters(dtype: torch.dtype | None) -> None:
    model = Network(dtype, heads=1)
    parts = components(model)
    assert "L0H0" in parts
    with torch.no_grad():
        assert components(model) == parts
    with torch.autocast("cpu", torch.bfloat16):
        assert components(model) == parts


PRINTED = """
import sys, torch
torch.set_num_threads(int(sys.argv[1]))
from ontogeny.models import Transformer, TransformerConfig, components
shape = dict(vocabulary_size=11, context_length=6, num_layers=1, d_model=12)
for more in (dict(num_heads=1), dict(num_heads=3, d_mlp=20)):
    parts = components(Transformer(TransformerConfig(**shape, **more), torch.Generator().manual_seed(0)))
    sys.stdout.write(repr(sorted(parts.items())))
"""


@pytest.mark.slow
def test_parts_do_not_depend_on_kernels_or_threads() -> None:
    def printed(capability: str, threads: int) -> str:
        environment = os.environ | {"ATEN_CPU_CAPABILITY": capability, "OMP_NUM_THREADS": str(threads)}
        command = [sys.executable, "-c", PRINTED, str(threads)]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout

    first, *others = (printed(capability, threads) for capability in ("default", "avx2") for threads in (1, 2))
    assert "L0H2" in first
    assert all(other == first for other in others)


def test_the_model_comes_back_as_it_was() -> None:
    model = Noisy()
    model.layers.layers[0].eval()
    model(torch.zeros(2, 3, dtype=torch.long)).sum().backward()
    model.tokens.weight.requires_grad_(False)
    gradients = [copy.deepcopy(each.grad) for each in model.parameters()]
    wanted = [each.requires_grad for each in model.parameters()]
    before, modes = copy.deepcopy(model.state_dict()), [each.training for each in model.modules()]
    state = torch.get_rng_state()
    parts: dict[str, Component] = components(model)
    assert "L0H0" in parts
    assert torch.equal(torch.get_rng_state(), state)
    assert [each.training for each in model.modules()] == modes
    assert [each.requires_grad for each in model.parameters()] == wanted
    assert not any(each._forward_hooks or each._forward_pre_hooks for each in model.modules())
    for name, now in model.state_dict().items():
        assert torch.equal(now, before[name]), name
    for parameter, then in zip(model.parameters(), gradients, strict=True):
        assert parameter.grad is not None
        assert then is not None
        assert torch.equal(parameter.grad, then)
