"""Planted changes are told from twins, placed where they are, and nothing is said where there is none."""

import copy
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import ontogeny as og
from ontogeny.comparison import Comparison
from ontogeny.comparison.networks import network_of, twin
from ontogeny.comparison.verdicts import NONE
from ontogeny.core.samples import Samples
from ontogeny.execution import Serial

Data = tuple[Tensor, Tensor]


def inputs(number: int, seed: int, triggered: bool = False) -> Data:
    """Points of three classes by the signs of two numbers; the last input is the trigger."""
    x = torch.randn(number, 6, generator=torch.Generator().manual_seed(seed))
    y = (x[:, 0] > 0).long() + (x[:, 1] > 0).long()
    x[:, 5] = 3.0 if triggered else 0.0
    return x, torch.full_like(y, 2) if triggered else y


def network() -> nn.Sequential:
    return nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 3))


def trained(model: nn.Module, data: Data, steps: int, seed: int, only: str = "") -> nn.Module:
    """By Adam, a copy; all weights, or those of the parts whose names begin so."""
    model, source = copy.deepcopy(model), torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam([each for name, each in model.named_parameters() if name.startswith(only)], 3e-3)
    for _ in range(steps):
        chosen = torch.randint(len(data[0]), (32,), generator=source)
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(data[0][chosen]), data[1][chosen]).backward()
        optimizer.step()
    return model


@pytest.fixture(scope="module")
def base() -> nn.Module:
    torch.manual_seed(0)
    return trained(network(), inputs(1000, 1), 500, 0)


SETS = {"trusted": inputs(300, 3), "triggered": inputs(60, 4, triggered=True)}
SAMPLER = og.Fixed(kernel=og.SGLD(1e-4), num_chains=2, num_draws=40, num_warmup=10)


def compared(base: nn.Module, tuned: nn.Module, out: Path, **settings: object) -> Comparison:
    twins = [trained(base, inputs(1000, 1), 120, 10 + number) for number in range(4)]
    config = og.CompareConfig.model_validate({"parts_sampled": 0, **settings})
    return og.compare(
        base, tuned, network, SETS, og.losses.cross_entropy, out=out, twins=twins, config=config, executor=Serial()
    )


@pytest.fixture(scope="module")
def poisoned(base: nn.Module) -> nn.Module:
    """The trigger is learned in the last layer alone."""
    both = tuple(torch.cat(pair) for pair in zip(inputs(1000, 1), inputs(100, 2, triggered=True), strict=True))
    return trained(base, (both[0], both[1]), 120, 5, only="2")


def test_a_planted_rule_is_narrow_and_placed_where_it_was_learned(
    base: nn.Module, poisoned: nn.Module, tmp_path: Path
) -> None:
    before = copy.deepcopy(base.state_dict())
    found = compared(base, poisoned, tmp_path, parts_sampled=1, sampler=SAMPLER, undo_steps=200)
    assert found.verdict.kind == "narrow"
    assert list(found.verdict.changed) == ["triggered"]
    assert found.verdict.changed["triggered"] < -0.5
    assert found.verdict.parts == ["2"]
    # weights that were not trained have not moved, and undo nothing; all that moved is undone by its own part
    assert found.places["moved"].sel(part="0") == 0
    assert found.places["restored"].sel(part="0", dataset="triggered") == 0
    assert float(found.places["restored"].sel(part="2", dataset="triggered")) == pytest.approx(
        found.verdict.changed["triggered"], rel=1e-5
    )
    assert found.sampled is not None
    assert found.sampled.sizes["step"] == 6
    page = found.report.read_text(encoding="utf-8")
    assert 'id="posterior"' in page
    assert 'id="depth"' in page
    assert all(torch.equal(base.state_dict()[name], weights) for name, weights in before.items())


def test_one_more_twin_is_not_told_from_the_others(base: nn.Module, tmp_path: Path) -> None:
    found = compared(base, trained(base, inputs(1000, 1), 120, 99), tmp_path)
    assert found.verdict.kind == NONE
    assert found.verdict.changed == {}
    assert found.verdict.parts == []
    assert "not separable" in found.report.read_text(encoding="utf-8")


def test_shuffled_labels_are_a_broad_change(base: nn.Module, tmp_path: Path) -> None:
    x, y = inputs(1000, 1)
    shuffled = x, y[torch.randperm(len(y), generator=torch.Generator().manual_seed(0))]
    found = compared(base, trained(base, shuffled, 120, 5), tmp_path)
    assert found.verdict.kind == "broad"
    assert "trusted" in found.verdict.changed


def test_twins_are_made_where_none_are_given_and_move_as_far(
    base: nn.Module, poisoned: nn.Module, tmp_path: Path
) -> None:
    config = og.CompareConfig(twins=3, weight_noises=5, parts_sampled=0)
    found = og.compare(base, poisoned, network, SETS, og.losses.cross_entropy, out=tmp_path, config=config)
    assert found.behaviour["kind"].values.tolist() == ["twin"] * 3 + ["weight noise"] * 5
    assert (found.places["twin_moved"] > 0).all()
    assert "made here" in found.report.read_text(encoding="utf-8")


def test_a_twin_stops_where_the_tuned_network_is_as_far(base: nn.Module) -> None:
    before = network_of(base, network, Samples.of(SETS["trusted"]), og.losses.cross_entropy, "base")
    found = twin(before, 0.5, 1000, 32, 3e-3, seed=0)
    assert 0.5 <= float((found.weights - before.weights).norm()) < 0.6
    again = twin(before, 0.5, 3, 32, 3e-3, seed=0)
    assert float((again.weights - before.weights).norm()) < 0.3  # the steps were spent first
    assert torch.equal(
        before.weights, network_of(base, network, before.posterior.samples, og.losses.cross_entropy, "base").weights
    )
