"""What verdicts say of results that are known to be wrong: `python -m benchmarks.verdicts`.

Chains at bad settings, budgets that end early, localizations of known share, and weights that are no minimum.
"""

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from torch import Tensor, nn

import ontogeny as og
from benchmarks.__main__ import write_section
from benchmarks.peers.cases import LARGE, build, reference
from benchmarks.peers.ours import network
from ontogeny.testing.cases import CASES, Case

TITLE = "Verdicts on results that are known to be wrong"
NETWORKS = (
    "linear-7x7x7-rank1-n1e4-noise0.1",
    "linear-5x10x5-generic-n1e4-noise0.1",
    "linear-10x5x10-rank3-n1e5-noise0.1",
    "linear-6x10x10x10x10x6-rank2-n1e3-noise0.1",
    "softmax-10x10",
    "planted-tanh-5x15x2",
    "least-squares-200",
)
NOISY = (
    "linear-5x10x5-generic-n1e3-noise1",
    "linear-10x5x10-generic-n1e4-noise1",
    "linear-10x10x10x10-generic-n1e5-noise1",
    "linear-18x18x18x18-rank4-n1e6-noise0.1",
)
BUDGETS = tuple(round(5e5 * 2**doubled) for doubled in range(5))
REFERENCES = Path("runs/peers/references")
FIRST_SEED = 6000  # the rule was chosen on other seeds
STEPS = 10.0 ** np.arange(-9, -2.9)
LENGTHS = ((300, 300), (50, 50), (400, 0))  # draws and warm-up: enough for some steps, too few, none
FAR, NEAR = 0.2, 0.05
SIZE, NUM_SAMPLES = 60, 5000


def named(name: str) -> Case:
    """The case of known truth of this name."""
    return next(case for case in CASES if case.name == name)


def bad_settings(seeds: int) -> str:
    """Of results more than a fifth off, how many say so."""
    lines = ["| network | runs | more than 20 % off | of these flagged |", "|---|---|---|---|"]
    totals = np.zeros(3, dtype=int)
    for name in NETWORKS:
        case = named(name)
        model, data, loss = case.build()
        posterior = og.LocalPosterior(model, data, loss)
        found = []
        for seed in range(seeds):
            for step in STEPS:
                for draws, warmup in LENGTHS:
                    made = og.sample(posterior, og.SGLD(float(step)), num_draws=draws, num_warmup=warmup, seed=seed)
                    estimate = og.llc(made)
                    far = not abs(estimate.value / case.reference.value - 1) <= FAR
                    found.append((far, far and estimate.outcome is not og.Outcome.CONVERGED))
        counts = np.array([len(found), *np.array(found).sum(0)])
        totals += counts
        lines.append("| " + " | ".join([name, *map(str, counts)]) + " |")
        typer.echo(lines[-1])
    lines.append(f"| all | {totals[0]} | {totals[1]} | {totals[2]} ({totals[2] / totals[1]:.1%}) |")
    said = f"SGLD at steps 1e-9 to 1e-3, {len(LENGTHS)} lengths (draws, warm-up: {LENGTHS}), {seeds} seeds.\n\n"
    return said + "\n".join(lines)


def small_budgets(seeds: int) -> str:
    """Default calls under budgets: of results more than a fifth off, how many say so; and of those near."""
    lines = [
        "| network | runs | more than 20 % off | of these flagged | within 5 % | of these flagged | not flagged |"
        " of these covered by their interval |",
        "|---|---|---|---|---|---|---|---|",
    ]
    totals = np.zeros(7, dtype=int)
    for name, made, truth in _networks():
        found = []
        for budget in BUDGETS:
            for seed in range(FIRST_SEED, FIRST_SEED + seeds):
                estimate = og.estimate_llc(*made(), budget=budget, seed=seed)
                error = abs(estimate.value / truth - 1)
                trusted = estimate.outcome is og.Outcome.CONVERGED
                far, near, covered = not error <= FAR, error < NEAR, error * truth < 1.96 * estimate.mcse
                found.append((far, far and not trusted, near, near and not trusted, trusted, trusted and covered))
        counts = np.array([len(found), *np.array(found).sum(0)])
        totals += counts
        lines.append("| " + " | ".join([name, *map(str, counts)]) + " |")
        typer.echo(lines[-1])
    lines.append("| " + " | ".join(["all", *map(str, totals)]) + " |")
    budgets = ", ".join(f"{budget / 1e6:g}" for budget in BUDGETS)
    said = f"Within {budgets} million per-sample gradients, {seeds} seeds from {FIRST_SEED} on; the rule was chosen on"
    return "\n\n".join([f"{said} others.", "\n".join(lines)])


def _networks() -> Iterator[tuple[str, Callable[[], tuple[nn.Module, Any, Any]], float]]:
    """Noisy ones of up to a million samples: what is called, and the reference."""
    for name in NOISY:
        yield name, named(name).build, named(name).reference.value
    for case in LARGE:
        weights, x, y = build(case)

        def made(weights: list[Tensor] = weights, data: tuple[Tensor, Tensor] = (x, y)) -> tuple[nn.Module, Any, Any]:
            return network(weights), data, og.losses.mse

        yield f"{case.name}, noise 1", made, reference(case, REFERENCES)["value"]


