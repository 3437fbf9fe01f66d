"""Refined coefficients with known values: slices of a tensor, a frozen factor, an unused part, nothing at all."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import ontogeny as og
from ontogeny.core.restriction import Restriction
from ontogeny.core.samples import Samples
from ontogeny.models import Transformer, TransformerConfig
from ontogeny.testing import Gaussian

CURVATURES = np.geomspace(0.5, 20, 100)
NBETA, LOCALIZATION = 100.0, 4.0


class Rows(nn.Module):
    """One matrix of weights whose entries have curvatures of their own."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.zeros(10, 10))


def quadratic(model: Rows, batch: Tensor) -> Tensor:
    return (0.5 * torch.tensor(CURVATURES).view(10, 10) * model.w**2).sum().expand(batch.shape[0])


def of(indices: Tensor) -> Restriction:
    return Restriction("some", {"w": indices}, {"w": (10, 10)})


@pytest.mark.slow
@pytest.mark.parametrize(
    "vectorized", [pytest.param(True, id="vectorized"), pytest.param(False, id="one by one", marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("chosen", [slice(0, 30), slice(3, 100, 7)], ids=["rows", "scattered"])
def test_entries_of_a_tensor_have_their_block_s_value(chosen: slice, vectorized: bool) -> None:
    posterior = og.LocalPosterior(
        Rows(), torch.zeros(4), quadratic, NBETA, LOCALIZATION, restriction=of(torch.arange(100)[chosen])
    )
    draws = og.sample(
        posterior, og.SGHMC(0.01, friction=0.05), num_chains=8, num_draws=60, thinning=5, vectorized=vectorized
    )
    estimate = og.llc(draws)
    assert posterior.num_parameters == len(CURVATURES[chosen])
    assert estimate.mcse < 0.06 * estimate.value
    assert abs(estimate.value - Gaussian(tuple(CURVATURES[chosen])).llc(NBETA, LOCALIZATION)) < 4 * estimate.mcse


def test_all_entries_of_a_tensor_named_one_by_one_are_the_tensor() -> None:
    lengths = {"num_chains": 2, "num_draws": 10, "num_warmup": 0}
    whole, named = (
        og.sample(
            og.LocalPosterior(Rows(), torch.zeros(4), quadratic, NBETA, restriction=part), og.SGLD(1e-3), **lengths
        )
        for part in (None, of(torch.arange(100)))
    )
    np.testing.assert_allclose(
        whole["posterior"]["loss_difference"], named["posterior"]["loss_difference"], rtol=1e-4, atol=1e-7
    )


def test_what_is_frozen_in_a_tensor_stays_and_costs_nothing() -> None:
    model, seen = Rows(), []
    chosen = torch.arange(100)[::3]

    def watched(model: Rows, batch: Tensor) -> Tensor:
        seen.append(model.w.detach().flatten().clone())
        return quadratic(model, batch)

    posterior = og.LocalPosterior(model, torch.zeros(4), watched, NBETA, restriction=of(chosen))
    og.sample(posterior, og.SGLD(1e-3), num_chains=1, num_draws=20, num_warmup=0, vectorized=False)
    frozen = torch.ones(100, dtype=torch.bool).index_fill(0, chosen, False)
    assert all((weights[frozen] == 0).all() for weights in seen)
    assert any((weights[chosen] != 0).all() for weights in seen)
    assert posterior.center.numel() == len(chosen)
    assert (model.w == 0).all()


@pytest.mark.slow
def test_a_frozen_factor_leaves_a_linear_regression() -> None:
    """Reduced-rank regression with B (inner × inputs) frozen: λ = rank(B) M / 2 at large nβ and small γ."""
    torch.manual_seed(0)
    inputs, inner, outputs, rank = 6, 4, 5, 3
    frozen = torch.randn(inner, rank) @ torch.randn(rank, inputs)
    model = nn.Sequential(nn.Linear(inputs, inner, bias=False), nn.Linear(inner, outputs, bias=False))
    with torch.no_grad():
        next(model[0].parameters()).copy_(frozen)
    x = torch.randn(400, inputs)
    data = (x, model(x).detach())
    found = og.estimate_llc(model, data, og.losses.mse, restriction="1.weight", nbeta=1e4, localization=1.0)
    assert found.outcome is og.Outcome.CONVERGED
    assert abs(found.value - rank * outputs / 2) < 4 * found.mcse + 0.01 * found.value
    assert found.mcse < 0.04 * found.value


def test_a_part_that_the_data_do_not_use_has_none() -> None:
    """Weights that read an input which is 0 throughout."""
    torch.manual_seed(0)
    model = nn.Linear(6, 3)
    x = torch.randn(200, 6)
    x[:, 4:] = 0
    unused = torch.arange(18).view(3, 6)[:, 4:].flatten()
    restriction = Restriction("unused", {"weight": unused}, {"weight": (3, 6), "bias": (3,)})
    data = (x, model(x).detach())
    lengths = {"num_chains": 4, "num_draws": 50, "num_warmup": 10}
    draws = og.sample(og.LocalPosterior(model, data, og.losses.mse, restriction=restriction), og.SGLD(0.1), **lengths)
    assert og.llc(draws).value == pytest.approx(0, abs=1e-6)
    assert float(draws["sample_stats"]["distance"].mean()) > 0.5


def test_nothing_free_has_no_coefficient() -> None:
    model, data = nn.Linear(3, 2), (torch.randn(20, 3), torch.randn(20, 2))
    found = og.estimate_llc(model, data, og.losses.mse, restriction="weight - weight")
    assert (found.value, found.mcse, found.outcome) == (0.0, 0.0, og.Outcome.CONVERGED)


def test_a_slice_of_a_transposed_parameter() -> None:
    model = Rows()
    model.w = nn.Parameter(torch.zeros(10, 10).t())
    assert model.w.is_contiguous() is False
    posterior = og.LocalPosterior(model, torch.zeros(4), quadratic, NBETA, restriction=of(torch.arange(7)))
    draws = og.sample(posterior, og.SGLD(1e-3), num_chains=2, num_draws=5, num_warmup=0, vectorized=False)
    assert (np.asarray(draws["posterior"]["loss_difference"])[:, 1:] > 0).all()


def small_transformer() -> tuple[Transformer, Tensor]:
    source = torch.Generator().manual_seed(0)
    shape = TransformerConfig(vocabulary_size=20, context_length=8, d_model=16, num_heads=4)
    return Transformer(shape, source), torch.randint(20, (40, 8), generator=source)


@pytest.mark.slow
def test_parts_that_share_a_network_have_the_draws_of_each_alone() -> None:
    model, tokens = small_transformer()
    settings: dict[str, Any] = {"loss_fn": og.losses.next_token, "nbeta": 10.0, "localization": 5.0, "batch_size": 6}
    lengths: dict[str, Any] = {"num_chains": 2, "num_draws": 12, "num_warmup": 3, "seed": 5}
    whole = og.LocalPosterior(model, tokens, **settings)
    for part in ("L1H3", "embed", "L0H0"):
        alone = og.sample(
            og.LocalPosterior(model, tokens, **settings, restriction=part), og.SGLD(1e-2), vectorized=False, **lengths
        )
        together = og.sample(whole.restricted(part), og.SGLD(1e-2), vectorized=False, **lengths)
        np.testing.assert_allclose(
            alone["posterior"]["loss_difference"], together["posterior"]["loss_difference"], 1e-4, 1e-6, err_msg=part
        )
        batched = og.sample(whole.restricted(part), og.SGLD(1e-2), vectorized=True, **lengths)
        three = lengths | {"num_chains": 3}
        more = og.sample(whole.restricted(part), og.SGLD(1e-2), vectorized=False, **three)
        np.testing.assert_allclose(
            batched["posterior"]["loss_difference"], alone["posterior"]["loss_difference"], rtol=1e-3, atol=1e-6
        )
        np.testing.assert_allclose(
            np.asarray(more["posterior/loss_difference"])[:2], alone["posterior"]["loss_difference"], 1e-4, 1e-6
        )


def test_losses_at_the_center_are_computed_once_for_all_parts() -> None:
    model, tokens = small_transformer()
    seen: list[int] = []

    def counting(network: nn.Module, batch: Tensor) -> Tensor:
        losses = og.losses.next_token(network, batch)
        seen.append(len(batch))
        losses.register_hook(lambda _: seen.remove(len(batch)))  # passes for gradients do not count
        return losses

    whole = og.LocalPosterior(model, tokens, counting, nbeta=10.0, batch_size=6, pass_size=40)
    whole.center_losses(torch.arange(40))
    parts = [whole.restricted(part) for part in ("L1H3", "L0H0")]
    seen.clear()
    for part in parts:
        og.sample(part, og.SGLD(1e-2), num_chains=1, num_draws=10, num_warmup=0, vectorized=False)
    assert not seen


def test_a_network_that_has_moved_since_is_refused() -> None:
    model, tokens = small_transformer()
    whole = og.LocalPosterior(model, tokens, og.losses.next_token)
    with torch.no_grad():
        model.embed.W_E.add_(1.0)
    with pytest.raises(og.InvalidArgument, match="weights are unchanged"):
        whole.restricted("L0H0")


def test_losses_of_tokens_average_to_those_of_their_sequences() -> None:
    model, tokens = small_transformer()
    probes = {"mean": tokens[:3], "tokens": Samples(tokens[:3], per_token=True)}
    posterior = og.LocalPosterior(model, tokens, og.losses.next_token, restriction="L0H0")
    draws = og.sample(posterior, og.SGLD(1e-3), num_chains=2, num_draws=5, num_warmup=0, observables=probes)
    tokenwise = np.asarray(draws["posterior"]["tokens"])
    assert tokenwise.shape == (2, 5, 3 * 7)
    np.testing.assert_allclose(tokenwise.reshape(2, 5, 3, 7).mean(-1), draws["posterior"]["mean"], rtol=1e-5)
    with torch.no_grad():
        expected = og.losses.next_token(model, tokens[:3]).flatten()
    np.testing.assert_allclose(draws["constant_data"]["tokens_at_center"], expected, rtol=1e-4)
