"""WBIC, functional variance and singular fluctuation of the mean of a Gaussian, where all have closed forms."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import xarray as xr

import ontogeny as og
from ontogeny.estimators.fluctuation import free_energy, functional_variance, singular_fluctuation, waic, wbic

Maker = Callable[..., xr.DataTree]
SIZE, NUM_SAMPLES = 3, 200
TEMPERED = NUM_SAMPLES / math.log(NUM_SAMPLES)
DATA = np.random.default_rng(7).normal(size=(NUM_SAMPLES, SIZE))
DATA -= DATA.mean(0)  # so that the center, the best fit, is 0


def losses(w: np.ndarray, data: np.ndarray) -> np.ndarray:
    """-log N(x; w, 1), of every draw and sample."""
    square = (w**2).sum(-1)[..., None] - 2 * w @ data.T + (data**2).sum(-1)
    return square / 2 + SIZE / 2 * math.log(2 * math.pi)


def regular(
    make_tree: Maker, nbeta: float, localization: float = 0.0, part: int = NUM_SAMPLES, draws: int = 4000, seed: int = 0
) -> xr.DataTree:
    """Independent draws of the posterior N(0, 1 / (nβ + γ)), with the losses of a random part of the samples."""
    random = np.random.default_rng(seed)
    w = random.normal(size=(4, draws, SIZE)) * (nbeta + localization) ** -0.5
    chosen = DATA[random.permutation(NUM_SAMPLES)[:part]]
    at_center = losses(np.zeros(SIZE), chosen)
    difference = losses(w, DATA).mean(-1) - losses(np.zeros(SIZE), DATA).mean()
    return make_tree(
        nbeta,
        difference,
        num_samples=NUM_SAMPLES,
        batch_size=NUM_SAMPLES,
        localization=localization,
        loss_at_center=float(losses(np.zeros(SIZE), DATA).mean()),
        observables={"samples": (losses(w, chosen), at_center)},
    )


def variance(nbeta: float, localization: float = 0.0) -> float:
    """Var_w[½|x - w|²] = d/(2c²) + |x|²/c with c = nβ + γ, averaged over the samples."""
    c = nbeta + localization
    return SIZE / (2 * c**2) + float((DATA**2).sum(-1).mean()) / c


@pytest.mark.parametrize(("nbeta", "localization"), [(float(NUM_SAMPLES), 0.0), (TEMPERED, 5.0)])
def test_functional_variance(make_tree: Maker, nbeta: float, localization: float) -> None:
    draws = regular(make_tree, nbeta, localization)
    found = functional_variance(draws, "samples")
    assert abs(found.value - variance(nbeta, localization)) < 4 * found.error
    assert found.error < 0.02 * found.value
    assert found.outcome is og.Outcome.CONVERGED
    fluctuation = singular_fluctuation(draws, "samples")
    assert fluctuation.value == nbeta / 2 * found.value
    assert fluctuation.error == nbeta / 2 * found.error


def test_a_regular_model_fluctuates_by_half_its_size(make_tree: Maker) -> None:
    """ν = d/2 at β = 1, up to the samples' own variance and 1/n."""
    found = singular_fluctuation(regular(make_tree, float(NUM_SAMPLES)), "samples")
    scale = float((DATA**2).sum(-1).mean()) / SIZE
    assert abs(found.value / scale - SIZE / 2) < 4 * found.error + 0.01
    assert str(found).startswith("ν 1.")


def test_draws_of_another_temperature_do_not_fluctuate_so(make_tree: Maker) -> None:
    found = functional_variance(regular(make_tree, 1.2 * NUM_SAMPLES), "samples")
    assert abs(found.value - variance(NUM_SAMPLES)) > 4 * found.error


def test_a_part_of_the_samples_has_the_error_of_the_part(make_tree: Maker) -> None:
    exact = variance(NUM_SAMPLES)
    found = [
        functional_variance(regular(make_tree, float(NUM_SAMPLES), part=20, draws=300, seed=seed), "samples")
        for seed in range(60)
    ]
    deviations = np.array([(item.value - exact) / item.error for item in found])
    assert abs(deviations.mean()) < 0.6
    assert 0.75 < deviations.std() < 1.5
    whole = functional_variance(regular(make_tree, float(NUM_SAMPLES), draws=300), "samples")
    assert whole.error < 0.3 * found[0].error


def test_wbic(make_tree: Maker) -> None:
    """It is n E[L] at nβ = n / log n, and with it the free energy of the same prior up to what γ takes of λ."""
    found = wbic(regular(make_tree, TEMPERED, localization=1.0))
    at_center = float(losses(np.zeros(SIZE), DATA).mean())
    exact = NUM_SAMPLES * (at_center + SIZE / (2 * (TEMPERED + 1)))
    assert abs(found.value - exact) < 4 * found.error
    assert found.error < 0.1
    evidence = NUM_SAMPLES * at_center + SIZE / 2 * math.log(NUM_SAMPLES + 1)
    assert abs(found.value - evidence) < 0.4
    assert abs(free_energy(at_center, SIZE / 2, NUM_SAMPLES) - evidence) < 0.01


def test_wbic_is_of_one_temperature(make_tree: Maker) -> None:
    with pytest.raises(og.InvalidArgument, match=r"nβ = n / log n = 37\.75.*nβ = 200"):
        wbic(regular(make_tree, float(NUM_SAMPLES)))


def test_free_energy() -> None:
    logarithm = math.log(1000)
    assert free_energy(2.0, 0.5, 1000) == 2000 + 0.5 * logarithm
    assert free_energy(2.0, 0.5, 1000, 3) == 2000 + 0.5 * logarithm - 2 * math.log(logarithm)
    for wrong in ({"num_samples": 2}, {"num_samples": 10, "multiplicity": 0}):
        with pytest.raises(og.InvalidArgument, match="n ≥ 3 and m ≥ 1"):
            free_energy(1.0, 0.5, **wrong)


def test_what_is_not_there_or_too_little(make_tree: Maker) -> None:
    with pytest.raises(og.InvalidArgument, match="the draws contain samples"):
        functional_variance(regular(make_tree, 10.0, draws=20), "other")
    with pytest.raises(og.InvalidArgument, match="the draws contain samples"):
        functional_variance(regular(make_tree, 10.0, draws=20), "loss_difference")
    found = functional_variance(regular(make_tree, 10.0, draws=3), "samples")
    assert found.outcome is og.Outcome.TOO_FEW_DRAWS
    assert "num_draws" in found.advice


@pytest.mark.parametrize("nbeta", [float(NUM_SAMPLES), TEMPERED])
def test_waic(make_tree: Maker, nbeta: float) -> None:
    """E_w[p(x|w)] = N(x; 0, 1 + 1/nβ), so that T and V are exact."""
    found = waic(regular(make_tree, nbeta), "samples")
    spread = 1 + 1 / nbeta
    training = SIZE / 2 * math.log(2 * math.pi * spread) + float((DATA**2).sum(-1).mean()) / (2 * spread)
    exact = training + nbeta / NUM_SAMPLES * variance(nbeta)
    assert abs(found.value - exact) < 4 * found.error
    assert found.error < 1e-3
    wrong = waic(regular(make_tree, 0.5 * nbeta), "samples")
    assert abs(wrong.value - exact) > 4 * found.error
