"""Temperature ladders of normal crossings, sampled: `python -m benchmarks.ladder`; the limit against λ and m.

Thousands of independent copies of a crossing are one vector, whose loss is the sum: a step of all of them costs little
more than that of one, and draws divided by their number are draws of one crossing with so much less noise.
"""

import math
import time
from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np
import torch
import typer
import xarray as xr
from torch import Tensor

import ontogeny as og
from benchmarks.__main__ import write_section
from ontogeny.core.draws import settings_of
from ontogeny.estimators import temperature_ladder
from ontogeny.testing import NormalCrossing, Point

TITLE = "Temperature ladders, sampled"
COPIES, CHAINS, DRAWS = 2000, 4, 120
LADDERS = {(1,): (1e1, 1e4), (1, 1): (1e1, 1e4), (1, 1, 1): (1e1, 1e5)}
RUNGS = 10
REACH, WIDEST = 0.4, 2.0  # step in units of the fastest oscillation, which it is where other weights are `WIDEST` / √γ
RELAXATIONS = 0.35  # of the localization, from one draw to the next


@dataclass(frozen=True)
class Copies:
    """Independent copies of w₁^2k₁ w₂^2k₂ … in one vector."""

    exponents: tuple[int, ...]

    def loss(self, model: Point, batch: Tensor) -> Tensor:
        columns = model.w.view(COPIES, len(self.exponents)).unbind(dim=1)
        product = torch.ones(())
        for column, k in zip(columns, self.exponents, strict=True):
            product = product * column ** (2 * k)
        return product.sum().expand(batch.shape[0])

    def draws(self, nbeta: float, seed: int) -> xr.DataTree:
        """Draws of one crossing, averaged over copies."""
        size = len(self.exponents)
        fastest = 2 * nbeta * WIDEST ** (2 * (size - 1)) + 1
        step = REACH / math.sqrt(fastest)
        found = og.sample(
            og.LocalPosterior(Point(COPIES * size), torch.zeros(4), self.loss, nbeta, 1.0),
            og.SGHMC(step, friction=2 * step),
            num_chains=CHAINS,
            num_draws=DRAWS,
            num_warmup=DRAWS // 4,
            thinning=math.ceil(RELAXATIONS / step),
            seed=seed,
        )
        return _of_one(found)


def _of_one(draws: xr.DataTree) -> xr.DataTree:
    settings = settings_of(draws)
    found = draws.copy()
    for group in ("posterior", "warmup_posterior"):
        found[f"{group}/loss_difference"] = draws[f"{group}/loss_difference"] / COPIES
    for name in ("inflation", "distance"):
        share = COPIES if name == "inflation" else math.sqrt(COPIES)
        found[f"sample_stats/{name}"] = draws[f"sample_stats/{name}"] / share
    found.attrs["settings"] = replace(settings, num_parameters=settings.num_parameters // COPIES).to_json()
    return found


def row(exponents: tuple[int, ...], seed: int) -> str:
    """One ladder: what it finds, what is true, and what its coldest rung says alone."""
    low, high = LADDERS[exponents]
    begun, rungs = time.perf_counter(), np.geomspace(low, high, RUNGS)
    draws = [Copies(exponents).draws(float(nbeta), 100 * seed + rung) for rung, nbeta in enumerate(rungs)]
    ladder = temperature_ladder(draws, min_overlap=0)  # of averages the overlap is not that of one crossing
    truth, found = NormalCrossing(exponents), ladder.learning_coefficient
    errors = ladder.curve["mcse"].values / ladder.curve["value"].values
    cells = [
        " ".join(f"w{i}^{2 * k}" for i, k in enumerate(exponents, start=1)),
        str(seed),
        f"{truth.learning_coefficient:.3f}, {truth.multiplicity}",
        f"{found.value:.3f} ± {1.96 * found.error:.3f}, {ladder.multiplicity or 'open'}",
        f"{100 * (found.value / truth.learning_coefficient - 1):+.1f} %",
        found.outcome.value,
        f"{float(ladder.curve['value'][-1]):.3f}",
        f"{100 * errors.min():.1f}–{100 * errors.max():.1f} %",
        f"{(time.perf_counter() - begun) / 60:.1f}",
    ]
    return "| " + " | ".join(cells) + " |"


def main(
    seeds: int = 2,
    only: Annotated[int, typer.Option(help="crossings of so many factors alone")] = 0,
    write: Annotated[bool, typer.Option(help="write the section of RESULTS.md")] = False,
) -> None:
    """Sample the ladders."""
    torch.set_num_threads(1)
    head = ["loss", "seed", "λ, m", "found", "error", "outcome", "coldest rung", "errors of rungs", "minutes"]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for exponents in LADDERS:
        for seed in range(seeds):
            if only in (0, len(exponents)):
                lines.append(row(exponents, seed))
                typer.echo(lines[-1])
    said = (
        f"Command: `python -m benchmarks.ladder --write`. γ = 1, {RUNGS} temperatures from nβ = 10 to 10⁴, three "
        f"factors to 10⁵, `SGHMC`, {CHAINS} chains of {COPIES:,} copies, {DRAWS} draws. The coldest rung alone is low "
        "by (m - 1)/log nβ and more.\n\n"
    )
    if write:
        write_section(TITLE, said + "\n".join(lines))


if __name__ == "__main__":
    typer.run(main)
