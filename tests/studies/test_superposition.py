"""The superposition study at its smallest, and its parts where the answer is known."""

from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from scipy.stats import kstest

import ontogeny as og
from ontogeny.circuits import feature_dimensionality
from ontogeny.core.errors import InvalidArgument
from ontogeny.execution import Serial
from ontogeny.studies.evidence import Evidence
from ontogeny.studies.findings import Findings
from ontogeny.studies.study import override
from ontogeny.studies.superposition import STUDY, evidence, pairs
from ontogeny.studies.superposition.recipe import SparseFeatures, network, weighted_error
from ontogeny.studies.superposition.theory import GEOMETRIES, KINDS, exact_losses, kind_of, population_loss
from ontogeny.testing.superposition import Autoencoder

SMALL = {
    "sweep.features": 8,
    "sweep.hidden": 3,
    "sweep.count": 3,
    "sweep.training.num_steps": 20,
    "sweep.training.checkpoints_log": 3,
    "diagram.side": 2,
    "diagram.tries": 1,
    "diagram.training.num_steps": 20,
    "three.side": 2,
    "three.tries": 1,
    "three.training.num_steps": 20,
    "pairs.copies": 2,
    "pairs.tries": 1,
    "pairs.training.num_steps": 20,
    "num_samples": 200,
    "posterior": {"nbeta": 10.0, "localization": 10.0},
    "sampler": '{kernel = {name = "SGLD", step_size = 1e-4}, num_chains = 2, num_draws = 8, num_warmup = 2}',
}


def test_the_study_runs_to_its_report(tmp_path: Path) -> None:
    run = og.study("superposition", "quick", tmp_path / "run", settings=SMALL, executor=Serial())
    assert run.failures == []
    assert {claim["status"] for claim in run.claims} <= {"held", "not held", "not tested"}
    page = run.report.read_text(encoding="utf-8")
    assert all(f'id="{panel}"' in page for panel in ("geometry", "diagram", "pairs", "along", "loss-llc"))


def test_inputs_are_sparse_and_losses_weighted() -> None:
    x, importance = SparseFeatures(0.3, (1.0, 4.0)).sample(40_000, 0)
    assert (x > 0).double().mean() == pytest.approx(0.3, abs=0.01)
    assert x[x > 0].mean() == pytest.approx(0.5, abs=0.01)
    nothing = Autoencoder(torch.zeros(1, 2), torch.zeros(2))
    with torch.no_grad():
        lost = weighted_error(nothing, (x, importance)).mean()
    assert float(lost) == pytest.approx(5 * 0.3 / 3, rel=0.02)  # E x² of U[0, 1] is a third


def test_exact_losses_are_means_over_inputs() -> None:
    x, importance = SparseFeatures(0.4, (1.0, 2.0)).sample(400_000, 1)
    values = np.array([0.9, -0.7, 0.05, -0.1])
    numbers = torch.from_numpy(values).float()
    model = Autoencoder(numbers[None, :2], numbers[2:])
    with torch.no_grad():
        sampled = float(weighted_error(model, (x, importance)).mean())
    assert population_loss(values, 0.4, 2.0) == pytest.approx(sampled, rel=0.01)


def test_the_best_solution_is_that_of_its_corner() -> None:
    """Sparse features are both kept; of dense ones the more important alone."""
    for features in (2, 3):
        assert np.argmin(exact_losses(features, 0.02, 0.5)) == 2  # of three equal ones any may have its own dimension
        assert np.argmin(exact_losses(features, 1.0, 0.1)) == 0
        assert np.argmin(exact_losses(features, 1.0, 10.0)) == 1
    first, second, _ = exact_losses(2, 0.3, 1.0)
    assert first == pytest.approx(second, rel=1e-4)
    pairs = [np.array([each]) for each in ([1, 0.01], [0.01, -1], [0.9, -0.8])]
    assert [kind_of(each) for each in pairs] == list(range(len(KINDS)))
    planes = [[1, 0, 0.1], [0, 1, 0.1]], [[1, -1, 0], [0, 0, 1]], [[1, 0, 0], [0, 1, -1]], [[1, 0, 0], [0, 0.1, 1]]
    assert [kind_of(np.array(each)) for each in planes] == [0, 1, 2, 1]


def test_three_features_in_superposition_lose_what_networks_that_are_trained_lose() -> None:
    """The least over kinds is the population loss of the best of many networks at that cell."""
    density, importance = 0.3, 0.5
    inputs = SparseFeatures(density, (1.0, 1.0, importance))
    torch.manual_seed(0)
    networks = [network(2, 3) for _ in range(8)]
    stacked = [torch.stack([getattr(each, name).detach() for each in networks]).requires_grad_() for name in "Wb"]
    optimizer = torch.optim.Adam(stacked, 1e-2)
    x = inputs.sample(20_000, 0)[0]

    scale = torch.tensor(inputs.importance)

    def losses() -> torch.Tensor:
        outputs = torch.relu(x @ stacked[0].mT @ stacked[0] + stacked[1][:, None])
        return ((x - outputs).square() @ scale).mean(-1)

    for _ in range(300):
        optimizer.zero_grad()
        losses().sum().backward()
        optimizer.step()
    assert losses().min().item() == pytest.approx(min(exact_losses(3, density, importance)), rel=0.03)


