"""Composition scores against dense products, and their null against rotations made one by one."""

from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from scipy.stats import kstest
from tests.circuits.test_advice import Attention, Network
from tests.models.families import network

from ontogeny import circuits
from ontogeny.core.errors import InvalidArgument
from ontogeny.models import Transformer, TransformerConfig, heads
from ontogeny.testing import InductionTransformer


def random_network(seed: int = 0, **changes: Any) -> Transformer:
    shape: dict[str, Any] = {"vocabulary_size": 11, "context_length": 9, "d_model": 48, "num_heads": 4}
    return Transformer(TransformerConfig(**shape | changes), torch.Generator().manual_seed(seed))


def pairs(scores: xr.DataArray) -> np.ndarray:
    return scores.isel(layer_from=0, layer_to=1).values.flatten()


@torch.no_grad()
@pytest.mark.parametrize("input", ["Q", "K", "V"])
def test_scores_are_ratios_of_norms_of_dense_products(input: Any) -> None:
    model = random_network(num_layers=3)
    scores = circuits.composition(model, input, count=9)
    for one in heads(model):
        for other in heads(model):
            found = float(
                scores.sel(layer_from=one.layer, head_from=one.index, layer_to=other.layer, head_to=other.index)
            )
            if one.layer >= other.layer:
                assert np.isnan(found)
                continue
            a = one.W_V @ one.W_O
            b = {"Q": other.W_Q @ other.W_K.T, "K": other.W_K @ other.W_Q.T, "V": other.W_V @ other.W_O}[input]
            assert found == pytest.approx(float((a @ b).norm() / a.norm() / b.norm()), rel=1e-4)


@pytest.mark.parametrize("d_model", [48, 128])
def test_the_baseline_is_one_over_the_root_of_the_width_within_its_spread(d_model: int) -> None:
    """Random heads of several seeds, whose scores are the null's: mean within 4 errors, spread within a fifth."""
    found = [circuits.composition(random_network(seed, d_model=d_model), "K", count=499) for seed in range(100, 108)]
    values = np.concatenate([pairs(each) for each in found])
    spread = float(found[0]["null_std"].mean())
    assert found[0].attrs["baseline"] == pytest.approx(d_model**-0.5)
    assert found[0].attrs["d_model"] == d_model
    assert spread < 0.1 * d_model**-0.5
    assert abs(values.mean() - d_model**-0.5) < spread
    assert abs(values.mean() - float(found[0]["null_mean"].mean())) < 4 * spread / len(values) ** 0.5
    assert 0.8 * spread < values.std() < 1.2 * spread


def test_the_mean_square_under_rotations_is_exactly_one_over_the_width() -> None:
    drawn = circuits.composition_null(random_network(), "Q", "L0H1", "L1H3", count=4000)
    error = np.std(drawn**2) / len(drawn) ** 0.5
    assert error < 0.01 / 48
    assert abs(np.mean(drawn**2) - 1 / 48) < 4 * error


def test_the_null_is_that_of_rotations_made_one_by_one() -> None:
    model = random_network(d_model=16)
    sender, receiver = heads(model)[1], heads(model)[6]
    one, other = (sender.W_V @ sender.W_O).detach(), (receiver.W_K @ receiver.W_Q.T).detach()
    generator = torch.Generator().manual_seed(0)
    naive = []
    for _ in range(2000):
        rotation = torch.linalg.qr(torch.randn(16, 16, generator=generator)).Q
        naive.append(float((one @ rotation @ other).norm() / one.norm() / other.norm()))
    drawn = circuits.composition_null(model, "K", "L0H1", "L1H2", count=2000)
    for share in (0.05, 0.5, 0.95):
        assert abs(np.mean(drawn < np.quantile(naive, share)) - share) < 4 * (2 * share * (1 - share) / 2000) ** 0.5


def test_p_values_of_random_heads_are_uniform() -> None:
    values = [pairs(circuits.composition(random_network(seed), "V", count=199)["p_value"]) for seed in range(100, 110)]
    assert kstest(np.concatenate(values), "uniform").pvalue > 0.01


def test_the_pair_of_an_induction_circuit_stands_out_and_no_other() -> None:
    network = InductionTransformer()
    found = {input: circuits.composition(network.model(), input) for input in ("Q", "K", "V")}
    planted = {"layer_from": 0, "head_from": 1, "layer_to": 1, "head_to": 2}
    assert (network.previous_token, network.induction) == ("L0H1", "L1H2")
    assert float(found["K"]["p_value"].sel(planted)) < 0.001
    assert float(found["K"].sel(planted)) > 1.5 * found["K"].attrs["baseline"]
    # One of 47 other values is below 0.001 by chance in about one of 20 networks. In this one none is.
    others = np.concatenate([pairs(each["p_value"]) for each in found.values()])
    assert (others < 0.001).sum() == 1


def test_a_head_of_zeros_has_no_score_and_no_p_value() -> None:
    model = random_network()
    with torch.no_grad():
        model.get_parameter("blocks.0.attn.W_O")[2] = 0
    found = circuits.composition(model, "K", count=9)
    silent = found.sel(layer_from=0, head_from=2, layer_to=1)
    assert silent.isnull().all()
    assert silent["p_value"].isnull().all()
    assert found.sel(layer_from=0, head_from=1, layer_to=1).notnull().all()


def test_gains_are_folded_on_request() -> None:
    model = random_network()
    plain = circuits.composition(model, "K", count=9)
    with torch.no_grad():
        model.get_parameter("blocks.1.ln1.w").normal_(generator=torch.Generator().manual_seed(0))
    assert np.array_equal(pairs(circuits.composition(model, "K", count=9)), pairs(plain))
    gain = model.get_parameter("blocks.1.ln1.w").detach()
    into = (torch.eye(48) - 1 / 48) @ torch.diag(gain)
    one, other = heads(model)[0], heads(model)[4]
    a, b = (one.W_V @ one.W_O).detach(), (into @ other.W_K @ (into @ other.W_Q).T).detach()
    folded = circuits.composition(model, "K", fold_norm=True, count=9)
    assert float(folded[0, 0, 1, 0]) == pytest.approx(float((a @ b).norm() / a.norm() / b.norm()), rel=1e-3)


@torch.no_grad()
def test_heads_of_a_group_share_what_is_composed_with_their_keys() -> None:
    """Llama: products of the later head with grouped keys, and the note on rotations."""
    model = network("llama")[0]
    found = circuits.composition(model, "K", count=9)
    assert "distance zero" in found.attrs["note"]
    one, other = heads(model)[2], heads(model)[6 + 4]
    a, b = one.W_V @ one.W_O, other.W_K @ other.W_Q.T
    assert float(found[0, 2, 1, 4]) == pytest.approx(float((a @ b).norm() / a.norm() / b.norm()), rel=1e-4)


def test_layers_may_have_unequal_numbers_of_heads() -> None:
    found = circuits.composition(Network(Attention(2), Attention(4)), "V", count=9)
    assert found.shape == (2, 4, 2, 4)
    assert found.sel(layer_from=0, layer_to=1).notnull().sum("head_to").values.tolist() == [4, 4, 0, 0]


def test_networks_of_one_layer_and_unknown_inputs_are_refused() -> None:
    with pytest.raises(InvalidArgument, match="two layers with heads or more"):
        circuits.composition(random_network(num_layers=1), "K")
    with pytest.raises(InvalidArgument, match="'Q', 'K' or 'V'"):
        circuits.composition(random_network(), "k")
