"""A user's trajectory becomes a page, whatever it holds."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from ontogeny.measurement import write_report


@pytest.fixture
def trajectory() -> xr.Dataset:
    rng = np.random.default_rng(0)
    steps = np.unique(np.geomspace(1, 1000, 20).round()).astype(int)
    shape = (len(steps), 1, 1)
    return xr.Dataset(
        {
            "loss": (("step", "dataset"), 1 / np.log(steps + 2)[:, None]),
            "llc": (("step", "component", "dataset"), np.log(steps + 1).reshape(shape) + rng.normal(0, 0.05, shape)),
            "llc_mcse": (("step", "component", "dataset"), np.full(shape, 0.05)),
            "llc_outcome": (("step", "component", "dataset"), np.full(shape, "converged")),
            "outputs": (("step", "output"), rng.normal(size=(len(steps), 5)).cumsum(0)),
        },
        {"step": steps, "component": ["all"], "dataset": ["data"]},
    )


@pytest.mark.parametrize("without", [[], ["llc", "llc_mcse", "llc_outcome"], ["outputs"], ["loss"]])
def test_a_report_shows_what_there_is(without: list[str], trajectory: xr.Dataset, tmp_path: Path) -> None:
    before = trajectory.copy(deep=True)
    path = write_report(
        trajectory.drop_vars(without), tmp_path / "new" / "report.html", title="My <run>", command="python mine.py"
    )
    assert path == tmp_path / "new" / "report.html"
    page = path.read_text(encoding="utf-8")
    assert "My &lt;run&gt;" in page
    assert "python mine.py" in page
    assert "torch" in page
    xr.testing.assert_identical(trajectory, before)
