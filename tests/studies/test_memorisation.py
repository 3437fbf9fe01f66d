"""The memorisation study at its smallest, and its claims on tables that are made to meet them and not to."""

from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from scipy.stats import kstest

import ontogeny as og
from ontogeny.core.errors import InvalidArgument
from ontogeny.execution import Serial
from ontogeny.studies import Evidence, Findings
from ontogeny.studies.memorisation import STUDY
from ontogeny.studies.memorisation.evidence import bump
from ontogeny.studies.memorisation.recipe import FinitePoints, cycled, network, repeated, typical, weighted_error
from ontogeny.studies.study import override

SMALL = {
    "features": 12,
    "density": 0.3,
    "sizes": (3, 4, 5, 6, 8, 20, 30),
    "copies": 1,
    "training.num_steps": 20,
    "training.batch_size": 8,
    "repeats": {"size": 20, "counts": (1, 4), "copies": 1},
    "test_samples": 50,
    "rows": 60,
    "sampler": {"num_chains": 2, "num_draws": 12, "num_warmup": 4},
}


def test_the_study_runs_to_its_report(tmp_path: Path) -> None:
    run = og.study("memorisation", "quick", tmp_path / "run", settings=SMALL, executor=Serial())
    assert run.failures == []
    page = run.report.read_text(encoding="utf-8")
    assert "could not be drawn" not in page
    panels = ("vectors", "double-descent", "dimensionality", "coefficients", "repeated")
    assert all(f'id="{panel}"' in page for panel in panels)


def test_cycled_rows_have_the_mean_of_the_points() -> None:
    data, model = torch.rand(7, 5, generator=torch.Generator().manual_seed(0)), network(2, 5)
    with torch.no_grad():
        mean = (data - model(data)).square().sum(dim=1).mean()
        for rows in (7, 24):
            torch.testing.assert_close(weighted_error(model, cycled(data, rows)).mean(), mean)
        torch.testing.assert_close(weighted_error(model, FinitePoints(data).sample(16, 3)).mean(), mean)
        drawn = torch.cat([FinitePoints(data).sample(4, seed)[0] for seed in range(2000)])
    assert float((drawn == data[0]).all(dim=1).double().mean()) == pytest.approx(1 / 7, abs=0.02)
    assert float((repeated(data, 4) == data[0]).all(dim=1).sum()) == 4


def test_the_typical_dimensionality_ignores_what_has_none() -> None:
    assert typical(torch.tensor([0.4] * 5 + [0.0] * 95)) == pytest.approx(0.4)
    assert typical(torch.zeros(3)) == 0.0


@pytest.mark.parametrize("sizes", [(0, 3, 4), (), (5, 4)])
def test_sizes_are_numbers_of_points(sizes: tuple[int, ...]) -> None:
    with pytest.raises(InvalidArgument, match="sizes"):
        override(STUDY.config("quick"), {"sizes": sizes})


@pytest.mark.parametrize("density", [0.0, 1.5, -0.1])
def test_densities_are_shares(density: float) -> None:
    with pytest.raises(InvalidArgument, match="density"):
        override(STUDY.config("quick"), {"density": density})


def test_more_hidden_units_than_features_are_refused() -> None:
    with pytest.raises(InvalidArgument, match="hidden"):
        override(STUDY.config("quick"), {"hidden": 200})


def made(rng: np.random.Generator, height: float) -> Findings:
    """Test losses of thirteen sizes and three copies around 1, with a bump of this height with weak decay alone."""
    sizes = STUDY.config("quick").sizes
    rise = height * np.exp(-0.5 * (np.arange(13) - 6.5)[:, None] ** 2)
    tables = {
        f"measures-{name}": xr.Dataset(
            {"test": (("size", "copy"), 1 + up + 0.02 * rng.standard_normal((13, 3)))}, {"size": list(sizes)}
        )
        for name, up in (("weak", rise), ("strong", 0 * rise))
    }
    return Findings(tables)


def test_a_bump_is_told_from_none() -> None:
    config = STUDY.config("quick").model_copy(update={"tested": ("bump", "decay")})
    found = STUDY.claims.test(made(np.random.default_rng(0), 1.0), config)
    for claim in ("bump", "decay"):
        each = found[claim]
        assert isinstance(each, Evidence), claim
        assert each.met
        assert each.null is not None
        assert each.null.p_value < 0.01
    assert bump(np.ones((13, 3)), 3) == 1
    p_values, rng = [], np.random.default_rng(1)
    for seed in range(40):
        flat = STUDY.claims.test(made(rng, 0.0), config.model_copy(update={"seed": seed, "tested": ("bump",)}))["bump"]
        assert isinstance(flat, Evidence)
        assert not flat.met
        assert flat.null is not None
        p_values.append(flat.null.p_value)
    assert kstest(p_values, "uniform").pvalue > 0.01
