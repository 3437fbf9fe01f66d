"""Memory and time of chains of one head: `OMP_NUM_THREADS=1 python -m benchmarks.restricted`. Needs Linux."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import ontogeny as og
from benchmarks.__main__ import write_section
from benchmarks.interleaved import interleaved, ratio
from ontogeny.core.restriction import Restriction
from ontogeny.models import Transformer, TransformerConfig
from ontogeny.sampling import Reuse
from ontogeny.sampling.chains import Chains
from ontogeny.sampling.loop import Controller, advance

TITLE = "Chains of one head of a network of 24 million weights"
HEADER = """
Command: `OMP_NUM_THREADS=1 python -m benchmarks.restricted`. A transformer of 6 layers of 512 with MLPs of 2,048 and
5,000 tokens, 64 positions, batch 4, 64 samples; SGLD on head L5H3 of 16. Memory is the peak of
resident memory above that after imports, network included and without what finds its heads, each row in a process of
its own on one thread; "over" divides by one forward and backward pass of the whole network.

| what | MB above imports | over |
|---|---|---|
"""
TIMES = """
Seconds of a step over a bare forward pass and a backward pass to the weights of the head alone, interleaved over
{rounds} rounds in one process, one chain, with the 95 % bootstrap interval of the median; nothing kept in the first.

| contestant | ratio |
|---|---|
"""
SHAPE = {"vocabulary_size": 5000, "context_length": 64, "num_layers": 6, "d_model": 512, "num_heads": 16, "d_mlp": 2048}
HEAD, BATCH, SAMPLES, ROUNDS = "L5H3", 4, 64, 15
ROWS = {
    "one forward and backward pass": ("pass", 0),
    "1 chain of a head": ("float32", 1),
    "8 chains of a head": ("float32", 8),
    "32 chains of a head": ("float32", 32),
    "one forward and backward pass, bfloat16": ("half-pass", 0),
    "8 chains of a head, bfloat16, passes in 32 bits": ("copied", 8),
    "8 chains of a head, bfloat16, passes in 16 bits": ("half", 8),
}


def peak() -> float:
    """Of this process, in MB."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM"))


def network() -> tuple[Transformer, Tensor]:
    """The network and its tokens."""
    source = torch.Generator().manual_seed(0)
    return Transformer(TransformerConfig(**SHAPE), source), torch.randint(5000, (SAMPLES, 64), generator=source)


def posterior(
    model: Transformer, tokens: Tensor, part: Any, reuse: Reuse | None = None, precision: str = "float32"
) -> og.LocalPosterior:
    """Of the head."""
    return og.LocalPosterior(
        model, tokens, og.losses.next_token, 10.0, 1.0, part, BATCH, pass_size=BATCH, reuse=reuse, precision=precision
    )


def memory(kind: str, num_chains: int) -> float:
    """MB above imports, in this process."""
    torch.set_num_threads(1)
    imported = peak()
    model, tokens = network()
    model = model if kind in ("pass", "float32") else model.bfloat16()
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    if kind.endswith("pass"):
        for _ in range(3):
            og.losses.next_token(model, tokens[:BATCH]).float().mean().backward()
            model.zero_grad()
    else:
        restriction = og.restrict(model, HEAD)
        Path("/proc/self/clear_refs").write_text("5")
        found = posterior(model, tokens, restriction, precision="model" if kind == "half" else "float32")
        og.sample(found, og.SGLD(1e-6), num_chains=num_chains, num_draws=3, num_warmup=0)
    return peak() - imported


def bare(model: Transformer, tokens: Tensor, restriction: Restriction) -> Callable[[], None]:
    """A forward pass of a batch, and a backward pass to the parameters that hold the head."""
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name in restriction.free)
    free = [each for each in model.parameters() if each.requires_grad]

    def work() -> None:
        torch.autograd.grad(og.losses.next_token(model, tokens[:BATCH]).mean(), free)

    return work


def stepping(found: og.LocalPosterior) -> Callable[[], None]:
    """A step of one chain."""
    found.center_losses(torch.arange(SAMPLES))
    chains = Chains(found, og.SGLD(1e-7), 1, seed=0)
    return partial(advance, chains, 0, None, None, Controller())


def times() -> list[str]:
    """Rows of the table of seconds."""
    torch.set_num_threads(1)
    model, tokens = network()
    posteriors = {"a step, nothing kept": Reuse(0), "a step, activations kept": Reuse()}
    works = {name: stepping(posterior(model, tokens, HEAD, reuse)) for name, reuse in posteriors.items()}
    restriction = og.restrict(model, HEAD)
    seconds = interleaved({"bare": bare(network()[0], tokens, restriction)} | works, ROUNDS)
    found = {name: ratio(seconds[name], seconds["bare"]) for name in works}
    return [f"| {name} | {middle:.2f} ({low:.2f}–{high:.2f}) |" for name, (middle, low, high) in found.items()]


def main() -> None:
    """Measure, and write the section of RESULTS.md."""
    rows, floors = [], dict[bool, float]()
    environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": "1000000"}  # what is freed goes back to the system at once
    for name, (kind, chains) in ROWS.items():
        command = [sys.executable, "-m", "benchmarks.restricted", kind, str(chains)]
        told = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment).stdout
        found, short = json.loads(told.splitlines()[-1]), "bfloat16" in name
        floors.setdefault(short, found)
        rows.append(f"| {name} | {found:.0f} | {found / floors[short]:.2f} |")
    text = HEADER + "\n".join(rows) + "\n" + TIMES.format(rounds=ROUNDS) + "\n".join(times())
    write_section(TITLE, text)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(memory(sys.argv[1], int(sys.argv[2]))))  # noqa: T201 - the result
    else:
        main()
