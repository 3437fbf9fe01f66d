"""Large networks: an estimate with its verdict, and what a draw costs as parameters and chains grow.

`python -m benchmarks.scaling estimate --width 500` and `python -m benchmarks.scaling cost`.
"""

import json
import math
import resource
import time
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go
import torch
import typer
from torch import nn

import ontogeny as og
from ontogeny.testing.linear_networks import DeepLinear

NUM_SAMPLES = 10**6
STEPS = 3
app = typer.Typer(add_completion=False)


def expected(target: DeepLinear, nbeta: float, localization: float) -> float:
    """Σ ½ nβh/(nβh + γ) over the Hessian of |W₂W₁ - T|² at w*: h = 2 (a + b), a and b of W₂W₂ᵀ and W₁ᵀW₁."""
    first, second = (weight.double() for weight in target.weights)
    a, b = torch.linalg.eigvalsh(second @ second.T), torch.linalg.eigvalsh(first.T @ first)
    curvature = 2 * nbeta * (a[:, None] + b[None, :]).clamp(min=0)
    return float((0.5 * curvature / (curvature + localization)).sum())


@app.command()
def estimate(width: int = 500, budget: int | None = None, chains: int = 4, seed: int = 0) -> None:
    """Width-2 width-width, 4 width² parameters, population loss, nβ = n/log n for n = 10⁶, γ = 1."""
    target = DeepLinear((width, 2 * width, width), None, NUM_SAMPLES, population=True)
    begun = time.perf_counter()
    posterior = og.LocalPosterior(target.model(), target.data(), target.loss)
    calibration = og.calibrate(posterior, seed, num_chains=chains, budget=budget)
    found = og.llc(og.sampling.sample_until(posterior, calibration, budget=budget, seed=seed))
    seconds = time.perf_counter() - begun
    truth = float(target.learning_coefficient)
    typer.echo(f"{found}")
    spectrum = expected(target, posterior.nbeta, 1.0)
    typer.echo(
        f"{4 * width**2:,} parameters: λ {truth:.0f}, of the spectrum at w* {spectrum:.0f},"
        f" found {found.value:.0f} ({100 * (found.value / truth - 1):+.1f} %) in {seconds / 60:.1f} min, peak"
        f" memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB; {found.advice or 'no advice'}"
    )


@app.command()
def cost(out: Path = Path("runs/scaling.json"), picture: Path = Path("runs/scaling.html")) -> None:
    """Seconds a draw, for linear networks of 10⁴ to 10⁷ parameters at batch 64, with 1 to 8 chains."""
    rows: list[dict[str, Any]] = []
    data = {width: torch.randn(256, width) for width in (50, 158, 500, 1581)}
    for width, inputs in data.items():
        model = nn.Sequential(nn.Linear(width, 2 * width, bias=False), nn.Linear(2 * width, width, bias=False))
        posterior = og.LocalPosterior(model, (inputs, inputs), og.losses.mse, nbeta=30.0, batch_size=64)
        posterior.center_losses(torch.arange(256))
        for chains in (1, 2, 4, 8):
            times = []
            for _ in range(5):
                begun = time.perf_counter()
                og.sample(posterior, og.SGLD(1e-9), num_chains=chains, num_draws=STEPS, num_warmup=0, vectorized=False)
                times.append((time.perf_counter() - begun) / STEPS)
            rows.append({"parameters": 4 * width**2, "chains": chains, "seconds": float(np.median(times))})
            typer.echo(json.dumps(rows[-1]))
    slope = _slope(rows)
    typer.echo(f"log-log slope in parameters from 10⁵ on {slope['parameters']:.2f}, in chains {slope['chains']:.2f}")
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps({"rows": rows, "slope": slope}, indent=1), encoding="utf-8")
    _figure(rows).write_html(picture, config={"displayModeBar": False})


def _slope(rows: list[dict[str, Any]]) -> dict[str, float]:
    large = [row for row in rows if row["parameters"] > 9e4]
    columns = np.array([[math.log(row["parameters"]), math.log(row["chains"]), 1.0] for row in large])
    found, *_ = np.linalg.lstsq(columns, np.log([row["seconds"] for row in large]), rcond=None)
    return {"parameters": float(found[0]), "chains": float(found[1])}


def _figure(rows: list[dict[str, Any]]) -> go.Figure:
    figure = go.Figure()
    for chains in sorted({row["chains"] for row in rows}):
        mine = [row for row in rows if row["chains"] == chains]
        x, y = [row["parameters"] for row in mine], [row["seconds"] for row in mine]
        figure.add_scatter(x=x, y=y, mode="lines+markers", name=f"{chains} chain{'s' if chains > 1 else ''}")
    largest = [row for row in rows if row["chains"] == 1][-1]
    x = np.array([1e4, 1e7])
    line = largest["seconds"] * x / largest["parameters"]
    figure.add_scatter(
        x=x, y=line, mode="lines", name="proportional to parameters", line={"dash": "dot", "color": "grey"}
    )
    figure.update_xaxes(type="log", title="parameters")
    figure.update_yaxes(type="log", title="seconds a draw, all chains")
    figure.update_layout(template="simple_white", width=720, height=400, margin={"t": 20})
    return figure


if __name__ == "__main__":
    app()
