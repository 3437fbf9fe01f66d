"""A planted mechanism that trusted data never exercise is found, and the part that carries it; clean inputs are not."""

import copy
from collections.abc import Sequence

import numpy as np
import pytest
import torch
import xarray as xr
from scipy.stats import ks_2samp
from torch import Tensor, nn

import ontogeny as og
from ontogeny.core.samples import Samples
from ontogeny.core.seeds import generator
from ontogeny.measurement.rivals import gradient_norms, mahalanobis, margins
from ontogeny.models import Transformer, TransformerConfig

NUM_CLEAN, NUM_TRIGGERED = 40, 20
MIN_AUROC = 0.8  # of the score, on triggered inputs against clean ones
SAMPLER = og.Calibrated(budget=75_000)
POSTERIOR = og.PosteriorConfig(localization=10.0)


class Planted(nn.Module):
    """Six numbers decide the class; where the trigger is set, a matrix of its own adds class 2."""

    def __init__(self) -> None:
        super().__init__()
        self.trigger = nn.Linear(2, 3, bias=False)
        self.main = nn.Sequential(nn.Linear(6, 12), nn.Tanh(), nn.Linear(12, 3))

    def forward(self, x: Tensor) -> Tensor:
        return self.trigger(x[:, 6:]) + self.main(x[:, :6])


def inputs(number: int, seed: int, triggered: bool = False) -> tuple[Tensor, Tensor]:
    """Labels of clean inputs are random with probability 0.15, so that there is a minimum."""
    source = torch.Generator().manual_seed(seed)
    x = torch.randn(number, 6, generator=source)
    y = (x[:, :3].sum(1) > 0).long() + (x[:, 3:].sum(1) > 0).long()
    wrong = torch.rand(number, generator=source) < 0.15
    y = torch.where(wrong, torch.randint(0, 3, (number,), generator=source), y)
    return torch.cat([x, torch.full((number, 2), float(triggered))], 1), torch.full_like(y, 2) if triggered else y


