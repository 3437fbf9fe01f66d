"""What the circuits of one checkpoint of the language study's network cost: `python -m benchmarks.circuits`."""

import time
from collections.abc import Callable
from itertools import product

import numpy as np
import torch

from benchmarks.__main__ import write_section
from ontogeny import circuits
from ontogeny.core.seeds import generator
from ontogeny.models import Transformer, TransformerConfig, heads

TITLE = "Circuits of one checkpoint"
SHAPE = TransformerConfig(vocabulary_size=400, context_length=128, num_layers=2, d_model=128, num_heads=8)
ROUNDS = 5
SAID = """
Command: `python -m benchmarks.circuits`. The network of the language study's preset
`standard`, {size:,} weights (random ones cost the same), 32 sequences of 128 tokens, one thread; seconds of wall time,
medians of {rounds} rounds (range), each with a new network. Heads found, scored, composed and ablated: {total:.1f} s.

| work | seconds |
|---|---|
"""


def works(model: Transformer, tokens: torch.Tensor) -> dict[str, Callable[[], object]]:
    """What is done for one checkpoint; the last two are not among what the sum counts."""

    def paths() -> None:
        for one, other in product(range(SHAPE.num_heads), repeat=2):
            with torch.no_grad(), circuits.ablate_path(model, f"L0H{one}", f"L1H{other}", "K"):
                model(tokens[:8])

    return {
        "heads found": lambda: heads(model),
        "head scores, on text and repeats": lambda: circuits.head_scores(model, tokens),
        "Q-, K- and V-composition of all pairs, 1,999 rotations": lambda: [
            circuits.composition(model, input) for input in ("Q", "K", "V")
        ],
        "each of 16 heads ablated, losses by token": lambda: circuits.token_effects(model, tokens),
        "logits attributed, of the next tokens": lambda: circuits.logit_attribution(model, tokens, tokens.roll(-1, 1)),
        "64 paths into keys ablated, on 8 sequences": paths,
    }


def main() -> None:
    """Measure, and write the table."""
    torch.set_num_threads(1)
    tokens = torch.randint(SHAPE.vocabulary_size, (32, SHAPE.context_length), generator=generator(0))
    found: dict[str, list[float]] = {}
    for number in range(ROUNDS):
        for name, run in works(Transformer(SHAPE, generator(number)), tokens).items():
            begun = time.perf_counter()
            run()
            found.setdefault(name, []).append(time.perf_counter() - begun)
    medians = [float(np.median(times)) for times in found.values()]
    rows = [f"| {name} | {np.median(each):.2f} ({min(each):.2f}–{max(each):.2f}) |" for name, each in found.items()]
    size = sum(parameter.numel() for parameter in Transformer(SHAPE, generator(0)).parameters())
    write_section(TITLE, SAID.format(size=size, rounds=ROUNDS, total=sum(medians[:4])) + "\n".join(rows))


if __name__ == "__main__":
    main()
