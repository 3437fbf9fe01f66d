"""Sweeps over heads with activations before the first free weight kept and not kept: `python -m benchmarks.reuse`.

Contestants are interleaved round by round in one process on one thread. `--rounds N` sets the number of rounds, and
`--device cuda` the device.
"""

import argparse
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import ontogeny as og
from benchmarks.__main__ import write_section
from benchmarks.interleaved import interleaved, ratio
from benchmarks.sampler import transformer_case
from ontogeny.sampling import Reuse
from ontogeny.sampling.chains import Chains
from ontogeny.sampling.loop import Controller, advance
from ontogeny.sampling.prefix_calls import Multiplications

TITLE = "Activations kept before the first free weight"
HEADER = """
Command: `OMP_NUM_THREADS=1 python -m benchmarks.reuse`. SGLD steps of one chain per head, batch 8, every head of the
sweep taking as many steps as the whole network; contestants interleaved over {rounds} rounds in one process on one
thread, ratios are medians over rounds with the 95 % bootstrap interval of the median. Activations are kept already, as
they are in all but the first pass over the data. "Multiplications" is the same ratio in matrix products and attentions
alone: no implementation that runs a pass for each head and step is below it. The last column is the largest difference
of the losses of 20 draws with and without.

| network | contestant | over | ratio | multiplications | difference |
|---|---|---|---|---|---|
"""
STEPS = 2


def neox(vocabulary: int) -> tuple[nn.Module, Tensor]:
    """A GPT-NeoX of 12 layers of 128, and random tokens."""
    from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

    torch.manual_seed(0)
    shape = {"hidden_size": 128, "num_hidden_layers": 12, "num_attention_heads": 4, "intermediate_size": 512}
    model = GPTNeoXForCausalLM(GPTNeoXConfig(vocab_size=vocabulary, max_position_embeddings=64, **shape))
    return model, torch.randint(vocabulary, (128, 64), generator=torch.Generator().manual_seed(1))


def posterior(model: nn.Module, data: Tensor, part: str | None, reuse: Reuse, device: str) -> og.LocalPosterior:
    """Of a head or of the whole, with every activation kept that will be."""
    options: dict[str, Any] = {"nbeta": 30.0, "localization": 100.0, "batch_size": 8, "restriction": part}
    found = og.LocalPosterior(model, data, og.losses.next_token, reuse=reuse, device=device, **options)
    found.center_losses(torch.arange(len(data)))
    return found


def stepping(posteriors: Sequence[og.LocalPosterior]) -> Callable[[], None]:
    """Some steps of a chain of each posterior."""
    chains = [Chains(each, og.SGLD(1e-7), 1, seed=0) for each in posteriors]

    def work() -> None:
        for each in chains:
            for step in range(STEPS):
                advance(each, step, None, None, Controller())

    return work


def multiplications(posteriors: Sequence[og.LocalPosterior]) -> int:
    """Of one step of each."""
    with Multiplications() as counted:
        for each in posteriors:
            each.gradients(each.center[None], torch.arange(8), torch.empty_like(each.center[None]), paired=False)
    return counted.total


def difference(one: og.LocalPosterior, other: og.LocalPosterior) -> float:
    """The largest difference of the losses of the same draws."""
    found = [og.sample(each, og.SGLD(1e-6), num_chains=1, num_draws=20, num_warmup=0) for each in (one, other)]
    return float(np.abs(found[0]["posterior"]["loss_difference"] - found[1]["posterior"]["loss_difference"]).max())


def sweep(name: str, model: nn.Module, data: Tensor, heads: Sequence[str], rounds: int, device: str) -> list[str]:
    """Rows of one network: its heads over the whole, and with over without."""
    whole = [posterior(model, data, None, Reuse(), device)]
    never = [posterior(model, data, head, Reuse(0), device) for head in heads]
    kept = [posterior(model, data, head, Reuse(2**30), device) for head in heads]
    sets = {"the whole network": whole, "heads, nothing kept": never, "heads, activations kept": kept}
    seconds = interleaved({title: stepping(each) for title, each in sets.items()}, rounds)
    counts = {title: multiplications(each) for title, each in sets.items()}
    apart = max(difference(*pair) for pair in zip(never, kept, strict=True))
    rows = []
    for one, other in (
        ("heads, nothing kept", "the whole network"),
        ("heads, activations kept", "the whole network"),
        ("heads, nothing kept", "heads, activations kept"),
    ):
        middle, low, high = ratio(seconds[one], seconds[other])
        rows.append(
            f"| {name} | {len(heads)} {one} | {other} | {middle:.2f} ({low:.2f}–{high:.2f}) | "
            f"{counts[one] / counts[other]:.2f} | {apart:.0e} |"
        )
    return rows


def main() -> None:
    """Measure, and write the section of RESULTS.md."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--device", default="cpu")
    given = parser.parse_args()
    rounds, device = given.rounds, given.device
    torch.set_num_threads(1)
    model, data, *_ = transformer_case(1, og.losses.next_token)
    small = [f"L{layer}H{head}" for layer in range(2) for head in range(8)]
    rows = sweep("2 layers of 256, 5,000 tokens, 3.1M", model, data[:64], small, rounds, device)
    for vocabulary in (1_000, 50_000):
        name = f"GPT-NeoX, 12 layers of 128, {vocabulary:,} tokens"
        rows += sweep(name, *neox(vocabulary), [f"L11H{head}" for head in range(4)], rounds, device)
    write_section(TITLE, HEADER.format(rounds=rounds) + "\n".join(rows))


if __name__ == "__main__":
    main()
