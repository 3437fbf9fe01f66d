"""The grokking study at its smallest, and its parts where the answer is known."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from torch import nn

import ontogeny as og
from ontogeny.execution import Serial
from ontogeny.stores import MemoryCheckpoints
from ontogeny.studies import Evidence, Findings
from ontogeny.studies.grokking import STUDY
from ontogeny.studies.grokking.addition import AdditionMLP, Table, all_pairs, maker
from ontogeny.studies.grokking.config import Shape
from ontogeny.studies.grokking.fourier import Progress, key_frequencies, spectrum
from ontogeny.studies.grokking.recipe import at_loss, loss_of
from ontogeny.studies.own_data import MadeWithRows, OfRows, WithRows, numbers_of, with_rows

FIXED = {"num_chains": 2, "num_draws": 12, "num_warmup": 4}
SHORT = {"num_steps": 40, "checkpoints_log": 3, "checkpoints_linear": 1}
SMALL = {
    "modulus": 7,
    "networks": 2,
    "measured": 2,
    "first_measured": 5,
    "sampler": FIXED,
    "along": FIXED,
    "posterior": {"nbeta": 20.0, "localization": 20.0},
    "training": SHORT,
    "other_training": SHORT,
    "memorising": SHORT,
    "sweeps": {"moduli": (5,), "items": (12, 24), "copies": 1, "num_steps": 20},
}


@pytest.mark.slow
def test_the_study_runs_to_its_report(tmp_path: Path) -> None:
    run = og.study("grokking", "quick", tmp_path / "run", settings=SMALL, executor=Serial())
    assert run.failures == []
    claims = {claim["id"]: claim for claim in run.claims}
    assert claims["delayed"]["status"] == "not held"  # after 40 steps nothing is learned
    page = run.report.read_text(encoding="utf-8")
    for panel in ("grokking", "spectra", "against-loss", "sweeps"):
        assert f'id="{panel}"' in page
    assert "could not be drawn" not in page


class Waves(nn.Module):
    """Logits Σ_k cos(2πk (a + b - c) / p), and a memory of some pairs beside them."""

    def __init__(self, modulus: int, keys: tuple[int, ...], memory: float = 0.0) -> None:
        super().__init__()
        self.modulus, self.keys, self.memory = modulus, keys, memory
        self.embed = nn.Parameter(torch.eye(modulus))

    def forward(self, pairs: torch.Tensor) -> torch.Tensor:
        apart = pairs.sum(1, keepdim=True) - torch.arange(self.modulus)
        logits = 8 * sum(torch.cos(2 * math.pi * k * apart / self.modulus) for k in self.keys)
        noise = torch.randn(self.modulus**2, self.modulus, generator=torch.Generator().manual_seed(0))
        return logits + self.memory * noise[pairs @ torch.tensor([self.modulus, 1])]


@pytest.mark.parametrize("memory", [0.0, 1.0])
def test_key_frequencies_alone_solve_the_sum_and_without_them_nothing_is_left(memory: float) -> None:
    table, model = Table(11, 60), Waves(11, (2, 5), memory)
    assert key_frequencies(model, 11) == (2, 5)
    found = Progress(11, table.rows, table.rest, (2, 5))(model)
    assert float(found["restricted_loss"]) < 0.1
    assert float(found["excluded_loss"]) > 0.9 * math.log(11)
    assert (float(found["sum_share"]) > 0.99) == (memory == 0)
    np.testing.assert_allclose(found["sum_spectrum"].sel(frequency=[2, 5]), 0.5, atol=0.05)
    other = Progress(11, table.rows, table.rest, (1, 3))(model)
    assert float(other["restricted_loss"]) > 0.9 * math.log(11)
    assert float(other["excluded_loss"]) < 0.5


def test_a_spectrum_has_the_share_of_each_wave() -> None:
    x = torch.arange(9, dtype=torch.float64)[:, None] * 2 * math.pi / 9
    found = spectrum(torch.cat([3 * torch.cos(2 * x), torch.sin(4 * x)], 1) + 5)
    torch.testing.assert_close(found, torch.tensor([0.0, 0.9, 0.0, 0.1], dtype=torch.float64))


def test_tables_are_parts_of_the_sums_or_labels_of_their_own() -> None:
    table, random = Table(7, 30, seed=3), Table(7, 30, random=True, repeats=2, seed=3)
    pairs, labels = (torch.cat(parts) for parts in zip(table.rows, table.rest, strict=True))
    assert torch.equal(labels, pairs.sum(1) % 7)
    assert len({tuple(pair) for pair in pairs.tolist()}) == 49
    assert torch.equal(random.rows[0], table.rows[0])
    assert (random.rows[1] != table.rows[1]).double().mean() > 0.6
    batch = random.sample(60, seed=1)
    assert torch.equal(batch[1][:30], batch[1][30:])
    assert all(torch.equal(a, b) for a, b in zip(batch, random.sample(60, seed=2), strict=True))


def test_a_network_with_its_rows_has_its_own_loss() -> None:
    make, tables = maker(5, Shape(embedding=4, hidden=6)), [Table(5, 20, True, seed=seed) for seed in (1, 2)]
    models = [make() for _ in tables]
    run = with_rows([model.state_dict() for model in models], [table.rows for table in tables])
    held = MadeWithRows(make, tables[0].rows)()
    assert isinstance(held, WithRows)
    for step, (model, table) in enumerate(zip(models, tables, strict=True)):
        held.load_state_dict(run.load(step))
        ours = OfRows(og.losses.cross_entropy)(held, numbers_of(table.rows))
        torch.testing.assert_close(ours, og.losses.cross_entropy(model, table.rows))
    with pytest.raises(og.InvalidArgument, match="one shape"):
        with_rows([model.state_dict() for model in models], [tables[0].rows, Table(5, 21).rows])


def test_weights_of_a_wanted_loss_lie_between_two_checkpoints() -> None:
    make, rows = maker(5, Shape(embedding=4, hidden=6)), Table(5, 20, True).rows
    model = make()
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    og.train(model, rows, og.losses.cross_entropy, og.TrainingConfig(num_steps=50, batch_size=20, learning_rate=0.03))
    after = model.state_dict()
    first, last = loss_of(make, before, rows), loss_of(make, after, rows)
    middle = (first + last) / 2
    found = at_loss(MemoryCheckpoints({0: before, 50: after}), middle, rows, make)
    assert loss_of(make, found, rows) == pytest.approx(middle, abs=1e-5)
    nowhere = at_loss(MemoryCheckpoints({0: before, 50: after}), last / 2, rows, make)
    assert loss_of(make, nowhere, rows) == pytest.approx(last)


def made(after_grokking: float, own: float) -> Findings:
    """Four networks that grok at steps of their own; λ̂ falls to `after_grokking`, by `own` more with test accuracy."""
    rng, steps = np.random.default_rng(0), np.unique(np.geomspace(50, 5000, 12).round().astype(int))
    config, found, values = STUDY.config("quick"), dict[str, object](), []
    for i, when in enumerate((1200, 1600, 2200, 3000)):
        train, test = (1 / (1 + (at / steps) ** 8) for at in (200, when))
        loss = 0.03 + 3 * (1 - train) * np.exp(0.1 * rng.standard_normal(len(steps)))
        falling = 10 * after_grokking ** np.clip(np.log(steps / 300) / np.log(5000 / 300), 0, 1)
        value = np.where(steps < 300, steps / 30, falling) * np.exp(
            -own * test + 0.03 * rng.standard_normal(len(steps))
        )
        values.append(value)
        curve = {"train_accuracy": train, "test_accuracy": test, "train_loss": loss}
        curve |= {
            name: 20 + loss + 0.1 * rng.standard_normal(len(steps)) for name in ("norm", "embedding_norm", "other_norm")
        }
        found[f"curves-sums-{i}"] = xr.Dataset({k: ("step", v) for k, v in curve.items()}, coords={"step": steps})
    flat = np.concatenate(values)[:, None, None]
    dims = ("step", "component", "dataset")
    names = ("complexity", "descent", "complexity_mcse")
    found["coefficients"] = xr.Dataset(
        {f"llc_{name}": (dims, flat if name == "complexity" else 0 * flat) for name in names}
    )
    found["coefficients-labels"] = xr.Dataset({"llc_complexity": ("step", np.linspace(1, 10, 5))})
    found["steps"] = xr.Dataset({"at": ("step", steps)})
    assert config.networks == 4
    return Findings(found)


@pytest.mark.parametrize(("after", "own", "falls", "beyond"), [(0.3, 0.5, True, True), (1.0, 0.0, False, False)])
def test_claims_follow_the_coefficients(after: float, own: float, falls: bool, beyond: bool) -> None:
    config = STUDY.config("quick").model_copy(update={"tested": ("rises-and-falls", "beyond-loss")})
    found = STUDY.claims.test(made(after, own), config)
    fallen, said = found["rises-and-falls"], found["beyond-loss"]
    assert isinstance(fallen, Evidence), fallen
    assert fallen.met == falls
    assert isinstance(said, Evidence), said
    assert said.null is not None
    assert (said.met and said.null.p_value < 0.06) == beyond


def test_sums_are_those_of_all_pairs_in_order() -> None:
    pairs, sums = all_pairs(5)
    assert pairs[7].tolist() == [1, 2]
    assert int(sums[7]) == 3
    assert AdditionMLP(5, Shape())(pairs).shape == (25, 5)
