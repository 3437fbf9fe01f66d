"""Agreement with devinterp 2.0.1 on a tiny GPT-NeoX, over 20 seeds, for all weights and for single heads.

Both run w ← w - (ε/2)(nβ∇L + γ(w - w*)) + √ε ξ from w*, without burn-in, and both estimates average over every step,
w* itself included. Their minibatches come without replacement, from one order that is replayed when it ends, ours with
replacement. While theirs has not ended, each minibatch is new to the chain, and the loss on it higher: by a percent or
two with 512 sequences, which is why there are so many here. Their baseline is the loss on all sequences, ours that on
each step's own minibatch.
"""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import ontogeny as og

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
PYTHON = BENCHMARKS / ".peers" / "devinterp-2.0.1" / "bin" / "python"
WORKER = BENCHMARKS / "peers" / "run_devinterp2_refined.py"
SEEDS, ERRORS = 20, 4
SHAPE = {
    "vocab_size": 32,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 16,
    "initializer_range": 0.3,
}
PARTS = {"full": None, "l0h1": "L0H1", "l1h2": "L1H2"}
SETTINGS = {"step_size": 1e-3, "nbeta": 30.0, "localization": 50.0, "batch": 32, "chains": 2, "draws": 96}
SEQUENCES, CONTEXT, ROTARY = 16384, 16, 2  # a quarter of each head's eight dimensions turn

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(not PYTHON.exists(), reason="devinterp 2.0.1 is in no environment of its own here"),
]


class Attention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query_key_value, self.dense = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        each = self.query_key_value(x).unflatten(-1, (self.heads, 3, -1)).permute(3, 0, 2, 1, 4)
        z = F.scaled_dot_product_attention(turned(each[0]), turned(each[1]), each[2], is_causal=True)
        return self.dense(z.transpose(1, 2).flatten(2))