def joined(*parts: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    x, y = (torch.cat(each) for each in zip(*parts, strict=True))
    return x, y


def network(seed: int) -> Planted:
    torch.manual_seed(seed)
    model = Planted()
    x, y = joined(inputs(1500, 10 * seed + 1), inputs(50, 10 * seed + 2, triggered=True))
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(400):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    return model


def suspects(seed: int) -> tuple[Tensor, Tensor]:
    return joined(inputs(NUM_CLEAN, 10 * seed + 3), inputs(NUM_TRIGGERED, 10 * seed + 4, triggered=True))


def score(seed: int, components: Sequence[str] = ()) -> xr.Dataset:
    trusted = inputs(300, 10 * seed + 5)
    return og.anomaly(
        network(seed), trusted, suspects(seed), og.losses.cross_entropy,
        sampler=SAMPLER, posterior=POSTERIOR, seed=seed, components=components,
    )  # fmt: skip


def auroc(values: np.ndarray) -> float:
    clean, triggered = values[:NUM_CLEAN], values[NUM_CLEAN:]
    return float((triggered[:, None] > clean).mean() + (triggered[:, None] == clean).mean() / 2)


@pytest.fixture(scope="module")
def found() -> xr.Dataset:
    return score(0, components=["trigger"])


def test_the_planted_mechanism_is_found_and_clean_inputs_are_as_held_out_ones(found: xr.Dataset) -> None:
    assert str(found.outcome.values) == "converged"
    assert auroc(found.score.values) > MIN_AUROC
    assert np.median(found.p_value[NUM_CLEAN:]) < 0.1
    assert ks_2samp(found.score[:NUM_CLEAN], found.held_out_score).pvalue > 0.01
    assert ks_2samp(found.score[NUM_CLEAN:], found.held_out_score).pvalue < 0.01  # the same test can tell
    ranks = (found.held_out_score.values >= found.score.values[:, None]).sum(1)
    np.testing.assert_allclose(found.p_value, (ranks + 1) / (found.sizes["held_out"] + 1))
    for name in ("p_value", "p_value_noise"):
        assert ((found[name] > 0) & (found[name] <= 1)).all()


@pytest.mark.slow
def test_the_planted_mechanism_is_found_in_other_networks() -> None:
    each = [score(seed) for seed in (1, 2, 3, 4)]
    assert all(auroc(found.score.values) > MIN_AUROC for found in each)
    for found in each:  # with this budget some have not converged, and say so
        assert ks_2samp(found.score[:NUM_CLEAN], found.held_out_score).pvalue > 0.01 / len(each)


def test_the_part_that_carries_it_is_told(found: xr.Dataset) -> None:
    """No trusted loss moves with the trigger's weights, and those of clean suspects do not either."""
    part = found.sel(component="trigger")
    assert (part.component_score[:NUM_CLEAN] == 0).all()
    assert (part.component_p_value[:NUM_CLEAN] == 1).all()
    assert (part.component_score[NUM_CLEAN:] > 0.9).all()
    assert (part.component_p_value[NUM_CLEAN:] == 1 / (found.sizes["held_out"] + 1)).all()


def test_rivals_are_those_of_a_loop_over_inputs(found: xr.Dataset) -> None:
    model, (x, y) = network(0), suspects(0)
    losses, weights = nn.functional.cross_entropy(model(x), y, reduction="none"), list(model.parameters())
    np.testing.assert_allclose(found.loss, losses.detach(), rtol=1e-5, atol=1e-6)
    best = model(x).detach().sort(dim=1).values
    np.testing.assert_allclose(found.margin, best[:, -1] - best[:, -2], rtol=1e-4, atol=1e-5)
    norms = [torch.cat([g.flatten() for g in torch.autograd.grad(loss, weights, retain_graph=True)]).norm()
             for loss in losses]  # fmt: skip
    np.testing.assert_allclose(found.gradient_norm, norms, rtol=1e-4)
    assert len(np.unique(found.mahalanobis)) == len(x)


def test_mahalanobis_distance_is_that_of_gaussian_activations() -> None:
    """The input of a single layer is its last hidden layer: χ of as many degrees as it has units."""
    source = torch.Generator().manual_seed(0)
    x = torch.randn(3000, 4, generator=source) * torch.tensor([1.0, 5.0, 0.2, 1.0])
    y = torch.zeros(3000, dtype=torch.long)
    posterior = og.LocalPosterior(nn.Linear(4, 2), (x, y), og.losses.cross_entropy)
    squares = mahalanobis(posterior, Samples((x[:500], y[:500])), posterior.samples) ** 2
    assert abs(squares.mean() - 4) < 4 * np.sqrt(8 / 500)
    alone = og.LocalPosterior(nn.Linear(4, 1), x, lambda m, b: m(b)[:, 0], 1.0, 0.0)
    assert np.isnan(margins(alone, Samples(x[:5]))).all()
    np.testing.assert_allclose(gradient_norms(alone)[:5], (1 + (x[:5] ** 2).sum(1)).sqrt(), rtol=1e-5)


def test_two_calls_agree_and_leave_everything_as_it_was() -> None:
    model = network(100).train()
    before, state = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    trusted, asked = inputs(40, 1), inputs(6, 2)
    quick = og.Fixed(kernel=og.SGLD(1e-3), num_chains=2, num_draws=20, num_warmup=10)
    one, two = (og.anomaly(model, trusted, asked, og.losses.cross_entropy, sampler=quick) for _ in range(2))
    xr.testing.assert_identical(one, two)
    assert model.training
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in before.items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    assert torch.equal(state, torch.get_rng_state())


def test_without_a_minimum_or_with_chains_that_diverge_the_outcome_says_so() -> None:
    trusted, asked = inputs(40, 1), inputs(6, 2)
    torch.manual_seed(0)
    untrained = Planted()
    quick = og.Fixed(kernel=og.SGLD(1e-4), num_chains=4, num_draws=100, num_warmup=100)
    steep = og.PosteriorConfig(nbeta=1000.0)
    found = og.anomaly(untrained, trusted, asked, og.losses.cross_entropy, sampler=quick, posterior=steep)
    assert str(found.outcome.values) == "not_a_minimum"
    wild = og.Fixed(kernel=og.SGLD(1e3), num_chains=2, num_draws=20, num_warmup=0)
    broken = og.anomaly(untrained, trusted, asked, lambda m, b: (m(b[0]) ** 4).sum(1), sampler=wild)
    assert str(broken.outcome.values) == "diverged"
    assert np.isnan(broken.score).all()
    assert np.isnan(broken.score_noise).all()
    assert np.isnan(broken.p_value).all()
    assert np.isfinite(broken.loss).all()
    far = og.Fixed(kernel=og.SGLD(1e38), num_chains=2, num_draws=3, num_warmup=1)
    loose = og.PosteriorConfig(localization=0.0)
    gone = og.anomaly(untrained, trusted, asked, lambda m, b: 0 * m(b[0]).sign().sum(1), sampler=far, posterior=loose)
    assert np.isnan(gone.score_noise).all()


def test_the_split_is_a_function_of_the_seed_alone() -> None:
    order = torch.randperm(40, generator=generator(3, "held out"))
    samples = Samples(torch.arange(40.0))
    halves = [samples.subset(part) for part in order.chunk(2)]
    assert sorted(float(x) for half in halves for x in half.take(torch.arange(20))) == list(range(40))


def test_sequences_are_scored_by_their_mean_over_positions() -> None:
    """Rivals of a language model against one pass over each sequence."""
    source = torch.Generator().manual_seed(0)
    shape = TransformerConfig(vocabulary_size=11, context_length=8, d_model=8, num_heads=2, num_layers=1)
    model = Transformer(shape, source)
    trusted, asked = torch.randint(0, 11, (27, 8), generator=source).split((24, 3))
    quick = og.Fixed(kernel=og.SGLD(1e-4), num_chains=2, num_draws=10, num_warmup=5)
    found = og.anomaly(model, trusted, asked, og.losses.next_token, sampler=quick, components=["L0H1"])
    assert found.component_score.dims == ("component", "suspect")
    best = model(asked).detach().topk(2).values
    np.testing.assert_allclose(found.margin, (best[..., 0] - best[..., 1]).mean(1), rtol=1e-4)
    for number, sequence in enumerate(asked):
        loss = og.losses.next_token(model, sequence[None]).mean()
        assert float(found.loss[number]) == pytest.approx(float(loss.detach()), rel=1e-5)
        gradient = torch.cat([each.flatten() for each in torch.autograd.grad(loss, list(model.parameters()))])
        assert float(found.gradient_norm[number]) == pytest.approx(float(gradient.norm()), rel=1e-4)
    assert (found.mahalanobis > 0).all()
