"""The transformer with an induction circuit predicts what repeats, by that circuit alone."""

import pytest
import torch

from ontogeny.models import intervene
from ontogeny.testing import InductionTransformer


@pytest.mark.parametrize(
    "network",
    [InductionTransformer(), InductionTransformer(vocabulary_size=8, context_length=12, num_heads=3, seed=4)],
    ids=["default", "small"],
)
def test_it_predicts_what_followed_earlier(network: InductionTransformer) -> None:
    model, half = network.model(), min(network.vocabulary_size, network.context_length // 2)
    generator = torch.Generator().manual_seed(0)
    once = torch.stack([torch.randperm(network.vocabulary_size, generator=generator)[:half] for _ in range(5)])
    tokens = torch.cat([once, once], dim=1)
    with torch.no_grad():
        assert torch.equal(model(tokens).argmax(-1)[:, half:-1], tokens[:, half + 1 :])
        for head in (network.previous_token, network.induction):
            with intervene(model, {head: torch.zeros_like}):
                assert (model(tokens).argmax(-1)[:, half:-1] == tokens[:, half + 1 :]).float().mean() < 0.5


def test_weights_depend_on_the_seed_alone() -> None:
    one, same, other = (InductionTransformer(seed=seed).model().state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(each, same[name]) for name, each in one.items())
    assert not torch.equal(one["blocks.0.attn.W_Q"], other["blocks.0.attn.W_Q"])
