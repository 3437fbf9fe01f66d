"""Every kernel, one row each: right on a Gaussian and on a quartic, wrong at a wrong temperature, and the same bits
however its chains are batched.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr

import ontogeny as og
from ontogeny.core.draws import settings_of
from ontogeny.sampling import HMC, MALA, MCLMC, SGHMC, SGLD, SGNHT, PreconditionedSGLD, RMSPropSGLD
from ontogeny.sampling.kernels import Kernel
from ontogeny.testing import Gaussian, NormalCrossing

NBETA, LOCALIZATION = 100.0, 5.0
CURVATURES = tuple(np.geomspace(0.2, 2.0, 24).tolist())
LARGEST = NBETA * max(CURVATURES) + LOCALIZATION


def low_rank() -> PreconditionedSGLD:
    """The four stiffest directions, shrunk to the curvature of the others."""
    curvature = NBETA * torch.tensor(CURVATURES) + LOCALIZATION
    directions = torch.eye(24)[:, -4:]
    factors = (curvature[:-4].max() / curvature[-4:]).sqrt()
    return PreconditionedSGLD(0.3 / float(curvature[:-4].max()), torch.ones(24), directions, factors)


@dataclasses.dataclass(frozen=True)
class Row:
    """A kernel at a step that suits the Gaussian above; `tolerance` allows for the bias that its docstring states."""

    make: Callable[[], Kernel]
    thinning: int
    tolerance: float = 0.0
    known_inflation: bool = True


ROWS: dict[str, Row] = {
    "SGLD": Row(lambda: SGLD(0.3 / LARGEST), 8),
    "frozen diagonal": Row(
        lambda: PreconditionedSGLD(0.3, (NBETA * torch.tensor(CURVATURES) + LOCALIZATION).reciprocal()), 4
    ),
    "frozen low rank": Row(low_rank, 8),
    "RMSPropSGLD": Row(lambda: RMSPropSGLD(0.3 / math.sqrt(LARGEST), decay=0.999, stability=1.0), 6, tolerance=0.03),
    "SGHMC": Row(lambda: SGHMC(0.7 / math.sqrt(LARGEST), 0.2), 6),
    "SGHMC, scaled": Row(lambda: SGHMC(0.7, 0.2, (NBETA * torch.tensor(CURVATURES) + LOCALIZATION).rsqrt()), 4),
    "SGNHT": Row(lambda: SGNHT(0.4 / math.sqrt(LARGEST), 0.2), 6, tolerance=0.01, known_inflation=False),
    "MALA": Row(lambda: MALA(0.4 / LARGEST), 8),
    "HMC": Row(lambda: HMC(0.5 / math.sqrt(LARGEST), 4), 1),
    "MCLMC": Row(
        lambda: MCLMC(0.25 * math.sqrt(24 / LARGEST), 2.0 * math.sqrt(24 / LARGEST)),
        8,
        tolerance=0.02,
        known_inflation=False,
    ),
}
QUICK = ("SGLD", "SGHMC, scaled")  # those on which everything else stands
EACH = pytest.mark.parametrize("row", ROWS.values(), ids=ROWS.keys())


def quick(*names: str) -> pytest.MarkDecorator:
    """Each kernel, these by default."""
    rows = [pytest.param(row, id=name, marks=() if name in names else pytest.mark.slow) for name, row in ROWS.items()]
    return pytest.mark.parametrize("row", rows)


def gaussian_draws(row: Row, heat: float = 1.0, **changes: Any) -> xr.DataTree:
    """Draws that say they were made at NBETA, from a kernel that runs at `heat` times that."""
    target = Gaussian(CURVATURES)
    posterior = og.LocalPosterior(target.model(), torch.zeros(4), target.loss, NBETA * heat, LOCALIZATION)
    settings: dict[str, Any] = {"num_chains": 96, "num_warmup": 40, "num_draws": 60, "thinning": row.thinning} | changes
    draws = og.sample(posterior, row.make(), **settings)
    draws.attrs["settings"] = dataclasses.replace(settings_of(draws), nbeta=NBETA).to_json()
    return draws


def error(draws: xr.DataTree, exact: float) -> tuple[float, float]:
    """Relative error of the estimate, and its relative Monte Carlo error."""
    estimate = og.llc(draws)
    assert estimate.diagnostics is not None
    return estimate.value / exact - 1, estimate.diagnostics.monte_carlo_error / exact


@quick(*QUICK, "frozen diagonal", "HMC")
def test_the_value_on_a_gaussian_is_exact_and_inflation_known_or_said_not_to_be(row: Row) -> None:
    draws = gaussian_draws(row)
    off, spread = error(draws, Gaussian(CURVATURES).llc(NBETA, LOCALIZATION))
    assert spread < 0.01
    assert abs(off) < 4 * spread + row.tolerance
    inflation = np.asarray(draws["sample_stats"]["inflation"])
    full_batch_knows = row.known_inflation and not isinstance(row.make(), SGHMC)
    assert np.isfinite(inflation).all() if full_batch_knows else np.isnan(inflation).all()


@quick("SGHMC, scaled")
def test_at_a_wrong_temperature_it_is_not(row: Row) -> None:
    off, spread = error(gaussian_draws(row, heat=1.25), Gaussian(CURVATURES).llc(NBETA, LOCALIZATION))
    assert abs(off) > 4 * spread + row.tolerance


@EACH
def test_chains_are_the_same_however_they_are_batched(row: Row) -> None:
    settings = {"num_warmup": 0, "num_draws": 6, "thinning": 1, "seed": 3}
    reference = gaussian_draws(row, num_chains=4, vectorized=True, **settings)
    for num_chains, vectorized in ((2, True), (4, False), (1, False)):
        other = gaussian_draws(row, num_chains=num_chains, vectorized=vectorized, **settings)
        for name in ("distance", "virial"):
            found, expected = (np.asarray(draws["sample_stats"][name])[:num_chains] for draws in (other, reference))
            np.testing.assert_allclose(found, expected, rtol=2e-4, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kernel", "thinning"),
    [(SGLD(2e-3), 20), (SGHMC(0.05, 0.1), 10), (MALA(4e-3), 10), (HMC(0.06, 8), 2)],
    ids=["SGLD", "SGHMC", "MALA", "HMC"],
)
def test_the_value_on_a_quartic_is_that_of_quadrature(kernel: Kernel, thinning: int) -> None:
    target = NormalCrossing((2,))
    posterior = og.LocalPosterior(target.model(), torch.zeros(4), target.loss, 100.0, 1.0)
    lengths = {"num_chains": 128, "num_warmup": 100, "num_draws": 200, "thinning": thinning}
    off, spread = error(og.sample(posterior, kernel, **lengths), target.llc(100.0, 1.0))
    assert spread < 0.02
    assert abs(off) < 4 * spread + 0.02


@pytest.mark.parametrize("kernel", [MALA(1e-3), HMC(1e-2)], ids=["MALA", "HMC"])
def test_a_kernel_with_a_test_refuses_minibatches(kernel: Kernel) -> None:
    target = Gaussian(CURVATURES)
    posterior = og.LocalPosterior(target.model(), torch.zeros(64), target.loss, batch_size=8)
    with pytest.raises(og.InvalidArgument, match="batch_size=64"):
        og.sample(posterior, kernel, num_draws=2, num_warmup=0)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: SGLD(0.0),
        lambda: SGHMC(1e-2, friction=math.inf),
        lambda: SGNHT(1e-2, inertia=-1.0),
        lambda: MALA(math.nan),
        lambda: MCLMC(1.0, 0.0),
        lambda: RMSPropSGLD(1e-3, decay=1.0),
        lambda: PreconditionedSGLD(0.1, torch.zeros(3)),
        lambda: PreconditionedSGLD(0.1, torch.ones(3), directions=torch.eye(3)[:, :1]),
        lambda: PreconditionedSGLD(0.1, torch.ones(3), torch.ones(3, 1), torch.ones(1)),
    ],
)
def test_settings_that_cannot_be_used_are_named(wrong: Callable[[], Kernel]) -> None:
    with pytest.raises(og.InvalidArgument):
        wrong()
