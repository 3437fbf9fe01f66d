"""Worker of devinterp 2.0.1 for refined coefficients: one head of a network at a time, by masks over its weights.

The two-layer attention-only network is written out here, under the names of its weights; the tiny GPT-NeoX is
transformers' own. Its step is w ← w - (ε/2)(nβ∇L + γ(w - w*)) + √ε ξ with ε its `lr`.
"""

import contextlib
import io
import tempfile
import time
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
import torch.nn.functional as F
import worker
from devinterp.slt.llc import llc
from devinterp.slt.lm_loss import compute_per_token_loss
from devinterp.slt.weight_restrictions import create_param_masks
from run_devinterp2 import Sequences
from torch import Tensor, nn

NOTHING = "full"  # its word for no restriction


class Attention(nn.Module):
    """Heads in front: `W_Q`, `W_K`, `W_V` (head, width, d_head) and `W_O` (head, d_head, width)."""

    def __init__(self, heads: int, width: int) -> None:
        super().__init__()
        inner = width // heads
        for name in "QKV":
            self.register_parameter(f"W_{name}", nn.Parameter(torch.empty(heads, width, inner)))
            self.register_parameter(f"b_{name}", nn.Parameter(torch.empty(heads, inner)))
        self.W_O, self.b_O = nn.Parameter(torch.empty(heads, inner, width)), nn.Parameter(torch.empty(width))

    def forward(self, query_key_input: Tensor, value_input: Tensor) -> Tensor:
        given = {"Q": query_key_input, "K": query_key_input, "V": value_input}
        q, k, v = (self._project(name, x).transpose(1, 2) for name, x in given.items())
        z = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2)
        return z.flatten(2) @ self.W_O.flatten(0, 1) + self.b_O

    def _project(self, name: str, x: Tensor) -> Tensor:
        weight, bias = getattr(self, f"W_{name}"), getattr(self, f"b_{name}")
        return (x @ weight.transpose(0, 1).flatten(1) + bias.flatten()).unflatten(-1, bias.shape)


class Norm(nn.Module):
    """LayerNorm with gain `w` and bias `b`."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.w, self.b = nn.Parameter(torch.empty(width)), nn.Parameter(torch.empty(width))

    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, x.shape[-1:], self.w, self.b)


def _holder(**shapes: tuple[int, ...]) -> nn.Module:
    module = nn.Module()
    for name, shape in shapes.items():
        module.register_parameter(name, nn.Parameter(torch.empty(shape)))
    return module


class AttentionOnly(nn.Module):
    """Positions are added to the inputs of queries and keys alone; a LayerNorm before each attention and the end."""

    def __init__(self, vocabulary: int, context: int, width: int, layers: int, heads: int) -> None:
        super().__init__()
        self.embed, self.pos_embed = _holder(W_E=(vocabulary, width)), _holder(W_pos=(context, width))
        self.blocks = nn.ModuleList(nn.Module() for _ in range(layers))
        for block in self.blocks:
            block.ln1, block.attn = Norm(width), Attention(heads, width)
        self.ln_final, self.unembed = Norm(width), _holder(W_U=(width, vocabulary), b_U=(vocabulary,))

    def forward(self, tokens: Tensor) -> Tensor:
        x = F.embedding(tokens, self.embed.W_E)
        for block in self.blocks:
            normal = block.ln1(x)
            x = x + block.attn(normal + self.pos_embed.W_pos[: tokens.shape[1]], normal)
        return self.ln_final(x) @ self.unembed.W_U + self.unembed.b_U


_loaded: dict[str, tuple[nn.Module, Tensor]] = {}


def load(path: str) -> tuple[nn.Module, Tensor]:
    """The network and the tokens of a file; the last one read is kept."""
    if path not in _loaded:
        _loaded.clear()
        found = torch.load(path, weights_only=True)
        weights, tokens = found["weights"], found["tokens"]
        layers = 1 + max(int(name.split(".")[1]) for name in weights if name.startswith("blocks."))
        vocabulary, width = weights["embed.W_E"].shape
        model = AttentionOnly(vocabulary, tokens.shape[1], width, layers, len(weights["blocks.0.attn.W_Q"]))
        model.load_state_dict(weights)
        _loaded[path] = model, tokens.long()
    return _loaded[path]


def logits(task: Any) -> worker.Answer:
    """Write the logits on the first sequences, to be compared."""
    model, tokens = load(task["case"])
    with torch.no_grad():
        torch.save(model(tokens[: task["rows"]]), task["out"])
    return {}


def steps(task: Any) -> worker.Answer:
    """Seconds of the steps of all chains on one part; losses at w* are left out."""
    model, tokens = load(task["case"])
    with mock.patch("devinterp.slt.sampling._write_init_loss"):
        begun = time.perf_counter()
        _run(model, tokens, _masks(model, task["part"]), task)
        return {"seconds": time.perf_counter() - begun}


def run(task: Any) -> worker.Answer:
    """One call of `llc`: its seconds, its trace of losses and its loss at w*; the spread of the latter's batches."""
    model, tokens = load(task["case"])
    begun = time.perf_counter()
    found = _run(model, tokens, _masks(model, task["part"]), task)
    seconds = time.perf_counter() - begun
    first = _first_batches(task["case"], task)
    return {"seconds": seconds, "trace": found["loss_trace"].values.tolist(), **first} | {
        "baseline": float(found["init_loss"])
    }


