"""Training all task diversities of in-context regression at once against one after another.

`python -m benchmarks.diversities`: steps of `train_instances`, and of `train` for each, interleaved round by round.
"""

import copy
from collections.abc import Callable
from typing import Annotated, Any

import torch
import typer
from torch import Tensor, nn

from benchmarks.__main__ import write_section
from benchmarks.interleaved import interleaved, ratio
from ontogeny.data import LinearRegressionTask
from ontogeny.models import RegressionConfig, RegressionTransformer
from ontogeny.training import TrainingConfig, train, train_instances

TITLE = "Task diversities trained at once"
DIVERSITIES = (1, 2, 4, 8, 16, 32, 64, None)
# width, heads, width of the MLP, pairs, batch
SHAPES = ((16, 1, 16, 4, 16), (32, 2, 32, 4, 32), (32, 2, 128, 8, 64))


def squared_error(model: Any, batch: tuple[Tensor, Tensor]) -> Tensor:
    """Of each pair."""
    return (model(*batch) - batch[1]).square()


def contestants(shape: tuple[int, ...], steps: int) -> tuple[dict[str, Callable[[], None]], int]:
    """Both ways, for as many steps, and the number of weights of a network; all checks and checkpoints are included."""
    width, heads, mlp, pairs, batch = shape
    common = {"dimension": 6, "num_pairs": pairs}
    config = RegressionConfig(d_model=width, num_heads=heads, d_mlp=mlp, **common)
    tasks = [LinearRegressionTask(task_diversity=M, noise_variance=0.1, **common) for M in DIVERSITIES]
    model = RegressionTransformer(config, torch.Generator().manual_seed(0))
    training = TrainingConfig(
        num_steps=steps, batch_size=batch, learning_rate=3e-3, clip_norm=1.0, checkpoints_log=0, checkpoints_linear=1
    )

    def models() -> list[nn.Module]:
        return [copy.deepcopy(model) for _ in tasks]

    def together() -> None:
        train_instances(models(), tasks, squared_error, training)

    def alone() -> None:
        for each, task in zip(models(), tasks, strict=True):
            train(each, task, squared_error, training)

    return {"together": together, "alone": alone}, sum(weights.numel() for weights in model.parameters())


def main(
    rounds: int = 6,
    steps: int = 50,
    write: Annotated[bool, typer.Option(help="write the section of RESULTS.md")] = False,
) -> None:
    """Measure at every shape."""
    torch.set_num_threads(1)
    head = ["weights of a network", "tokens", "batch", "ms a step of all, at once", "one after another", "ratio"]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for shape in SHAPES:
        works, size = contestants(shape, steps)
        seconds = interleaved(works, rounds)
        middle, low, high = ratio(seconds["together"], seconds["alone"])
        took = [1000 * float(sorted(seconds[name])[rounds // 2]) / steps for name in ("together", "alone")]
        row = [f"{size:,}", str(2 * shape[3] - 1), str(shape[4]), *(f"{each:.0f}" for each in took)]
        lines.append("| " + " | ".join([*row, f"{middle:.2f} ({low:.2f}–{high:.2f})"]) + " |")
        typer.echo(lines[-1])
    if write:
        said = (
            f"Command: `python -m benchmarks.diversities --write`. {len(DIVERSITIES)} regression transformers of two "
            f"layers, one for each task diversity, by `train_instances` or by `train` in turn; {steps} steps in each "
            f"of {rounds} rounds, interleaved, checks and checkpoints included; one thread. Ratios are medians with "
            "95 % bootstrap intervals.\n\n"
        )
        write_section(TITLE, said + "\n".join(lines))


if __name__ == "__main__":
    typer.run(main)
