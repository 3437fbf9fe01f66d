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
NBETA, LOCALIZATION = 100.0, 300.0  # settled on seed 100
SAMPLER = og.Calibrated(resolution=0.1)  # errors are shares of each value, however small
TITLE = "Complexity away from minima"
SAID = """
Command: `python -m benchmarks.away`. A deep linear network of widths {widths}, {parameters} weights, at {count}
checkpoints of its training; n = {samples}. `og.measure` by `{sampler}`, at nβ {nbeta:g} and γ {localization:g}, against
exact chains in float64 about ŵ. Off: complexity, and the raw value nβ (E[L] - L(w*)), over the exact one, less 1.

| step | exact complexity | complexity | off | raw value | off | verdict |
|---|---|---|---|---|---|---|
"""


def data(seed: int) -> tuple[Tensor, Tensor]:
    """Inputs, and outputs of a teacher of rank 3 with noise."""
    source = torch.Generator().manual_seed(seed)
    x = torch.randn(SAMPLES, WIDTHS[0], generator=source)
    left, right = (torch.randn(WIDTHS[0], 3, generator=source) for _ in range(2))
    scales = torch.tensor([1.0, 0.6, 0.3]) / WIDTHS[0]
    return x, x @ (left * scales @ right.T) + NOISE * torch.randn(SAMPLES, WIDTHS[-1], generator=source)


def network() -> nn.Sequential:
    """Linear layers without biases."""
    return nn.Sequential(*(nn.Linear(a, b, bias=False) for a, b in pairwise(WIDTHS)))


def exact(model: nn.Module, samples: Any, nbeta: float, localization: float, seed: int) -> tuple[float, float]:
    """The complexity by exact chains about ŵ, and its standard error."""
    loss = FlatLoss(model, samples, og.losses.mse)
    both = grad_and_value(loss)
    center = loss.center

    def energy(position: np.ndarray) -> tuple[float, np.ndarray]:
        away = torch.from_numpy(position) - center
        gradient, value = both(torch.from_numpy(position))
        total = nbeta * value + localization / 2 * away @ away
        return float(total.detach()), (nbeta * gradient + localization * away).detach().numpy()

    options = {"maxiter": 20_000, "maxfun": 20_000, "ftol": 1e-15, "gtol": 1e-9}
    found = minimize(energy, center.numpy(), jac=True, method="L-BFGS-B", options=options)
    minimum = torch.from_numpy(found.x)
    slope, height = both(minimum)
    plain = tempered(loss, nbeta)

    def above_tangent(positions: Tensor) -> tuple[Tensor, Tensor]:
        values, gradients = plain(positions)
        fall = nbeta * ((positions - minimum) @ slope + height - loss(center))
        return values - fall, gradients - nbeta * slope

    trace = run_hmc(above_tangent, minimum, localization, num_draws=1500, seed=seed).energies
    means = trace.reshape(-1, 50).mean(1)
    return float(trace.mean()), float(means.std(ddof=1) / math.sqrt(means.size))


def known_at(
    run: Checkpoints, samples: Any, step: int, settings: dict[str, Any], folder: Path, seed: int
) -> tuple[float, float]:
    """The exact complexity at a checkpoint, kept once it is known."""
    nbeta, localization = settings["nbeta"], settings["localization"]
    path = folder / f"{step}_{nbeta:g}_{localization:g}.json"
    if not path.exists():
        model = network()
        model.load_state_dict(run.load(step))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(exact(model, samples, nbeta, localization, seed)), encoding="utf-8")
    value, error = json.loads(path.read_text(encoding="utf-8"))
    return value, error


def main(
    seed: Annotated[int, typer.Option(help="of teacher, weights and chains")] = 0,
    nbeta: float = NBETA,
    localization: float = LOCALIZATION,
) -> None:
    """Train, compare, and write the table."""
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    samples, model, folder = data(seed), network(), FOLDER / str(seed)
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
    run = og.train(model, samples, og.losses.mse, config, folder / "training")
    options = {"sampler": SAMPLER, "seed": seed, "store": folder / "store", "progress": True}
    settings = {"nbeta": nbeta, "localization": localization}
    found = og.measure(run, network, samples, og.losses.mse, **settings, **options).isel(component=0, dataset=0)
    lines, near, far = list[str](), 0, 0
    for step in run.steps:
        known, error = known_at(run, samples, step, settings, folder / "exact", seed)
        here = found.sel(step=step)
        value, mcse, raw = (here[name].item() for name in ("llc_complexity", "llc_complexity_mcse", "llc"))
        near, far = near + (abs(value / known - 1) < 0.05), far + (abs(raw / known - 1) > 0.2)
        lines.append(
            f"| {step} | {known:.3f} ± {error:.3f} | {value:.3f} ± {mcse:.3f} | {value / known - 1:+.1%} | {raw:.2f} | "
            f"{raw / known - 1:+.1%} | {here['llc_outcome'].item()} |"
        )
    size = sum(parameter.numel() for parameter in model.parameters())
    said = SAID.format(
        widths=WIDTHS,
        parameters=size,
        count=len(lines),
        samples=SAMPLES,
        sampler=f"og.{SAMPLER!r}",
        nbeta=nbeta,
        localization=localization,
    )
    end = f"\n\nWithin 5 %: complexity at {near} of {len(lines)}; raw value off by more than 20 % at {far}."
    write_section(TITLE, said + "\n".join(lines) + end)


if __name__ == "__main__":
    typer.run(main)
