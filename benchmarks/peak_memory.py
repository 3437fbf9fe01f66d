"""Peak memory of whole calls of `og.estimate_llc` on transformers of Hugging Face: `python -m benchmarks.peak_memory`.

Each call is a process of its own with one thread, which tells the peak of its resident memory above that after imports.
"""

import json
import subprocess
import sys
import time

import torch
from torch import Tensor, nn

from benchmarks.__main__ import write_section

TITLE = "Peak memory of whole calls"
HEADER = """
Command: `python -m benchmarks.peak_memory`. `og.estimate_llc(model, tokens, loss_fn)` on GPT-2 configurations with
random weights, one thread; peak resident memory above that after imports, data and model included.

| network | weights | n | budget | gradients | minutes | peak above imports | outcome |
|---|---|---|---|---|---|---|---|
"""
# Of the large network a default budget takes days of one core; what it holds in memory is there from the first pass on.
CASES = {
    "4 layers of 96, 128 positions, 256 tokens": (
        {"vocab_size": 256, "n_positions": 128, "n_embd": 96, "n_layer": 4, "n_head": 4},
        16_335,
        20_000,
    ),
    "6 layers of 320, 512 positions, 50,257 tokens": (
        {"vocab_size": 50_257, "n_positions": 512, "n_embd": 320, "n_layer": 6, "n_head": 8},
        2_000,
        400,
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

    import ontogeny as og

    torch.set_num_threads(1)
    shape, count, budget = CASES[name]
    before, begun = peak(), time.perf_counter()
    torch.manual_seed(0)
    model = GPT2LMHeadModel(GPT2Config(**shape)).eval()
    data = torch.randint(shape["vocab_size"], (count, shape["n_positions"]))
    estimate = og.estimate_llc(model, data, loss_fn, budget=budget, progress=True)
    assert estimate.settings is not None
    return {
        "weights": sum(parameter.numel() for parameter in model.parameters()),
        "spent": estimate.settings.gradient_evaluations,
        "minutes": (time.perf_counter() - begun) / 60,
        "peak": peak() - before,
        "outcome": estimate.outcome.value,
    }


def main() -> None:
    """Measure each case in a process of its own, and write the table."""
    rows = []
    for name, (_, count, budget) in CASES.items():
        command = [sys.executable, "-m", "benchmarks.peak_memory", name]
        told = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
        found = json.loads(told.splitlines()[-1])
        rows.append(
            f"| {name} | {found['weights']:,} | {count:,} | {budget:,} | {found['spent']:,} | {found['minutes']:.1f} | "
            f"{found['peak']:.2f} GiB | {found['outcome']} |"
        )
    write_section(TITLE, HEADER + "\n".join(rows))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(measured(sys.argv[1])))  # noqa: T201 - the result
    else:
        main()
