"""What errors of this room say to write instead."""

from typing import Any

import numpy as np
import torch
from tests.advice import Mistake, follow, mistakes
from tests.estimators.conftest import tree
from torch import nn

import ontogeny as og
from ontogeny.estimators import influence
from ontogeny.estimators.fluctuation import wbic
from ontogeny.estimators.quantity import at_center
from ontogeny.estimators.sensitivity import temperature_sensitivity
from ontogeny.estimators.temperature import temperature_ladder

x = torch.randn(40, 3, generator=torch.Generator().manual_seed(0))
data = x, (x[:, 0] > 0).long()
other = x + 1, (x[:, 0] > 0).long()


def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Linear(3, 2)


def draws(num_draws: int = 200, batch_size: int | None = None, seed: int = 0, **settings: Any) -> Any:
    observables = settings.pop("observables", None)
    posterior = og.LocalPosterior(model(), data, og.losses.cross_entropy, batch_size=batch_size, **settings)
    return og.sample(posterior, og.SGLD(1e-3), num_draws=num_draws, num_warmup=0, observables=observables, seed=seed)


def estimate(**settings: Any) -> og.Estimate:
    return og.llc(draws(20, **settings))


def noise(seed: int, batch_size: int = 8, **settings: Any) -> Any:
    losses = np.random.default_rng(seed).exponential(0.01, (4, 100))
    return tree(settings.pop("nbeta", 30.0), losses, seed=seed, batch_size=batch_size, num_samples=40, **settings)


def minibatches(**observables: Any) -> Any:
    """Draws whose losses are of one minibatch each, and maybe of all samples beside."""
    return draws(100, batch_size=8, observables=observables or None)


def unsloped() -> Any:
    """Draws as they were before slopes were recorded."""
    losses = np.random.default_rng(0).exponential(0.01, (4, 100))
    return tree(30.0, losses, observables={"other": (losses[..., None], np.zeros(1))})


def rungs(*pairs: tuple[float, int]) -> list[Any]:
    return [noise(seed, nbeta=nbeta) for nbeta, seed in pairs]


# fmt: off
MISTAKES = (
    ("estimators/coefficient.py:Estimate._check_comparable", "estimate(nbeta=10.0) - estimate(nbeta=20.0)", "other",
     "nbeta=..., localization=...) with the same values for both",
     "estimate(nbeta=10.0) - estimate(nbeta=10.0, seed=1)"),
    ("estimators/covariances.py:_segments", "influence(draws(4, observables={'base': data}), 'base')", "draws",
     "num_draws=200", "influence(draws(ADVICE, observables={'base': data}), 'base')"),
    ("estimators/cross_coefficients.py:_rise", "og.cross_llc(unsloped(), 'other')", "corrected", "corrected=False",
     "og.cross_llc(unsloped(), 'other', ADVICE)"),
    ("estimators/cross_coefficients.py:_rise", "og.cross_llc(unsloped(), 'other')", "corrected", "og.sample(...) again",
     "og.cross_llc(minibatches(other=other), 'other')"),
    ("estimators/fluctuation.py:wbic", "wbic(draws(nbeta=3.0))", "draws", "nbeta=None", "wbic(draws(ADVICE))"),
    ("estimators/quantity.py:at_center", "at_center(draws(4), 'other')", "observable", 'observables={"other": data}',
     "at_center(draws(4, ADVICE), 'other')"),
    ("estimators/responses.py:_base", "og.susceptibility(minibatches(other=other), 'other')", "base",
     'observables={"base": data, …}', "og.susceptibility(minibatches(base=data, other=other), 'other', base='base')"),
    ("estimators/sensitivity.py:temperature_sensitivity", "temperature_sensitivity(noise(0))", "draws",
     'observables={"data": data}', "temperature_sensitivity(minibatches(data=data), observable='data')"),
    ("estimators/sensitivity.py:temperature_sensitivity", "temperature_sensitivity(noise(0))", "draws",
     "batch_size=len(data)", "temperature_sensitivity(noise(0, batch_size=40))"),
    ("estimators/temperature.py:_check", "temperature_ladder(rungs((10.0, 0), (10.0, 1)))", "draws",
     "one rung per temperature", "temperature_ladder(rungs((10.0, 0), (20.0, 1)))"),
    ("estimators/temperature.py:_check", "temperature_ladder(rungs((10.0, 0), (20.0, 0)))", "draws",
     "seed=seed + rung", "temperature_ladder(rungs((10.0, 0), (20.0, 1)))"),
)
# fmt: on


@mistakes(*MISTAKES)
def test_advice(mistake: Mistake) -> None:
    follow(mistake, globals())
