import math
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from torch import nn

import ontogeny as og
from ontogeny.execution import Serial
from ontogeny.measurement import choice, choice_of, quantities
from ontogeny.measurement import search as rules
from ontogeny.sampling import PosteriorConfig

CURVATURES = np.geomspace(0.01, 30.0, 40)  # of the loss in nats
SLOPES = np.full(40, 0.3)
ERRORS = np.array([0.0, 0.0])  # of a trial at nβ 1, of the two pilots; they go with nβ as batches do


def trial(nbeta: float, localization: float) -> xr.Dataset:
    """Complexity and descent of a quadratic loss at two pilots, the second of which is a minimum."""
    held = nbeta * CURVATURES + localization
    complexity = float((nbeta * CURVATURES / held).sum() / 2)
    descent = float(nbeta**2 * (SLOPES**2 * (held + localization) / held**2).sum() / 2)
    columns = {"complexity": [complexity, complexity], "descent": [descent, 0.0], "error": ERRORS * nbeta}
    return xr.Dataset({name: ("step", column) for name, column in columns.items()})


def search(gain: float = 4.0, **given: float) -> "rules.Search":
    found = rules.Search(PosteriorConfig.model_validate(given), gain, num_samples=10_000)
    while (setting := found.next()) is not None:
        found.add(*setting, trial(*setting))
    return found


def test_rise_and_descent_are_what_the_rules_ask_for() -> None:
    nbeta, localization = search().chosen()
    found = trial(nbeta, localization)
    complexity, descent = (float(found[name].max()) for name in ("complexity", "descent"))
    assert complexity / nbeta == pytest.approx(rules.RISE * 4.0, rel=0.5)  # to rounding
    assert rules.DESCENT / 3 < descent / nbeta / (rules.RISE * 4.0) < rules.DESCENT * 2


def test_a_steeper_pilot_asks_for_a_smaller_ratio(monkeypatch: pytest.MonkeyPatch) -> None:
    nbeta, localization = search().chosen()
    monkeypatch.setattr(f"{__name__}.SLOPES", SLOPES * 5)
    steeper, held = search().chosen()
    assert steeper / held < nbeta / localization


def test_a_budget_that_does_not_suffice_asks_for_a_smaller_ratio_and_temperature(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    nbeta, localization = search().chosen()
    error = rules.AFFORDED * float(trial(nbeta, localization)["complexity"].max()) / nbeta
    monkeypatch.setattr(f"{__name__}.ERRORS", np.array([10.0, 0.1]) * error)  # one pilot may have any error
    assert search().chosen() == (nbeta, localization)
    monkeypatch.setattr(f"{__name__}.ERRORS", np.array([10.0, 3.0]) * error)
    lower, held = search().chosen()
    assert lower / held < nbeta / localization
    assert lower < nbeta
    found = trial(lower, held)
    largest = float(found["complexity"].max())
    assert float(found["error"].min()) < 1.5 * rules.AFFORDED * max(largest, 1.0)  # to rounding
    assert largest / lower == pytest.approx(rules.RISE * 4.0, rel=0.5)


def test_values_of_the_caller_are_kept() -> None:
    assert search(nbeta=77.0, localization=3.0).chosen() == (77.0, 3.0)
    assert search(nbeta=77.0).chosen()[0] == 77.0
    assert search(localization=3.0).chosen()[1] == 3.0


def test_a_run_that_gains_nothing_gets_the_default_temperature() -> None:
    assert search(gain=0.0).chosen() == (10_000 / math.log(10_000), 1.0)


@pytest.mark.parametrize(("value", "nearest"), [(1.2, 1.0), (1.3, 1.5), (33.0, 30.0), (900.0, 1000.0), (0.055, 0.05)])
def test_rounded_to_few_figures(value: float, nearest: float) -> None:
    assert rules.rounded(value) == nearest


def test_pilots_are_spread_over_the_run() -> None:
    assert choice.pilot_steps([0, 1, 2, 5, 10, 20, 50]) == [0, 2, 10, 50]
    assert choice.pilot_steps([7]) == [7]


class Line(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.line = nn.Linear(6, 1, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.line(x)


@pytest.mark.slow
def test_a_choice_is_kept_for_a_run_that_grows(tmp_path: Path) -> None:
    x = torch.randn(400, 6, generator=torch.Generator().manual_seed(0))
    truth = torch.ones(1, 6)
    data = (x, x @ truth.T)
    weights = {step: {"line.weight": truth * share} for step, share in ((0, 0.0), (10, 0.7), (20, 0.9), (30, 1.0))}
    sampler = og.Calibrated(error=0.1, budget=6_000)

    def measured(run: dict[int, dict[str, torch.Tensor]]) -> xr.Dataset:
        checkpoints = og.open_checkpoints(run)
        return og.measure(checkpoints, Line, data, og.losses.mse, store=tmp_path, executor=Serial(), sampler=sampler)

    first = measured(weights)
    second = measured(weights | {1000: {"line.weight": truth * 1.3}})
    before, after = choice_of(first), choice_of(second)
    assert before is not None
    assert after is not None
    assert before.attrs == after.attrs
    for name in ("llc", "llc_complexity", "llc_outcome"):
        assert second[name].sel(step=[0, 10, 20, 30]).equals(first[name])


def test_what_chains_go_below_the_tangent_counts_as_descent() -> None:
    found = rules.Search(PosteriorConfig(), 4.0, num_samples=10_000)
    for complexity in (3.0, -3.0):
        found.add(10.0, 100.0, xr.Dataset({"complexity": ("step", [complexity, 5.0]), "descent": ("step", [0.5, 0.0])}))
    assert found._descent(0) == pytest.approx(0.05)
    assert found._descent(1) == pytest.approx(0.35)


def test_parts_are_resolved_by_their_share_of_the_weights() -> None:
    asked = quantities.LLC({}, og.losses.mse, largest=20.0, sampler=og.Calibrated())
    assert asked._resolved(1.0) == og.Calibrated(resolution=5.0)
    assert asked._resolved(0.04) == og.Calibrated(resolution=1.0)
    assert asked._resolved(0.0004) == og.Calibrated(resolution=quantities.LEAST)
    own = og.Calibrated(resolution=0.3)
    assert quantities.LLC({}, og.losses.mse, largest=20.0, sampler=own)._resolved(1.0) == own