class MLP(nn.Module):
    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.dense_h_to_4h, self.dense_4h_to_h = nn.Linear(width, inner), nn.Linear(inner, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.dense_4h_to_h(F.gelu(self.dense_h_to_4h(x)))


class Layer(nn.Module):
    """Attention and MLP side by side."""

    def __init__(self, width: int, heads: int, inner: int) -> None:
        super().__init__()
        self.input_layernorm, self.post_attention_layernorm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention, self.mlp = Attention(width, heads), MLP(width, inner)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.attention(self.input_layernorm(x)) + self.mlp(self.post_attention_layernorm(x))


class Stack(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        width = SHAPE["hidden_size"]
        sizes = width, SHAPE["num_attention_heads"], SHAPE["intermediate_size"]
        self.embed_in = nn.Embedding(SHAPE["vocab_size"], width)
        self.layers = nn.ModuleList(Layer(*sizes) for _ in range(SHAPE["num_hidden_layers"]))
        self.final_layer_norm = nn.LayerNorm(width)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embed_in(tokens)
        for layer in self.layers:
            x = layer(x)
        return self.final_layer_norm(x)


class NeoX(nn.Module):
    """GPT-NeoX under the names that transformers gives its weights."""

    def __init__(self) -> None:
        super().__init__()
        self.gpt_neox = Stack()
        self.lm_head = nn.Linear(SHAPE["hidden_size"], SHAPE["vocab_size"], bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.lm_head(self.gpt_neox(tokens))


def turned(x: Tensor) -> Tensor:
    """Rotary positions in the first dimensions of each head."""
    frequencies = 10000 ** (-torch.arange(0, ROTARY, 2) / ROTARY)
    angles = (torch.arange(x.shape[-2])[:, None] * frequencies).repeat(1, 2)
    moving, rest = x[..., :ROTARY], x[..., ROTARY:]
    first, second = moving.chunk(2, dim=-1)
    moving = moving * angles.cos() + torch.cat([-second, first], dim=-1) * angles.sin()
    return torch.cat([moving, rest], dim=-1)


def ask(do: str, **task: Any) -> dict[str, Any]:
    """One task of the worker, and its answer."""
    line = json.dumps({"do": do, "threads": 1, "matched": False, "shape": SHAPE, **SETTINGS, **task})
    variables = os.environ | {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run([PYTHON, WORKER], input=line, capture_output=True, text=True, check=True, env=variables)
    answer = json.loads(done.stdout)
    assert "error" not in answer, answer["error"]
    return answer


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("agreement") / "neox.pt"
    ask("neox", case=str(path), parts=list(PARTS), sequences=SEQUENCES, context=CONTEXT)
    return path


@pytest.fixture(scope="module")
def model(case: Path) -> NeoX:
    model = NeoX().eval()
    model.load_state_dict(torch.load(case, weights_only=True)["weights"])
    return model


def test_both_have_one_network_and_one_notion_of_a_head(case: Path, model: NeoX) -> None:
    found = torch.load(case, weights_only=True)
    torch.testing.assert_close(model(found["tokens"][:4]), found["logits"], atol=1e-4, rtol=1e-4)
    for theirs, ours in PARTS.items():
        masks = {name: mask for name, mask in og.restrict(model, ours or "*").masks().items() if mask.any()}
        if ours is None:
            assert set(masks) == {name for name, _ in model.named_parameters()}
            continue
        assert set(masks) == set(found["masks"][theirs])
        assert all(torch.equal(mask, found["masks"][theirs][name]) for name, mask in masks.items())


@pytest.mark.parametrize("part", PARTS)
def test_without_noise_both_go_the_same_way(case: Path, model: NeoX, part: str) -> None:
    quiet = {"step_size": 0.02, "draws": 20, "batch": 64}
    theirs = ask("neox_descent", case=str(case), part=part, **quiet)["losses"][0]
    chain = posterior(case, model, part, sequences=64, batch=64)
    weights, gradients, losses = chain.center[None].clone(), torch.empty_like(chain.center[None]), []
    for _ in range(quiet["draws"]):
        losses.append(float(chain.gradients(weights, None, gradients, paired=False)))
        weights = weights - quiet["step_size"] / 2 * gradients
    np.testing.assert_allclose(losses, theirs, atol=1e-5)
    assert np.ptp(losses) > 1e-3


@pytest.mark.parametrize("part", PARTS)
def test_means_over_20_seeds_agree(case: Path, model: NeoX, part: str) -> None:
    baseline_batches = SEQUENCES // int(SETTINGS["batch"])  # every sequence once
    answer = ask("neox_estimate", case=str(case), part=part, seeds=SEEDS, baseline_batches=baseline_batches)
    theirs, ours = np.array(answer["estimates"]), np.array([estimate(case, model, part, s) for s in range(SEEDS)])
    error = np.sqrt((theirs.var(ddof=1) + ours.var(ddof=1)) / SEEDS)
    assert error < 0.1 * abs(ours.mean())  # so that agreement says something
    assert abs(ours.mean() - theirs.mean()) < ERRORS * error


def estimate(case: Path, model: NeoX, part: str, seed: int) -> float:
    """Ours, without what `og.llc` takes off for finite steps and minibatches."""
    chain = posterior(case, model, part, SEQUENCES, int(SETTINGS["batch"]))
    lengths = {"num_chains": int(SETTINGS["chains"]), "num_draws": int(SETTINGS["draws"]), "num_warmup": 0}
    found = og.sample(chain, og.SGLD(SETTINGS["step_size"]), **lengths, seed=seed)
    return SETTINGS["nbeta"] * float(found["posterior"]["loss_difference"].mean())


def posterior(case: Path, model: NeoX, part: str, sequences: int, batch: int) -> og.LocalPosterior:
    tokens = torch.load(case, weights_only=True)["tokens"][:sequences]
    pull = {"nbeta": SETTINGS["nbeta"], "localization": SETTINGS["localization"]}
    return og.LocalPosterior(model, tokens, og.losses.next_token, **pull, restriction=PARTS[part], batch_size=batch)
