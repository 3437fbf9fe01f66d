"""Peak memory of whole calls of `og.estimate_llc` on transformers of Hugging Face: `python -m benchmarks.peak_memory`.

Each call is a process of its own with one thread, which tells the peak of its resident memory above that after imports.
"""

import json
import signal
import subprocess
import sys
import time

import torch
from torch import Tensor, nn

import ontogeny as og
from benchmarks.__main__ import write_section
from ontogeny.sampling import Sampler

TITLE = "Peak memory of whole calls"
HEADER = """
Command: `python -m benchmarks.peak_memory`. `og.estimate_llc(model, tokens, loss_fn)` on GPT-2 configurations with
random weights, one thread; peak resident memory above that after imports, data and model included. On the large network
a default call takes hours of one core, so it is stopped after the minutes that the table tells, still calibrating; a
short fixed sampler goes the whole way.

| network | weights | n | sampler | gradients | minutes | peak above imports | outcome |
|---|---|---|---|---|---|---|---|
"""
SMALL = {"vocab_size": 256, "n_positions": 128, "n_embd": 96, "n_layer": 4, "n_head": 4}
LARGE = {"vocab_size": 50_257, "n_positions": 512, "n_embd": 320, "n_layer": 6, "n_head": 8}
LIMIT = 15  # minutes
# network, n, sampler
CASES: dict[str, tuple[str, dict[str, int], int, Sampler]] = {
    "small": ("4 layers of 96, 128 positions, 256 tokens", SMALL, 16_335, og.Calibrated(budget=20_000)),
    "large": ("6 layers of 320, 512 positions, 50,257 tokens", LARGE, 256, og.Calibrated(budget=8_000)),
    "large, short": (
        "the same, 4 chains of 3 steps",
        LARGE,
        64,
        og.Fixed(kernel=og.SGHMC(1e-3), num_chains=4, num_draws=2, num_warmup=1),
    ),
}


def peak() -> float:
    """Of this process, in GiB."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) / 2**20 for line in status if line.startswith("VmHWM"))


def loss_fn(model: nn.Module, tokens: Tensor) -> Tensor:
    """Of the next token, as `og.losses.next_token` has it, written as a user would."""
    logits = model(tokens).logits[:, :-1].transpose(1, 2)
    return nn.functional.cross_entropy(logits, tokens[:, 1:], reduction="none").mean(1)


def measured(name: str) -> dict[str, float | str]:
    """One call, in this process."""
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.set_num_threads(1)
    _, shape, count, sampler = CASES[name]
    before, begun = peak(), time.perf_counter()
    torch.manual_seed(0)
    model = GPT2LMHeadModel(GPT2Config(**shape)).eval()
    data = torch.randint(shape["vocab_size"], (count, shape["n_positions"]))
    found: dict[str, float | str] = {"spent": "-", "outcome": "stopped"}
    signal.signal(signal.SIGALRM, signal.default_int_handler)
    signal.alarm(60 * LIMIT)
    try:
        estimate = og.estimate_llc(model, data, loss_fn, sampler=sampler, progress=True)
    except KeyboardInterrupt:
        pass
    else:
        assert estimate.settings is not None
        found = {"spent": f"{estimate.settings.gradient_evaluations:,}", "outcome": estimate.outcome.value}
    weights = sum(parameter.numel() for parameter in model.parameters())
    minutes = (time.perf_counter() - begun) / 60
    return found | {"weights": weights, "minutes": minutes, "peak": peak() - before}


def main() -> None:
    """Measure each case in a process of its own, and write the table."""
    rows = []
    for name, (title, _, count, sampler) in CASES.items():
        command = [sys.executable, "-m", "benchmarks.peak_memory", name]
        told = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
        found = json.loads(told.splitlines()[-1])
        how = f"budget {sampler.budget:,}" if isinstance(sampler, og.Calibrated) else "fixed"
        rows.append(
            f"| {title} | {found['weights']:,} | {count:,} | {how} | {found['spent']} | {found['minutes']:.1f} | "
            f"{found['peak']:.2f} GiB | {found['outcome']} |"
        )
    write_section(TITLE, HEADER + "\n".join(rows))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(measured(sys.argv[1])))  # noqa: T201 - the result
    else:
        main()
