"""Runs the benchmarks and writes RESULTS.md beside this file."""

import platform
from pathlib import Path

import torch

from benchmarks import memory
from benchmarks.interleaved import ROUNDS
from benchmarks.sampler import measure, mlp_case, plain_next_token, transformer_case
from ontogeny import losses

TITLE = "A sampling step over the bare forward and backward pass"
HEADER = """
Command: `make bench`. Ratios are medians over {rounds} rounds, contestants interleaved round by round in one process,
with the 95 % bootstrap interval of the median; milliseconds are indicative. Python {python}, torch {torch}, CPU.

The floor is the eager forward and backward pass of the same model, batch and loss, once per chain. For the transformer
it is measured with PyTorch's cross-entropy and with the faster `og.losses.next_token`. Steps exclude the start of the
chains. "A paired draw each" records a draw at every step, with losses at the center cached per sample as in a long run.

| model | chains | threads | contestant | ms a step, all chains | ratio to the floor |
|---|---|---|---|---|---|
"""
RESULTS = Path(__file__).parent / "RESULTS.md"


def write_section(title: str, text: str) -> None:
    """Put a section of RESULTS.md in the place of the last one of its title, or at the end."""
    sections = RESULTS.read_text(encoding="utf-8").split("\n## ") if RESULTS.exists() else ["# Benchmark results\n"]
    titles = [section.partition("\n")[0] for section in sections]
    section = f"{title}\n\n{text.strip()}\n"
    if title in titles:
        sections[titles.index(title)] = section
    else:
        sections.append(section)
    RESULTS.write_text("\n## ".join(sections), encoding="utf-8")


def main() -> None:
    """Measure, and write the section of RESULTS.md."""
    rows = measure("MLP, 9.6k parameters, batch 128", mlp_case(), steps=100, threads=1, small=True)
    for loss, loss_fn in (("PyTorch's loss", plain_next_token), ("our loss", losses.next_token)):
        for chains, steps in ((1, 3), (4, 1)):
            case = transformer_case(chains, loss_fn)
            rows += measure(f"transformer, 3.1M, context 128, batch 8, {loss}", case, steps, threads=2)
    text = HEADER.format(rounds=ROUNDS, python=platform.python_version(), torch=torch.__version__)
    text += "\n".join(rows) + "\n\n" + memory.measure() + "\n"
    write_section(TITLE, text)


if __name__ == "__main__":
    main()
