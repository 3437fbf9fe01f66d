"""The parity study at its smallest, its tasks, and its claims on made-up networks."""

from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from scipy.stats import kstest

import ontogeny as og
from ontogeny.development import curves
from ontogeny.execution import Serial
from ontogeny.studies import Evidence, Findings
from ontogeny.studies.parity import STUDY
from ontogeny.studies.parity.recipe import OnTasks
from ontogeny.studies.parity.tasks import Parities

FEW = {"num_chains": 2, "num_draws": 12, "num_warmup": 4}
SMALL = {
    "tasks": {"count": 3, "bits": 4, "subset": 2},
    "sweep": {"exponents": (0.5, 1.0), "copies": 1, "num_steps": 20},
    "answers": {"checkpoints": 2, "samples": 8, "sampler": FEW},
    "hidden": 4,
    "networks": 2,
    "samples": 32,
    "measured": 2,
    "first_measured": 5,
    "sampler": FEW,
    "training.num_steps": 40,
    "training.batch_size": 16,
}


def test_the_study_runs_to_its_report(tmp_path: Path) -> None:
    run = og.study("parity", "quick", tmp_path / "run", settings=SMALL, executor=Serial())
    assert run.failures == []
    page = run.report.read_text(encoding="utf-8")
    for panel in ("parity", "answers", "sweep"):
        assert f'id="{panel}"' in page
    assert "could not be drawn" not in page


def test_labels_are_parities_of_the_task_s_bits_and_of_no_others() -> None:
    tasks = Parities(count=6, bits=5, subset=2, exponent=1.0, seed=3)
    x, labels = tasks.sample(4000, seed=0)
    chosen, bits = x[:, :6].argmax(1), x[:, 6:].long()
    assert (x[:, :6].sum(1) == 1).all()
    for sample in range(50):
        first, second = tasks.sets[chosen[sample]].tolist()
        assert int(labels[sample]) == int(bits[sample, first]) ^ int(bits[sample, second])
    assert len({tuple(each) for each in tasks.sets.tolist()}) == 6
    shares = torch.bincount(chosen, minlength=6) / 4000
    torch.testing.assert_close(shares, tasks.frequencies, atol=0.03, rtol=0)
    assert torch.equal(tasks.sample(4000, seed=0)[0], x)


def test_accuracy_is_over_every_input_of_a_task() -> None:
    tasks = Parities(count=2, bits=3, subset=1, seed=0)

    class Knows(torch.nn.Module):
        """Task 0, and nothing of task 1."""

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            known = 20 * (x[:, 2 + int(tasks.sets[0, 0])] - 0.5) * x[:, 0]
            return torch.stack([torch.zeros_like(known), known], 1)

    found = OnTasks(tasks)(Knows())
    np.testing.assert_allclose(found["accuracy"], [1.0, 0.5])
    np.testing.assert_allclose(found["task_loss"], [0.0, np.log(2)], atol=1e-4)


def made(follows: float, rng: np.random.Generator, shuffled: bool = False) -> Findings:
    """Networks that learn tasks at random, later ones later; λ̂ follows their number so much, and the loss besides.

    With `shuffled`, tasks are learned in an order that has nothing to do with their frequency.
    """
    config = STUDY.config("quick")
    count, steps = config.tasks.count, np.arange(100, 2100, 100)
    found, values, first = dict[str, xr.Dataset](), [], np.ones(count)
    for i in range(config.networks):
        when = steps[np.sort(rng.integers(len(steps), size=count))]
        when = rng.permutation(when) if shuffled else when
        first = when if i == 0 else first
        accuracy = np.where(steps[:, None] >= when, 1.0, 0.5)
        found[f"curves-{i}"] = xr.Dataset({"accuracy": (("step", "task"), accuracy)}, coords={"step": steps})
        values.append(follows * (accuracy > 0.9).sum(1) + np.arange(len(steps)) + rng.normal(size=len(steps)))
    found["steps"] = xr.Dataset({"at": ("step", steps)})
    value = np.concatenate(values)
    columns = {"llc_complexity": value, "llc_complexity_mcse": 0 * value + 0.1, "loss": rng.random(len(value))}
    found["coefficients"] = xr.Dataset({name: ("checkpoint", each) for name, each in columns.items()})
    peaked = -abs(np.log(steps[:, None] / first))  # of the first network
    if not follows:
        peaked = peaked[:, rng.permutation(count)]
    crossed = np.concatenate([peaked[:, :1], peaked + 20], 1)
    found["responses"] = xr.Dataset(
        {"cross_llc": (("component", "step", "probe"), crossed[None]), "outcome": ("component", ["converged"])},
        coords={"step": steps},
    )
    exponent = np.repeat(config.sweep.exponents, config.sweep.copies)
    learned, loss = rng.integers(1, count, size=len(exponent)), rng.random(len(exponent))
    found["swept"] = xr.Dataset({"learned": ("network", learned), "exponent": ("network", exponent)})
    value = follows * learned - 5 * loss + rng.normal(size=len(exponent))
    found["coefficients-swept"] = xr.Dataset({"llc_complexity": ("step", value), "loss": ("step", loss)})
    return Findings(found)


def evidence(name: str, found: Findings, seed: int = 0) -> Evidence:
    config = STUDY.config("quick").model_copy(update={"tested": (name,), "seed": seed, "resamples": 49})
    said = STUDY.claims.test(found, config)[name]
    assert isinstance(said, Evidence), said
    return said


@pytest.mark.parametrize("name", ["along-training", "over-networks", "answers"])
def test_claims_follow_the_coefficient(name: str) -> None:
    rng = np.random.default_rng(2)
    held, missed = evidence(name, made(3.0, rng)), evidence(name, made(0.0, rng))
    assert held.met
    assert held.null is not None
    assert held.null.p_value < 0.06
    assert missed.null is not None
    assert missed.null.p_value > held.null.p_value
    if name != "along-training":
        assert not missed.met


@pytest.mark.parametrize("name", ["one-by-one", "over-networks", "answers"])
def test_p_values_are_uniform_where_nothing_follows(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    monkeypatch.setattr(curves, "bootstrap", lambda *_: np.ones(1))  # of the interval, which is not looked at
    found = []
    for seed in range(60):
        null = evidence(name, made(0.0, rng, shuffled=True), seed).null
        assert null is not None
        found.append(null.p_value - rng.random() / 50)
    assert kstest(found, "uniform").pvalue > 0.01
    assert kstest(np.array(found) / 2, "uniform").pvalue < 0.01
