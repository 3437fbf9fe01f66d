"""What notebooks show in place of text, and figures that can be edited."""

import html
from pathlib import Path

import plotly.graph_objects as go
import pytest
import torch
from tests.made_up_run import make_choice, make_pca, make_stages, make_trajectory
from torch import nn

import ontogeny as og
from ontogeny import reports
from ontogeny.core.notebook import table


def test_tables_escape_what_they_show() -> None:
    shown = table(("a<b",), [("<script>",)], "c&d")
    assert "<script>" not in shown
    assert "a&lt;b" in shown
    assert "c&amp;d" in shown


def test_an_estimate_is_shown_with_its_verdict() -> None:
    model, data = nn.Linear(2, 1, bias=False), (torch.eye(2).repeat(20, 1), torch.zeros(40, 1))
    nn.init.zeros_(model.weight)
    sampler = og.Fixed(num_chains=2, num_draws=20, num_warmup=5)
    estimate = og.estimate_llc(model, data, og.losses.mse, sampler=sampler)
    shown = estimate._repr_html_()
    assert f"{estimate.value:.4g}" in shown
    assert estimate.outcome.value.replace("_", " ") in shown
    assert "2 free weights" in shown
    difference = (estimate - estimate)._repr_html_()
    assert "free weights" not in difference
    assert estimate.draws is not None
    assert "loss_difference" in estimate.draws._repr_html_()


def test_components_claims_and_pages_are_shown() -> None:
    parts = og.components(nn.Sequential(nn.Linear(3, 2)))
    assert "<td>0.weight</td><td>6</td>" in parts._repr_html_()
    claim = {"title": "It falls", "status": "held", "measured": 2.0, "unit": "nats", "note": "1 of 1"}
    assert "2 nats" in og.Run(Path("run"), Path("run/report.html"), [claim], ["seed 0: x"])._repr_html_()
    shown = reports.Page("A & B", facts={"n": "3"})._repr_html_()
    assert shown.startswith("<iframe")
    assert "A &amp; B" in html.unescape(shown)


@pytest.mark.parametrize("name", ["loss_and_llc", "choice", "traces", "slope", "trajectory_pca", "refined_llc"])
def test_figures_are_plotly_figures_that_can_be_edited(name: str) -> None:
    trajectory = make_trajectory()
    given = {"choice": make_choice(), "slope": make_stages(), "trajectory_pca": make_pca()}.get(name, trajectory)
    draw = getattr(reports, f"fig_{name}")
    figure = draw(given, trajectory["step"].values[-1]) if name == "traces" else draw(given)
    assert isinstance(figure, go.Figure)
    figure.update_layout(title="Mine").add_hline(y=1)
    assert go.Figure(figure.to_dict()).layout.title.text == "Mine"
