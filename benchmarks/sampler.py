"""Cost of a sampling step over the bare forward and backward pass of the same model, batch and chains."""

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.interleaved import interleaved, ratio
from ontogeny import SGLD, LocalPosterior, losses
from ontogeny.core.draws import MemorySink
from ontogeny.core.losses import LossFn
from ontogeny.models import Transformer, TransformerConfig
from ontogeny.sampling.chains import Chains
from ontogeny.sampling.loop import Controller, advance
from ontogeny.sampling.recorder import Recorder


def mlp_case() -> tuple[nn.Module, tuple[Tensor, Tensor], LossFn, int, int]:
    """A 9.6k-parameter MLP, batch 128, 8 chains."""
    generator = torch.Generator().manual_seed(0)
    model = nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 100), nn.ReLU(), nn.Linear(100, 10))
    data = torch.randn(4096, 32, generator=generator), torch.randint(10, (4096,), generator=generator)
    return model, data, losses.cross_entropy, 128, 8


def transformer_case(chains: int, loss_fn: LossFn) -> tuple[nn.Module, Tensor, LossFn, int, int]:
    """The 3.1M-parameter attention-only transformer (2 layers, 8 heads, d_model 256, vocabulary 5000), context 128."""
    generator = torch.Generator().manual_seed(0)
    shape = TransformerConfig(vocabulary_size=5000, context_length=128, num_layers=2, d_model=256, num_heads=8)
    tokens = torch.randint(5000, (512, 128), generator=generator)
    return Transformer(shape, generator), tokens, loss_fn, 8, chains


def plain_next_token(model: nn.Module, tokens: Tensor) -> Tensor:
    """The loss as PyTorch has it: its cross-entropy over all positions in one run, which copies no logits."""
    targets = F.pad(tokens[:, 1:], (0, 1))
    losses = F.cross_entropy(model(tokens).flatten(0, 1), targets.flatten(), reduction="none")
    return losses.view(targets.shape)[:, :-1]


def measure(name: str, case: tuple, steps: int, threads: int, *, small: bool = False) -> list[str]:
    """Rows of the table: the floor, plain steps, what compiling saves, and what a paired draw at each step adds; of
    small models also what the control variate costs.
    """
    model, data, loss_fn, batch_size, chains = case
    torch.set_num_threads(threads)
    posterior = LocalPosterior(model, data, loss_fn, nbeta=30.0, localization=100.0, batch_size=batch_size)
    posterior.center_losses(torch.arange(posterior.samples.stored))  # what a long run has cached
    stepped = partial(_stepped, posterior, chains, steps)
    contestants = {
        "floor: forward + backward": _floor(model, data, loss_fn, batch_size, chains, steps),
        "SGLD steps": stepped(),
        "SGLD steps, compiled": stepped(compiled=True),
        "SGLD steps, a paired draw each": stepped(recorded=True),
    }
    if small:
        contestants["SGLD steps, control variate"] = stepped(control_variate=True)
    seconds = interleaved(contestants)
    floor = seconds["floor: forward + backward"]
    rows = []
    for contestant, values in seconds.items():
        middle, low, high = ratio(values, floor)
        per_step = 1e3 * float(sorted(values)[len(values) // 2]) / steps
        rows.append(
            f"| {name} | {chains} | {threads} | {contestant} | {per_step:.2f} | {middle:.2f} ({low:.2f}–{high:.2f}) |"
        )
    return rows


def _stepped(
    posterior: LocalPosterior, num_chains: int, steps: int, *, recorded: bool = False, **options: bool
) -> Callable[[], None]:
    """Steps of chains that are already there, as the one loop makes them."""
    chains = Chains(posterior, SGLD(1e-6), num_chains, seed=0, **options)
    recorder = Recorder(posterior, MemorySink(), {})
    recorder.open(num_chains, steps, 0)

    def work() -> None:
        for step in range(steps):
            advance(chains, step, step if recorded else None, recorder, Controller())

    return work


def _floor(
    model: nn.Module, data: Tensor | tuple[Tensor, ...], loss_fn: LossFn, batch_size: int, chains: int, steps: int
) -> Callable[[], None]:
    parts = (data,) if isinstance(data, Tensor) else data
    generator = torch.Generator().manual_seed(1)

    def work() -> None:
        for _ in range(steps * chains):
            chosen = torch.randint(len(parts[0]), (batch_size,), generator=generator)
            batch = tuple(part[chosen] for part in parts)
            model.zero_grad()
            loss_fn(model, batch[0] if isinstance(data, Tensor) else batch).mean().backward()

    return work