def peak(task: Any) -> worker.Answer:
    """Megabytes of a run in this process, imports subtracted; the process should be fresh."""
    imported = _peak()
    model, tokens = load(task["case"])
    _run(model, tokens, _masks(model, task["part"]), task)
    return {"megabytes": _peak() - imported}


def _peak() -> float:
    with open("/proc/self/status", encoding="utf-8") as status:
        return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM"))


def _masks(model: nn.Module, part: str) -> dict[str, Tensor | None] | None:
    """Masks of a head, `L0H3`, of the attention-only network; none for all weights."""
    if part == NOTHING:
        return None
    layer, head = map(int, part[1:].split("H"))
    masks: dict[str, Tensor | None] = {}
    for name, parameter in model.named_parameters():
        if name.startswith(f"blocks.{layer}.attn.") and not name.endswith("b_O"):
            masks[name] = torch.zeros(parameter.shape, dtype=torch.bool)
            masks[name][head] = True
    return masks


_batches: dict[tuple[Any, ...], worker.Answer] = {}


def _first_batches(case: str, task: Any) -> worker.Answer:
    """Losses at w* of the batches that its baseline is the mean of, and the seconds of one of them."""
    key = case, task["seed"], task["baseline_batches"], task["matched"], task["batch"], task["chains"]
    if key not in _batches:
        model, tokens = load(case)
        losses, begun = [], time.perf_counter()
        for chain in range(1 if task["matched"] else task["chains"]):
            order = torch.Generator().manual_seed(_seed(task) + chain)
            loader = torch.utils.data.DataLoader(
                Sequences(tokens), task["batch"], shuffle=True, drop_last=True, generator=order
            )
            for _, batch in zip(range(task["baseline_batches"]), loader, strict=False):
                with torch.no_grad():
                    losses.append(float(compute_per_token_loss(model, batch["input_ids"]).mean()))
        seconds = (time.perf_counter() - begun) / len(losses)
        _batches[key] = {"baseline_losses": losses, "seconds_of_a_batch": seconds}
    return _batches[key]


def _seed(task: Any) -> int:
    return 1000 * task["seed"]


def _run(model: nn.Module, tokens: Tensor, masks: dict[str, Tensor | None] | None, task: Any) -> Any:
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(io.StringIO()):  # its progress bars
        found = llc(
            model,
            Sequences(tokens),
            {},
            lr=task["step_size"],
            n_beta=task["nbeta"],
            param_masks=masks,
            num_chains=task["chains"],
            num_draws=task["draws"],
            batch_size=task["batch"],
            num_init_loss_batches=task["baseline_batches"],
            init_seed=_seed(task),
            localization=task["localization"],
            noise_level=task.get("noise_level", 1.0),
            match_sampling_input_ids_across_chains=task["matched"],
            device="cpu",
            output_path=Path(folder) / "samples.zarr",
        )
        return found.load()


def neox(task: Any) -> worker.Answer:
    """A tiny random GPT-NeoX and sequences drawn from it, written to a file with its masks and some logits."""
    model, parts = _neox(task), {}
    generator = torch.Generator().manual_seed(1)
    tokens = torch.randint(task["shape"]["vocab_size"], (task["sequences"], 1), generator=generator)
    with torch.no_grad():
        for _ in range(task["context"] - 1):
            law = model(tokens).logits[:, -1].softmax(-1)
            tokens = torch.cat([tokens, torch.multinomial(law, 1, generator=generator)], dim=1)
        probe = model(tokens[:4]).logits
    for part in task["parts"]:
        parts[part] = {name: mask for name, mask in create_param_masks(model, part).items() if mask is not None}
    torch.save({"weights": model.state_dict(), "tokens": tokens, "logits": probe, "masks": parts}, task["case"])
    return {}


def neox_estimate(task: Any) -> worker.Answer:
    """Its estimates of one part, a seed each."""
    model, found = _neox(task), torch.load(task["case"], weights_only=True)
    model.load_state_dict(found["weights"])
    masks = create_param_masks(model, task["part"])
    runs = [_run(model, found["tokens"], masks, task | {"seed": seed}) for seed in range(task["seeds"])]
    return {"estimates": [float(np.mean(run["llc_per_chain"].values)) for run in runs]}


def neox_descent(task: Any) -> worker.Answer:
    """Losses along a chain on all sequences whose noise is taken away."""
    model, found = _neox(task), torch.load(task["case"], weights_only=True)
    model.load_state_dict(found["weights"])
    tokens = found["tokens"][: task["batch"]]
    quiet = task | {"noise_level": 0.0, "chains": 1, "seed": 0, "baseline_batches": 1}
    return {"losses": _run(model, tokens, create_param_masks(model, task["part"]), quiet)["loss_trace"].values.tolist()}


def _neox(task: Any) -> nn.Module:
    from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

    torch.manual_seed(0)
    return GPTNeoXForCausalLM(GPTNeoXConfig(**task["shape"])).eval()


if __name__ == "__main__":
    handlers = {"logits": logits, "steps": steps, "run": run, "peak": peak}
    worker.serve(handlers | {"neox": neox, "neox_descent": neox_descent, "neox_estimate": neox_estimate})
