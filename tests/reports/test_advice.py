"""What errors of this room say to write instead."""

import sys
import tomllib
from pathlib import Path
from typing import Any
from unittest.mock import patch

import plotly.graph_objects as go
import pytest
import torch
from tests.advice import Mistake, follow, mistakes
from torch import nn

import ontogeny as og
from ontogeny.reports import fig_calibration, to_matplotlib
from ontogeny.reports.paper import WIDTHS

data = torch.randn(12, 3, generator=torch.Generator().manual_seed(0)), torch.arange(12) % 2
model = nn.Linear(3, 2)


def without_matplotlib() -> Any:
    with patch.dict(sys.modules, {"matplotlib": None}):
        return to_matplotlib(go.Figure())


def extras() -> set[str]:
    text = (Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8")
    return set(tomllib.loads(text)["project"]["optional-dependencies"])


# fmt: off
MISTAKES = (
    ("reports/paper.py:to_matplotlib", "to_matplotlib(go.Figure(), width='nature')", "width", 'width="neurips"',
     "dict(ADVICE)['width'] in WIDTHS"),
    ("reports/paper.py:_styled", "without_matplotlib()", "figure", 'pip install "ontogeny[paper]"',
     "'ADVICE'.split('[')[1][:5] in extras()"),
    ("reports/sampler_figures.py:fig_calibration",
     "fig_calibration(og.sample(og.LocalPosterior(model, data, og.losses.cross_entropy), og.SGLD(1e-5), num_draws=4))",
     "draws", "og.estimate_llc(…).draws",
     "fig_calibration(og.estimate_llc(model, data, og.losses.cross_entropy, budget=20_000).draws)"),
)
# fmt: on


@mistakes(*MISTAKES)
def test_advice(mistake: Mistake) -> None:
    follow(mistake, globals())
