"""Circuits of heads as a behaviour, on the network whose induction circuit is written by hand."""

import numpy as np
import pytest
import torch

from ontogeny import InvalidArgument, circuits
from ontogeny.measurement import HeadCircuits
from ontogeny.models import heads
from ontogeny.testing import InductionTransformer

PLANTED = InductionTransformer()


def halves(count: int) -> torch.Tensor:
    source = torch.Generator().manual_seed(0)
    half = torch.stack([torch.randperm(PLANTED.vocabulary_size, generator=source)[:12] for _ in range(count)])
    return torch.cat([half, half], dim=1)


def test_the_planted_circuit_stands_out() -> None:
    model = PLANTED.model()
    found = HeadCircuits(halves(8))(model)
    assert found["head"].values.tolist() == [head.name for head in heads(model)]
    rises = found["repeat_rise"]
    assert rises.sel(head=PLANTED.induction) > 1
    assert rises.sel(head=PLANTED.previous_token) > 1
    others = rises.drop_sel(head=[PLANTED.induction, PLANTED.previous_token])
    assert np.abs(others).max() < 0.1
    keys = found["composition"].sel(input="K")
    assert keys.argmax(("sender", "receiver"))["sender"] == list(keys.sender).index(PLANTED.previous_token)
    assert keys.argmax(("sender", "receiver"))["receiver"] == list(keys.receiver).index(PLANTED.induction)
    assert keys.sel(receiver=PLANTED.previous_token).isnull().all()
    assert found["copying_eigenvalues"].sel(head=PLANTED.induction) == pytest.approx(
        circuits.copying_score(model, PLANTED.induction)
    )


def test_sequences_that_do_not_repeat_are_refused() -> None:
    with pytest.raises(InvalidArgument, match="second half"):
        HeadCircuits(torch.arange(8)[None])
    with pytest.raises(InvalidArgument, match="second half"):
        HeadCircuits(torch.zeros(2, 7, dtype=torch.long))
