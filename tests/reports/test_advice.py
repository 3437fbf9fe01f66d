"""What errors of this room say to write instead."""

import pytest
import torch
from tests.advice import Mistake, follow, mistakes
from torch import nn

import ontogeny as og
from ontogeny.reports import fig_calibration

data = torch.randn(12, 3, generator=torch.Generator().manual_seed(0)), torch.arange(12) % 2
model = nn.Linear(3, 2)

# fmt: off
MISTAKES = (
    ("reports/sampler_figures.py:fig_calibration",
     "fig_calibration(og.sample(og.LocalPosterior(model, data, og.losses.cross_entropy), og.SGLD(1e-5), num_draws=4))",
     "draws", "og.estimate_llc(…).draws",
     "fig_calibration(og.estimate_llc(model, data, og.losses.cross_entropy, budget=20_000).draws)"),
)
# fmt: on


@mistakes(*MISTAKES)
def test_advice(mistake: Mistake) -> None:
    follow(mistake, globals())
