"""Patching restores what it should, and its gradient estimate is exact where the network is linear, and only there."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ontogeny import circuits
from ontogeny.core.errors import InvalidArgument
from ontogeny.models import Transformer, TransformerConfig, intervene, run_with_cache
from ontogeny.testing import InductionTransformer


class Layered(nn.Module):
    """Two branches and a layer on their sum, at each of three positions, with a function between."""

    def __init__(self, bend: nn.Module) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.first, self.second, self.last = (nn.Linear(4, 4).double() for _ in range(3))
        self.mix = nn.Linear(3, 3).double()  # positions
        self.bend = bend

    def forward(self, x: Tensor) -> Tensor:
        mixed = self.mix(self.bend(self.first(x)).mT).mT
        return self.last(mixed + self.second(x))


CLEAN, CORRUPTED = torch.randn(2, 5, 3, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
PLACES = ["first", "second", "mix", "last"]


def metric(output: Tensor) -> Tensor:
    return (output[:, -1, 0] - 2 * output[:, 0, 1]).mean()


@pytest.mark.parametrize("by_position", [False, True])
def test_on_a_linear_network_attribution_is_patching_exactly(by_position: bool) -> None:
    model = Layered(nn.Identity())
    arguments: Any = (model, CLEAN, CORRUPTED, metric, PLACES[:2])
    patched = circuits.activation_patching(*arguments, by_position=by_position)
    estimated = circuits.attribution_patching(*arguments, by_position=by_position)
    np.testing.assert_allclose(estimated["effect"], patched["effect"], rtol=1e-12, atol=1e-14)
    assert abs(patched["effect"]).max() > 0.01
    assert patched.attrs == estimated.attrs
    if by_position:
        assert patched["effect"].dims == ("place", "position")
        whole = circuits.activation_patching(*arguments)["effect"]
        np.testing.assert_allclose(patched["effect"].sum("position"), whole, rtol=1e-12)
        assert patched["effect"].sel(place="second")[1] == 0  # the metric reads the first and the last position
    else:  # the two branches are all paths
        assert float(patched["effect"].sum()) == pytest.approx(patched.attrs["clean"] - patched.attrs["corrupted"])


def test_on_a_network_that_bends_it_is_not() -> None:
    model = Layered(nn.Tanh())
    patched = circuits.activation_patching(model, CLEAN, CORRUPTED, metric, PLACES)["effect"]
    estimated = circuits.attribution_patching(model, CLEAN, CORRUPTED, metric, PLACES)["effect"]
    difference = abs(patched - estimated)
    assert float(difference.sel(place="first")) > 0.01
    assert float(difference.sel(place="last")) < 1e-12


def test_patching_is_one_activation_from_the_other_run() -> None:
    model = Layered(nn.Tanh())
    cache = run_with_cache(model, CLEAN, names=PLACES)[1]
    found = circuits.activation_patching(model, CLEAN, CORRUPTED, metric, PLACES)
    before = float(metric(model(CORRUPTED)).detach())
    for name in PLACES:
        with torch.no_grad(), intervene(model, {name: lambda _, name=name: cache[name]}):
            assert float(found["effect"].sel(place=name)) == pytest.approx(float(metric(model(CORRUPTED))) - before)
    assert float(found["share"].sel(place="last")) == pytest.approx(1)  # all that the metric reads
    assert all(each.grad is None for each in model.parameters())


def test_the_induction_circuit_is_found_by_default_places() -> None:
    """Corrupted is another first half: of all heads the induction head restores the logit, through its z."""
    model = InductionTransformer().model()
    once = torch.randperm(31, generator=torch.Generator().manual_seed(0))
    clean = torch.cat([once[:12], once[:6]])[None]
    corrupted = torch.cat([once[12:24], once[:6]])[None]

    def logit(logits: Tensor) -> Tensor:
        return logits[0, -1, once[6]]

    found = circuits.activation_patching(model, clean, corrupted, logit)
    assert found["place"].values.tolist() == [f"L{layer}H{head}" for layer in (0, 1) for head in range(4)]
    assert float(found["share"].sel(place="L1H2")) > 0.95
    assert float(abs(found["share"].drop_sel(place="L1H2")).max()) < 0.5
    by_position = circuits.activation_patching(model, clean, corrupted, logit, by_position=True)["share"]
    assert float(by_position.sel(place="L1H2")[-1]) > 0.95
    estimated = circuits.attribution_patching(model, clean, corrupted, logit)  # the last head's z is read linearly
    assert float(estimated["share"].sel(place="L1H2")) == pytest.approx(
        float(found["share"].sel(place="L1H2")), abs=1e-4
    )


def test_mlps_are_among_the_default_places_and_weights_get_no_gradients() -> None:
    shape: dict[str, Any] = {"vocabulary_size": 11, "context_length": 9, "d_model": 12, "num_heads": 3, "d_mlp": 20}
    model = Transformer(TransformerConfig(**shape), torch.Generator().manual_seed(0)).train()
    clean = torch.randint(11, (4, 7), generator=torch.Generator().manual_seed(0))
    found = circuits.attribution_patching(model, clean, clean.roll(1, dims=0), lambda logits: logits[:, -1, 0].mean())
    assert found["place"].values[-2:].tolist() == ["L0.mlp", "L1.mlp"]
    assert all(each.grad is None for each in model.parameters())
    assert all(each.training and not each._forward_hooks for each in model.modules())


@pytest.mark.parametrize("patching", [circuits.activation_patching, circuits.attribution_patching])
def test_runs_that_do_not_differ_have_no_share(patching: Any) -> None:
    found = patching(Layered(nn.Tanh()), CLEAN, CLEAN, metric, PLACES)
    assert (found["effect"] == 0).all()
    assert found["share"].isnull().all()


@pytest.mark.parametrize("patching", [circuits.activation_patching, circuits.attribution_patching])
def test_what_cannot_be_patched_is_refused(patching: Any) -> None:
    model = Layered(nn.Tanh())
    with pytest.raises(InvalidArgument, match=r"`corrupted`: expected inputs of the shape of clean, \(5, 3, 4\)"):
        patching(model, CLEAN, CORRUPTED[:2], metric, PLACES)
    with pytest.raises(InvalidArgument, match="`places`: expected one place or more"):
        patching(model, CLEAN, CORRUPTED, metric)  # neither heads nor MLPs
    with pytest.raises(InvalidArgument, match=r"returns shape \(5,\)"):
        patching(model, CLEAN, CORRUPTED, lambda output: output[:, 0, 0], PLACES)