@pytest.mark.parametrize("name", ["sweep.densities", "diagram.densities"])
def test_densities_outside_0_to_1_are_refused(name: str) -> None:
    for ends in ((0.0, 0.5), (0.2, 1.2), (-0.1, 0.5)):
        with pytest.raises(InvalidArgument, match="densities"):
            override(STUDY.config("quick"), {name: ends})


def corners(name: str) -> np.ndarray:
    """Unit vectors of one regular geometry, as columns."""
    if name == "tetrahedron":
        return np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]).T / 3**0.5
    if name == "square antiprism":
        high = 1 / 3**0.5  # at which W Wᵀ is a multiple of the identity
        turned = [(at * np.pi / 2 + turn, sign) for sign, turn in ((1, 0.0), (-1, np.pi / 4)) for at in range(4)]
        flat = (1 - high**2) ** 0.5
        return np.array([[flat * np.cos(angle), flat * np.sin(angle), sign * high] for angle, sign in turned]).T
    number = {"triangle": 3, "pentagon": 5, "opposite pair": 2}[name]
    angles = 2 * np.pi * np.arange(number) / number
    return np.array([np.cos(angles), np.sin(angles)])


@pytest.mark.parametrize("name", GEOMETRIES)
def test_constructed_geometries_have_their_dimensionality(name: str) -> None:
    found = feature_dimensionality(torch.from_numpy(corners(name)))
    np.testing.assert_allclose(found.numpy(), GEOMETRIES[name], atol=1e-6)


def geometry(rng: np.random.Generator, planted: bool) -> Findings:
    """Twelve networks of 24 features in 12 dimensions, in tetrahedra or in random directions."""
    directions = rng.standard_normal((6, 12, 16))
    if planted:
        directions[:] = np.kron(np.eye(4), corners("tetrahedron"))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    found = feature_dimensionality(torch.from_numpy(directions)).numpy()
    table = xr.Dataset(
        {
            "dimensionality": (("density", "feature"), found),
            "length": (("density", "feature"), np.ones(found.shape)),
            "W": (("density", "hidden", "feature"), directions),
        },
        {"density": np.geomspace(0.1, 0.8, 6)},
    )
    return Findings({"geometry": table})


def test_planted_geometries_are_told_from_random_directions() -> None:
    config = STUDY.config("quick").model_copy(update={"tested": ("geometries",), "reached": 1})
    planted = STUDY.claims.test(geometry(np.random.default_rng(0), True), config)["geometries"]
    assert isinstance(planted, Evidence)
    assert planted.met
    assert planted.effect == 1
    assert planted.null is not None
    assert planted.null.p_value < 0.01
    p_values, rng = [], np.random.default_rng(1)
    for seed in range(40):
        found = STUDY.claims.test(geometry(rng, False), config.model_copy(update={"seed": seed}))["geometries"]
        assert isinstance(found, Evidence)
        assert found.null is not None
        p_values.append(found.null.p_value)
    assert kstest(np.array(p_values) + rng.uniform(-0.0025, 0.0025, 40), "uniform").pvalue > 0.01


@pytest.mark.parametrize(("kind", "both"), [("together", 0.2), ("exclusive", 0.0), ("independent", 0.04)])
def test_pairs_are_on_together_or_exclude_each_other_at_one_density(kind: str, both: float) -> None:
    x = pairs.PairedFeatures(kind, 2, 0.2).sample(40_000, 0)[0] > 0
    np.testing.assert_allclose(x.double().mean(0), 0.2, atol=0.01)
    assert float((x[:, 0] & x[:, 1]).double().mean()) == pytest.approx(both, abs=0.005)
    assert float((x[:, 1] & x[:, 2]).double().mean()) == pytest.approx(0.04, abs=0.005)


def angles_at_random(rng: np.random.Generator) -> Findings:
    """Columns of three kinds of networks in random directions of the plane."""
    columns = rng.standard_normal((3, 4, 2, 4))
    columns /= np.linalg.norm(columns, axis=2, keepdims=True)
    cosine = np.einsum("knhf,knhg->knfg", columns, columns)
    dims = ("kind", "network", "feature", "other")
    return Findings({"angles": xr.Dataset({"cosine": (dims, cosine)}, {"kind": list(pairs.KINDS)})})


def test_the_null_of_pairs_is_no_smaller_than_uniform(monkeypatch: pytest.MonkeyPatch) -> None:
    """The share of few pairs has many equal values, so that p-values are larger than uniform ones."""
    monkeypatch.setattr(evidence, "_DRAWS", 49)
    rng, config, found = np.random.default_rng(0), STUDY.config("quick"), []
    for _ in range(60):
        one = STUDY.claims.test(angles_at_random(rng), config)["pairs"]
        assert isinstance(one, Evidence), one
        assert one.null is not None
        found.append(one.null.p_value)
    assert kstest(found, "uniform", alternative="greater").pvalue > 0.01
    assert min(found) < 0.5