def spectra() -> Iterator[tuple[str, Tensor]]:
    """Curvatures nβh in units of γ."""
    for share in (0.02, 0.05, 0.1, 0.15, 0.25, 0.3, 0.5, 0.8):
        yield f"all alike, {share:.0%}", torch.full((SIZE,), 1 / share - 1)
    for weak in (0.3, 0.03, 0.003):
        yield f"half strong, half {weak:g} γ", torch.tensor([1e4, weak]).repeat_interleave(SIZE // 2)
    for low in (1e-1, 1e-2, 1e-3):
        yield f"log-uniform from {low:g} γ to 10⁴ γ", torch.logspace(math.log10(low), 4, SIZE)


def localizations(seeds: int) -> str:
    """Least squares whose every curvature is known: the share that γ takes, and what is said of it."""
    lines = ["| curvatures | share that γ takes | value | exact | said to take, mean |", "|---|---|---|---|---|"]
    right, count = 0, 0
    for name, curvatures in spectra():
        nbeta = NUM_SAMPLES / math.log(NUM_SAMPLES)
        basis = torch.linalg.qr(torch.randn(NUM_SAMPLES, SIZE, generator=torch.Generator().manual_seed(0)))[0]
        inputs = basis * (NUM_SAMPLES * curvatures / nbeta / 2).sqrt()  # the mean of (w·x)² has the Hessian 2 xᵀx/n
        model = nn.Linear(SIZE, 1, bias=False)
        data = inputs, model(inputs).detach()
        exact = float((curvatures / (curvatures + 1)).sum() / 2)
        share = 1 - exact / (SIZE / 2)
        found = [og.estimate_llc(model, data, og.losses.mse, seed=seed) for seed in range(seeds)]
        said = [estimate.withheld for estimate in found]
        right += sum(abs(each - share) < NEAR for each in said)
        count += seeds
        value = float(np.mean([estimate.value for estimate in found]))
        lines.append(f"| {name} | {share:.0%} | {value:.1f} | {exact:.1f} | {np.mean(said):.0%} |")
        typer.echo(lines[-1])
    return f"Right to {NEAR:.0%} of the value in {right} of {count}.\n\n" + "\n".join(lines)


def no_minima(seeds: int) -> str:
    """Networks as they are made, and a step away from a minimum that costs at least twice what the minimum's own
    coefficient is.
    """
    said, count = {"untrained": 0, "a step away": 0}, 0
    for name in NETWORKS:
        case = named(name)
        for seed in range(seeds):
            for kind in said:
                model, data, loss = case.build()
                _draw_anew(model, seed) if kind == "untrained" else _step_away(case, model, seed)
                said[kind] += og.estimate_llc(model, data, loss, seed=seed).outcome is og.Outcome.NOT_A_MINIMUM
            count += 1
            typer.echo(f"{name} {seed}: {said} of {count}")
    return "; ".join(f"{kind}: {number} of {count} said to be no minimum" for kind, number in said.items()) + "."


def _draw_anew(model: nn.Module, seed: int) -> None:
    source = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        scale = parameter.shape[-1] ** -0.5 if parameter.ndim > 1 else 0.1
        parameter.data = scale * torch.randn(parameter.shape, generator=source)


def _step_away(case: Case, model: nn.Module, seed: int) -> None:
    """In a random direction, doubled until nβ ΔL is twice the coefficient at the minimum."""
    source, length = torch.Generator().manual_seed(seed), 1e-3
    centers = [parameter.data.clone() for parameter in model.parameters()]
    directions = [torch.randn(center.shape, generator=source) for center in centers]
    lowest = _mean_loss(case, model)
    while case.nbeta * (_mean_loss(case, model) - lowest) < 2 * case.reference.value:
        length *= 2
        for parameter, center, direction in zip(model.parameters(), centers, directions, strict=True):
            parameter.data = center + length * direction


def _mean_loss(case: Case, model: nn.Module) -> float:
    _, data, loss = case.build()
    with torch.no_grad():
        return float(loss(model, data).mean())


def main(
    seeds: int = 2,
    only: Annotated[str, typer.Option(help="the part whose name begins so")] = "",
    write: Annotated[bool, typer.Option(help="write the section of RESULTS.md")] = False,
) -> None:
    """Provoke them and count."""
    torch.set_num_threads(1)
    parts = {
        "Bad settings": bad_settings,
        "Budgets that end early": small_budgets,
        "Localization": localizations,
        "Weights that are no minimum": no_minima,
    }
    found = {name: part(seeds) for name, part in parts.items() if name.startswith(only)}
    text = "Command: `python -m benchmarks.verdicts --write`.\n\n"
    text += "\n\n".join(f"{name}: {said}" for name, said in found.items()) + "\n"
    if write:
        write_section(TITLE, text)


if __name__ == "__main__":
    typer.run(main)
