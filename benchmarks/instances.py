"""Many small networks trained as one run, against one after another."""

import platform

import torch

import ontogeny as og
from benchmarks.__main__ import write_section
from benchmarks.interleaved import interleaved, ratio
from ontogeny.studies.superposition.recipe import SparseFeatures, network, weighted_error

TITLE = "Many small networks trained as one run"
COUNT, STEPS, BATCH, ROUNDS = 64, 10, 128, 8
SIZES = ((2, 6), (5, 20), (12, 64))  # hidden units and features
HEADER = """
Command: `python -m benchmarks.instances`. {count} networks ReLU(WᵀWx + b) with AdamW on batches of {batch} fresh
samples, {steps} steps from the same weights: `og.train_instances` on all, and `og.train` on each in turn, in one
process of one thread. Contestants are interleaved over {rounds} rounds; the ratio is the median over rounds with its
95 % bootstrap interval, and milliseconds are indicative. Python {python}, torch {torch}, CPU.

| hidden units, features | together, ms a step | one after another, ms a step of all | ratio |
|---|---|---|---|
"""


def measure(hidden: int, features: int) -> str:
    """A row of the table."""
    task = SparseFeatures(0.1, (1.0,) * features)
    settings = og.TrainingConfig(num_steps=STEPS, batch_size=BATCH, checkpoints_log=0, checkpoints_linear=0)

    def models() -> list[torch.nn.Module]:
        torch.manual_seed(0)
        return [network(hidden, features) for _ in range(COUNT)]

    def alone() -> None:
        for model in models():
            og.train(model, task, weighted_error, settings)

    def together() -> None:
        og.train_instances(models(), task, weighted_error, settings)

    seconds = interleaved({"together": together, "alone": alone}, ROUNDS)
    middle, low, high = ratio(seconds["alone"], seconds["together"])
    each = [f"{1000 * float(seconds[name].mean()) / STEPS:.1f}" for name in ("together", "alone")]
    return f"| {hidden}, {features} | {each[0]} | {each[1]} | {middle:.1f} ({low:.1f}–{high:.1f}) |"


def main() -> None:
    """Measure, and write the section of RESULTS.md."""
    torch.set_num_threads(1)
    versions = {"python": platform.python_version(), "torch": torch.__version__}
    text = HEADER.format(count=COUNT, batch=BATCH, steps=STEPS, rounds=ROUNDS, **versions)
    write_section(TITLE, text + "\n".join(measure(*sizes) for sizes in SIZES))


if __name__ == "__main__":
    main()
