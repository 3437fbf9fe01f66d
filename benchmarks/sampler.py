"""Cost of a sampling step over the bare forward and backward pass of the same model, batch and chains."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from benchmarks.interleaved import interleaved, ratio
from ontogeny import SGLD, LocalPosterior, losses, sample
from ontogeny.core.losses import LossFn
from ontogeny.models import Transformer, TransformerConfig


def mlp_case() -> tuple[nn.Module, tuple[Tensor, Tensor], LossFn, int, int]:
    """A 9.6k-parameter MLP, batch 128, 8 chains."""
    generator = torch.Generator().manual_seed(0)
    model = nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 100), nn.ReLU(), nn.Linear(100, 10))
    data = torch.randn(4096, 32, generator=generator), torch.randint(10, (4096,), generator=generator)
    return model, data, losses.cross_entropy, 128, 8


def transformer_case(chains: int) -> tuple[nn.Module, Tensor, LossFn, int, int]:
    """The 3.1M-parameter attention-only transformer (2 layers, 8 heads, d_model 256, vocabulary 5000), context 128."""
    generator = torch.Generator().manual_seed(0)
    shape = TransformerConfig(vocabulary_size=5000, context_length=128, num_layers=2, d_model=256, num_heads=8)
    tokens = torch.randint(5000, (512, 128), generator=generator)
    return Transformer(shape, generator), tokens, losses.next_token, 8, chains


def measure(name: str, case: tuple, steps: int, threads: int) -> list[str]:
    """Rows of the table: the floor, steps alone, and steps that each record a draw paired with the loss at w*."""
    model, data, loss_fn, batch_size, chains = case
    torch.set_num_threads(threads)
    posterior = LocalPosterior(model, data, loss_fn, nbeta=30.0, localization=100.0, batch_size=batch_size)
    posterior.center_losses(torch.arange(posterior.samples.stored))  # what a long run has cached
    kernel = SGLD(1e-6)
    contestants = {
        "floor: forward + backward": _floor(model, data, loss_fn, batch_size, chains, steps),
        "SGLD steps": lambda: sample(posterior, kernel, num_chains=chains, num_draws=1, num_warmup=0, thinning=steps),
        "SGLD steps, a paired draw each": lambda: sample(
            posterior, kernel, num_chains=chains, num_draws=steps, num_warmup=0
        ),
    }
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
