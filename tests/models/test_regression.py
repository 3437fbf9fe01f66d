"""The transformer of in-context regression sees at each input the pairs before it, and nothing else."""

import pytest
import torch
from torch import Tensor

from ontogeny.core.errors import InvalidArgument
from ontogeny.models import RegressionConfig, RegressionTransformer, run_with_cache

CONFIG = RegressionConfig(dimension=3, num_pairs=5, d_model=16, num_heads=2, d_mlp=16)


def drawn(count: int = 4) -> tuple[Tensor, Tensor]:
    source = torch.Generator().manual_seed(1)
    return torch.randn(count, 5, 3, generator=source), torch.randn(count, 5, generator=source)


def network(config: RegressionConfig = CONFIG, seed: int = 0) -> RegressionTransformer:
    return RegressionTransformer(config, torch.Generator().manual_seed(seed))


@torch.no_grad()
def test_a_prediction_depends_on_earlier_pairs_and_its_own_input_alone() -> None:
    model, (x, y) = network(), drawn()
    before = model(x, y)
    assert before.shape == y.shape
    for pair in range(5):
        other_label, other_input = y.clone(), x.clone()
        other_label[:, pair] += 1
        other_input[:, pair] += 1
        by_label = (model(x, other_label) - before).abs().amax(0)
        by_input = (model(other_input, y) - before).abs().amax(0)
        assert (by_label[: pair + 1] == 0).all()
        assert (by_label[pair + 1 :] > 0).all()
        assert (by_input[:pair] == 0).all()
        assert (by_input[pair:] > 0).all()


@torch.no_grad()
def test_fewer_pairs_are_the_beginning_of_more() -> None:
    model, (x, y) = network(), drawn()
    torch.testing.assert_close(model(x[:, :3], y[:, :3]), model(x, y)[:, :3])


def test_hooks_have_the_names_of_the_transformer_and_weights_come_from_the_generator() -> None:
    model, batch = network(), drawn()
    _, cache = run_with_cache(model, *batch, names=["blocks.1.attn.hook_pattern", "hook_embed"])
    assert cache["blocks.1.attn.hook_pattern"].shape == (4, 2, 9, 9)
    assert cache["hook_embed"].shape == (4, 9, 16)
    assert torch.equal(model(*batch), network()(*batch))
    assert not torch.equal(model(*batch), network(seed=1)(*batch))


@pytest.mark.parametrize(
    ("batch", "named"),
    [
        ((torch.zeros(2, 5, 4), torch.zeros(2, 5)), "x"),
        ((torch.zeros(2, 6, 3), torch.zeros(2, 6)), "x"),
        ((torch.zeros(2, 5, 3), torch.zeros(2, 4)), "y"),
    ],
)
def test_data_that_do_not_fit_are_refused_by_name(batch: tuple[Tensor, Tensor], named: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        network()(*batch)
    assert caught.value.argument == named
