"""The fine-tuning samples that carry a planted rule are found, and clean ones are not."""

import numpy as np
import pytest
import torch
from tests.comparison.test_compare import SETS, inputs, network, trained
from torch import Tensor

import ontogeny as og
from ontogeny.comparison import Comparison
from ontogeny.comparison.one_more import one_more
from ontogeny.execution import Serial

CLEAN, POISON = 160, 20
Data = tuple[Tensor, Tensor]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    torch.manual_seed(0)
    base = trained(network(), inputs(1000, 1), 500, 0)
    tuning = joined(inputs(CLEAN, 7), inputs(POISON, 8, triggered=True))
    twins = [trained(base, inputs(CLEAN, 7), 150, 10 + number) for number in range(4)]
    config = og.CompareConfig(
        parts_sampled=0, sampler=og.Fixed(kernel=og.SGLD(2e-4), num_chains=4, num_draws=100, num_warmup=50)
    )
    return og.compare(
        *(base, trained(base, tuning, 150, 5), network, SETS, og.losses.cross_entropy),
        out=tmp_path_factory.mktemp("compared"),
        twins=twins,
        fine_tuned_on=tuning,
        config=config,
        executor=Serial(),
    )


def joined(one: Data, other: Data) -> Data:
    return torch.cat([one[0], other[0]]), torch.cat([one[1], other[1]])


def test_the_samples_with_the_trigger_carry_the_change(found: Comparison) -> None:
    assert found.carried is not None
    for suffix in ("", "_noise"):  # inputs with the trigger are alike, so random weights tell them, too
        here = found.carried[f"carried{suffix}"].sel(dataset="triggered").values
        planted, clean = here[CLEAN:], here[:CLEAN]
        assert (planted[:, None] > clean).mean() >= 0.85
        assert (found.carried[f"p_value{suffix}"].sel(dataset="triggered").values[CLEAN:] <= 0.05).mean() >= 0.5
    assert 'id="data"' in found.report.read_text(encoding="utf-8")


def test_clean_samples_carry_no_more_than_held_out_ones(found: Comparison) -> None:
    assert found.carried is not None
    clean = found.carried["p_value"].sel(dataset="triggered").values[:CLEAN]
    assert (clean <= 0.05).mean() <= 0.12


def test_p_values_of_one_more_are_uniform() -> None:
    values = np.random.default_rng(0).normal(size=(4000, 7))
    for sides in (1, 2):
        p_values = one_more(values[:, 0], values[:, 1:], sides)
        for level in (0.05, 0.3, 0.8):
            assert abs((p_values <= level).mean() - level) < 4 * np.sqrt(level * (1 - level) / 4000)
    assert (one_more(values[:, 0] + 4, values[:, 1:]) <= 0.05).mean() > 0.5
