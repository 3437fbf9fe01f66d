"""Forecasts against what sampling then costs, for ten posteriors: seconds of the processor, and bytes at the peak.

python benchmarks/forecasts.py [NAME ...]

Each forecast and each run has a process of its own, on one thread. Needs Linux and transformers.
"""

import itertools
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch
from torch import nn

import ontogeny as og


def network(*widths: int) -> nn.Module:
    """Linear layers with tanh between them."""
    layers = [layer for pair in itertools.pairwise(widths) for layer in (nn.Linear(*pair), nn.Tanh())]
    return nn.Sequential(*layers)


def pairs(num_samples: int, inputs: int, outputs: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Gaussian inputs and targets."""
    generator = torch.Generator().manual_seed(1)
    return torch.randn(num_samples, inputs, generator=generator), torch.randn(num_samples, outputs, generator=generator)


def language(vocabulary: int, width: int, context: int) -> nn.Module:
    """A two-layer GPT-NeoX."""
    from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

    sizes = {"hidden_size": width, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 4 * width}
    return GPTNeoXForCausalLM(GPTNeoXConfig(vocab_size=vocabulary, max_position_embeddings=context, **sizes))


def tokens(num_samples: int, context: int, vocabulary: int) -> torch.Tensor:
    """Random tokens."""
    return torch.randint(0, vocabulary, (num_samples, context), generator=torch.Generator().manual_seed(2))


def fixed(draws: int, warmup: int, kernel: Any = None, **settings: Any) -> og.Fixed:
    """A fixed sampler with steps so small that no chain diverges."""
    return og.Fixed(kernel=kernel or og.SGLD(1e-7), num_draws=draws, num_warmup=warmup, **settings)


mse, following = og.losses.mse, og.losses.next_token
CASES: dict[str, Any] = {
    "tiny": lambda: (network(8, 32, 32, 2), pairs(2000, 8, 2), mse, {}, fixed(300, 100)),
    "small": lambda: (network(64, 128, 10), pairs(2000, 64, 10), mse, {}, fixed(300, 300)),
    "mid": lambda: (network(256, 1024, 1024, 10), pairs(4000, 256, 10), mse, {"batch_size": 64}, fixed(60, 40)),
    "big": lambda: (
        network(512, 3000, 3000, 10), pairs(1000, 512, 10), mse, {"batch_size": 32}, fixed(15, 10, num_chains=2)
    ),
    "neox": lambda: (language(2000, 128, 64), tokens(500, 64, 2000), following, {"batch_size": 16}, fixed(30, 20)),
    "head": lambda: (
        language(2000, 128, 64), tokens(500, 64, 2000), following, {"batch_size": 16, "restriction": "L1H1"},
        fixed(30, 20),
    ),
    "sghmc": lambda: (
        network(64, 256, 256, 10), pairs(3000, 64, 10), mse, {}, fixed(100, 100, og.SGHMC(1e-5), control_variate=True)
    ),
    "thinned": lambda: (
        network(64, 256, 256, 10), pairs(3000, 64, 10), mse, {"batch_size": 512}, fixed(30, 20, thinning=5)
    ),
    "calibrated": lambda: (
        network(64, 128, 10), pairs(2000, 64, 10), mse, {}, og.Calibrated(budget=100_000, error=1e-3)
    ),
    "calibrated neox": lambda: (
        language(500, 64, 32), tokens(1000, 32, 500), following, {}, og.Calibrated(budget=8000, error=1e-3)
    ),
}  # fmt: skip


def status(name: str) -> int:
    """Bytes that the system reports for this process."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))


def one(name: str, forecasting: bool) -> tuple[float, int]:
    """Seconds and bytes of one posterior, forecast or measured."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    before = og.LocalPosterior(network(4, 8, 2), pairs(50, 4, 2), mse)  # what libraries take up at their first use
    og.sample(before, fixed(3, 3))
    model, data, loss, options, sampler = CASES[name]()
    posterior = og.LocalPosterior(model, data, loss, **options)
    if forecasting:
        og.forecast(before, fixed(3, 3))
        told = og.forecast(posterior, sampler)
        return told.seconds, told.memory
    held, begun = status("VmRSS"), time.process_time()
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    og.sample(posterior, sampler)
    return time.process_time() - begun, status("VmHWM") - held


def main(names: list[str]) -> None:
    """Print a table."""
    for name in names or list(CASES):
        found = []
        for what in ("forecast", "measure"):
            done = subprocess.run([sys.executable, __file__, what, name], capture_output=True, text=True, check=True)
            found.append(json.loads(done.stdout.splitlines()[-1]))
        (told, memory), (taken, peak) = found
        print(f"{name}: {told:.2f} s for {taken:.2f} s, {memory / 1e6:.0f} MB for {peak / 1e6:.0f} MB")  # noqa: T201


if __name__ == "__main__":
    if sys.argv[1:2] in (["forecast"], ["measure"]):
        print(json.dumps(one(sys.argv[2], sys.argv[1] == "forecast")))  # noqa: T201
    else:
        main(sys.argv[1:])
