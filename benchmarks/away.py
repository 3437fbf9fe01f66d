"""Complexity along the training of a deep linear network against long HMC: `python -m benchmarks.away`.

With ŵ the minimum of U = nβ L + (γ/2)|w - w*|² and T the tangent of L there, U is nβ (L - T) + (γ/2)|w - ŵ|² and a
constant. So the energies of exact chains about ŵ are those whose mean is the complexity.
"""

import json
import math
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from scipy.optimize import minimize
from torch import Tensor, nn
from torch.func import grad_and_value

import ontogeny as og
from benchmarks.__main__ import write_section
from ontogeny.stores import Checkpoints
from ontogeny.testing.curvature import FlatLoss
from ontogeny.testing.hmc import run_hmc, tempered

FOLDER = Path("runs/away")
WIDTHS, SAMPLES, NOISE, STEPS, CHECKPOINTS = (6, 10, 10, 6), 1000, 0.5, 400, 20
NBETA, LOCALIZATION = SAMPLES / math.log(SAMPLES), 30.0
TITLE = "Complexity away from minima"
SAID = """
Command: `python -m benchmarks.away`. A deep linear network of widths {widths}, {parameters} weights, at {count}
checkpoints of its training; n = {samples}, nβ {nbeta:.0f}, γ {localization:g}. Default calls of `og.estimate_llc`
against exact chains in float64 about ŵ. Off: complexity, and the raw value nβ (E[L] - L(w*)), over the exact
complexity, less 1.

| step | exact complexity | complexity | off | raw value | off | verdict |
|---|---|---|---|---|---|---|
"""


def data(seed: int) -> tuple[Tensor, Tensor]:
    """Inputs, and outputs of a teacher of rank 3 with noise."""
    source = torch.Generator().manual_seed(seed)
    x = torch.randn(SAMPLES, WIDTHS[0], generator=source)
    left, right = (torch.randn(WIDTHS[0], 3, generator=source) for _ in range(2))
    scales = torch.tensor([2.0, 1.0, 0.5]) / WIDTHS[0]
    return x, x @ (left * scales @ right.T) + NOISE * torch.randn(SAMPLES, WIDTHS[-1], generator=source)


def network() -> nn.Sequential:
    """Linear layers without biases."""
    return nn.Sequential(*(nn.Linear(a, b, bias=False) for a, b in pairwise(WIDTHS)))


def exact(model: nn.Module, samples: Any, seed: int) -> tuple[float, float]:
    """The complexity by exact chains about ŵ, and its standard error."""
    loss = FlatLoss(model, samples, og.losses.mse)
    both = grad_and_value(loss)
    center = loss.center

    def energy(position: np.ndarray) -> tuple[float, np.ndarray]:
        away = torch.from_numpy(position) - center
        gradient, value = both(torch.from_numpy(position))
        total = NBETA * value + LOCALIZATION / 2 * away @ away
        return float(total), (NBETA * gradient + LOCALIZATION * away).numpy()

    options = {"maxiter": 20_000, "maxfun": 20_000, "ftol": 1e-15, "gtol": 1e-9}
    found = minimize(energy, center.numpy(), jac=True, method="L-BFGS-B", options=options)
    minimum = torch.from_numpy(found.x)
    slope, height = both(minimum)
    plain = tempered(loss, NBETA)

    def above_tangent(positions: Tensor) -> tuple[Tensor, Tensor]:
        values, gradients = plain(positions)
        fall = NBETA * ((positions - minimum) @ slope + height - loss(center))
        return values - fall, gradients - NBETA * slope

    trace = run_hmc(above_tangent, minimum, LOCALIZATION, num_draws=1500, seed=seed).energies
    means = trace.reshape(-1, 50).mean(1)
    return float(trace.mean()), float(means.std(ddof=1) / math.sqrt(means.size))


def compared(run: Checkpoints, samples: Any, step: int, path: Path, seed: int) -> dict[str, Any]:
    """One checkpoint, kept once it is measured."""
    if not path.exists():
        model = network()
        model.load_state_dict(run.load(step))
        estimate = og.estimate_llc(model, samples, og.losses.mse, nbeta=NBETA, localization=LOCALIZATION, seed=seed)
        known, error = exact(model, samples, seed)
        row = {"step": step, "known": known, "known_error": error, "complexity": estimate.complexity}
        row |= {"mcse": estimate.complexity_mcse, "value": estimate.value, "verdict": estimate.outcome.value}
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(row), encoding="utf-8")
    return json.loads(path.read_text(encoding="utf-8"))


def main(seed: Annotated[int, typer.Option(help="of teacher, weights and chains")] = 0) -> None:
    """Train, compare, and write the table."""
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    samples, model = data(seed), network()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(0.4)
    config = og.TrainingConfig(
        num_steps=STEPS,
        learning_rate=3e-3,
        batch_size=100,
        checkpoints_log=CHECKPOINTS,
        checkpoints_linear=0,
        seed=seed,
    )
    run = og.train(model, samples, og.losses.mse, config, FOLDER / str(seed) / "training")
    rows = [compared(run, samples, step, FOLDER / str(seed) / f"{step}.json", seed) for step in run.steps]
    lines = [
        f"| {row['step']} | {row['known']:.2f} ± {row['known_error']:.2f} | "
        f"{row['complexity']:.2f} ± {row['mcse']:.2f} | "
        f"{row['complexity'] / row['known'] - 1:+.1%} | {row['value']:.2f} | {row['value'] / row['known'] - 1:+.1%} | "
        f"{row['verdict']} |"
        for row in rows
    ]
    near = sum(abs(row["complexity"] / row["known"] - 1) < 0.05 for row in rows)
    far = sum(abs(row["value"] / row["known"] - 1) > 0.2 for row in rows)
    size = sum(parameter.numel() for parameter in model.parameters())
    said = SAID.format(
        widths=WIDTHS, parameters=size, count=len(rows), samples=SAMPLES, nbeta=NBETA, localization=LOCALIZATION
    )
    end = f"\n\nWithin 5 %: complexity at {near} of {len(rows)}; raw value off by more than 20 % at {far}."
    write_section(TITLE, said + "\n".join(lines) + end)


if __name__ == "__main__":
    typer.run(main)
