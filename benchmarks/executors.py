"""A run measured by two processes, by two threads and by one: `python -m benchmarks.executors`.

Contestants are interleaved round by round, on a machine that has nothing else to do and beside one busy process.
"""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated

import numpy as np
import torch
import typer

import ontogeny as og
from benchmarks.__main__ import write_section
from ontogeny.core.seeds import generator
from ontogeny.execution import Executor, Processes, Serial
from ontogeny.models import Transformer, TransformerConfig
from ontogeny.sampling import PosteriorConfig
from ontogeny.stores import Checkpoints

TITLE = "Who runs the jobs"
SHAPE = TransformerConfig(vocabulary_size=256, context_length=32, num_layers=2, d_model=64, num_heads=4, d_mlp=0)
CHECKPOINTS = 8
SAMPLER = og.Fixed(kernel=og.SGLD(1e-4), num_chains=2, num_draws=60, num_warmup=60)
CONTESTANTS: dict[str, tuple[Callable[[], Executor], int]] = {
    "one process, one thread": (Serial, 1),
    "one process, two threads": (Serial, 2),
    "two processes of one thread": (lambda: Processes(2), 1),
}
SAID = """
Command: `python -m benchmarks.executors`, on two cores. {count} checkpoints of a transformer of {size:,} weights, equal
draws, {rounds} rounds; seconds over those of one process of one thread in the same round, medians (range).

| beside | contestant | ratio |
|---|---|---|
"""


def model_fn() -> Transformer:
    """The network of all checkpoints."""
    return Transformer(SHAPE, generator(0))


def seconds(executor: Executor, threads: int, run: Checkpoints, tokens: torch.Tensor) -> float:
    """One measurement of the whole run."""
    torch.set_num_threads(threads)
    posterior = PosteriorConfig(nbeta=30, localization=100, batch_size=32)
    begun = time.perf_counter()
    og.measure(run, model_fn, tokens, og.losses.next_token, posterior=posterior, sampler=SAMPLER, executor=executor)
    return time.perf_counter() - begun


@contextmanager
def beside(busy: bool) -> Iterator[None]:
    """Some time in which another process computes, if `busy`."""
    other = subprocess.Popen([sys.executable, "-c", "while True: sum(range(10**6))"]) if busy else None
    try:
        yield
    finally:
        if other is not None:
            other.kill()
            other.wait()


def main(rounds: Annotated[int, typer.Option(help="of all contestants")] = 5) -> None:
    """Measure, and write the table."""
    tokens = torch.randint(256, (2000, 32), generator=torch.Generator().manual_seed(0))
    run = og.open_checkpoints([Transformer(SHAPE, generator(seed)).state_dict() for seed in range(CHECKPOINTS)])
    lines = []
    for busy in (False, True):
        found: dict[str, list[float]] = {name: [] for name in CONTESTANTS}
        with beside(busy):
            for _ in range(rounds):
                for name, (executor, threads) in CONTESTANTS.items():
                    found[name].append(seconds(executor(), threads, run, tokens))
        first = np.array(found["one process, one thread"])
        for name, times in found.items():
            ratios = np.array(times) / first
            shown = f"{np.median(ratios):.2f} ({ratios.min():.2f}–{ratios.max():.2f})"
            lines.append(f"| {'one busy process' if busy else 'nothing'} | {name} | {shown} |")
    size = sum(parameter.numel() for parameter in model_fn().parameters())
    write_section(TITLE, SAID.format(count=CHECKPOINTS, size=size, rounds=rounds) + "\n".join(lines))


if __name__ == "__main__":
    typer.run(main)
