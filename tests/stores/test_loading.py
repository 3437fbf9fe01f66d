"""Weights that files leave out because they are tied to others."""

import pytest
import torch
from torch import nn

from ontogeny.core.errors import InvalidArgument
from ontogeny.stores import load_into


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.body, self.out = nn.Embedding(5, 3), nn.Linear(3, 3), nn.Linear(3, 5, bias=False)
        self.out.weight = self.embed.weight


@pytest.mark.parametrize("left_out", ["out.weight", "embed.weight"])
def test_one_name_of_a_tied_weight_is_enough(left_out: str) -> None:
    saved, model = Tied().state_dict(), Tied()
    del saved[left_out]
    load_into(model, saved)
    assert model.out.weight is model.embed.weight
    assert torch.equal(model.embed.weight, saved["embed.weight" if left_out == "out.weight" else "out.weight"])
    assert torch.equal(model.body.weight, saved["body.weight"])


def test_other_weights_that_are_missing_are_refused() -> None:
    saved = Tied().state_dict()
    del saved["body.weight"]
    with pytest.raises(InvalidArgument, match=r"missing keys: body\.weight"):
        load_into(Tied(), saved)
