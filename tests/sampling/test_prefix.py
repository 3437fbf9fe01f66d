"""Activations before the first free weight are computed once per sample, and change results by rounding only."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import ontogeny as og
from ontogeny.models import Transformer, TransformerConfig
from ontogeny.sampling import Reuse
from ontogeny.stores import ScratchFolder

NEVER = Reuse(memory=0)
SHAPE = TransformerConfig(vocabulary_size=40, context_length=12, num_layers=3, d_model=32, num_heads=2, d_mlp=64)
TOKENS = torch.randint(40, (60, 12), generator=torch.Generator().manual_seed(1))


def transformer() -> Transformer:
    return Transformer(SHAPE, torch.Generator().manual_seed(0))


HEAD, OTHER, LOWEST = (og.restrict(transformer(), head) for head in ("L2H1", "L2H0", "L0H1"))


def counting(model: Transformer) -> list[int]:
    """Samples that have gone through the first block of any copy of the model."""
    sizes: list[int] = []

    class Counted(nn.Identity):
        def forward(self, input: Tensor) -> Tensor:
            sizes.append(len(input))
            return input

    model.blocks[0].hook_resid_pre = Counted()  # type: ignore[assignment]
    return sizes


def drawn(posterior: og.LocalPosterior, **options: Any) -> Any:
    lengths: dict[str, Any] = {"num_chains": 2, "num_draws": 12, "num_warmup": 2} | options
    return og.sample(posterior, og.SGLD(1e-5), observables={"others": TOKENS[:9]}, **lengths)


def posteriors(reuses: list[Reuse], restriction: Any = HEAD, **settings: Any) -> Iterator[og.LocalPosterior]:
    for reuse in reuses:
        options: dict[str, Any] = {"nbeta": 20.0, "batch_size": 8} | settings
        yield og.LocalPosterior(
            transformer(), TOKENS, og.losses.next_token, restriction=restriction, reuse=reuse, **options
        )


def same(one: Any, other: Any) -> None:
    for name in ("posterior/loss_difference", "posterior/others", "sample_stats/virial", "sample_stats/loss_at_center"):
        np.testing.assert_allclose(one[name], other[name], rtol=1e-5, atol=1e-6, err_msg=name)
    assert one["posterior/loss_difference"].std() > 0


SLOW = pytest.mark.slow
OTHERS = [pytest.param(each, marks=SLOW) for each in ({"vectorized": True}, {})]


@pytest.mark.parametrize("options", [{"control_variate": True}, *OTHERS], ids=str)
def test_draws_are_those_without_it(options: dict[str, Any]) -> None:
    never, reused = posteriors([NEVER, Reuse()])
    assert reused.kept_activations == ("blocks.1",)
    assert never.kept_activations == ()
    same(drawn(never, **options), drawn(reused, **options))


def test_each_sample_goes_through_the_blocks_below_once() -> None:
    model = transformer()
    sizes = counting(model)
    posterior = og.LocalPosterior(model, TOKENS, og.losses.next_token, restriction=HEAD, batch_size=60, pass_size=60)
    before = sum(sizes)
    drawn(posterior, num_draws=30)
    assert sum(sizes) - before <= len(TOKENS) + 9
    whole = og.LocalPosterior(model, TOKENS, og.losses.next_token, restriction=LOWEST, batch_size=60, pass_size=60)
    before = sum(sizes)
    drawn(whole, num_draws=30)
    assert sum(sizes) - before > 30 * len(TOKENS)  # the control: nothing lies below the first block


def test_other_heads_of_the_layer_find_the_same_activations() -> None:
    model = transformer()
    sizes = counting(model)
    posterior = og.LocalPosterior(model, TOKENS, og.losses.next_token, restriction=HEAD, batch_size=60)
    drawn(posterior)
    before = sum(sizes)
    other = posterior.restricted(OTHER)
    drawn(other)
    assert sum(sizes) - before < len(TOKENS) / 2  # trial passes and the nine others
    assert other.kept_activations == posterior.kept_activations


@pytest.mark.parametrize("scratch", [pytest.param(False, marks=SLOW), True])
def test_what_exceeds_the_memory_is_spilt_or_computed_anew(scratch: bool, tmp_path: Path) -> None:
    few = 20 * 12 * 32 * 4  # bytes of twenty samples
    bounded = Reuse(few, ScratchFolder(tmp_path / "scratch") if scratch else None)
    never, reused = posteriors([NEVER, bounded])
    same(drawn(never), drawn(reused))
    assert reused.activation_bytes <= few
    assert list(tmp_path.rglob("*.part")) == []


class Branches(nn.Module):
    """A frozen branch beside the free one, an unused one, and one whose output is changed in place."""

    def __init__(self) -> None:
        super().__init__()
        self.free, self.beside, self.unread, self.out = (nn.Linear(100, 100) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        beside, _ = self.beside(x), self.unread(x)
        beside += torch.tanh(self.free(x))
        return self.out(beside)[:, :1]


def test_branches_are_kept_where_they_are_read() -> None:
    x = torch.randn(50, 100, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(0)
    model, results = Branches(), []
    for reuse in (NEVER, Reuse()):
        posterior = og.LocalPosterior(model, (x, x[:, :1]), og.losses.mse, restriction="free", reuse=reuse)
        results.append(og.sample(posterior, og.SGLD(1e-5), num_chains=2, num_draws=5, num_warmup=0, vectorized=False))
    assert posterior.kept_activations == ("beside",)
    np.testing.assert_allclose(*(each["posterior/loss_difference"] for each in results), rtol=1e-5, atol=1e-6)


class Detached(nn.Module):
    """Its gate depends on the free weights, but not by any path of gradients."""

    def __init__(self) -> None:
        super().__init__()
        self.free, self.gate = nn.Linear(100, 100), nn.Linear(100, 100)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.free(x)
        return (hidden * (self.gate(hidden.sign()) > 0)).sum(1, keepdim=True)


def test_what_depends_on_free_weights_without_gradients_is_not_reused() -> None:
    x = torch.randn(50, 100, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(0)
    posterior = og.LocalPosterior(Detached(), (x, x[:, :1]), og.losses.mse, restriction="free", probed=True)
    assert posterior.kept_activations == ()


def test_the_bound_is_a_number_of_bytes() -> None:
    with pytest.raises(og.InvalidArgument, match="memory"):
        Reuse(-1)
