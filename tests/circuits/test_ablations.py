"""Ablations against activations replaced by hand; the model comes back bit for bit."""

from typing import Any

import pytest
import torch
from tests.models.families import network
from torch import Tensor, nn

from ontogeny import circuits
from ontogeny.circuits import Replacement
from ontogeny.core.errors import InvalidArgument
from ontogeny.models import Transformer, TransformerConfig, intervene, run_with_cache

TOKENS = torch.randint(11, (4, 7), generator=torch.Generator().manual_seed(0))
OTHER = torch.randint(11, (6, 7), generator=torch.Generator().manual_seed(1))
Z = "blocks.1.attn.hook_z"


@pytest.fixture(scope="module")
def model() -> Transformer:
    shape: dict[str, Any] = {"vocabulary_size": 11, "context_length": 9, "d_model": 12, "num_heads": 3, "d_mlp": 20}
    return Transformer(TransformerConfig(**shape), torch.Generator().manual_seed(0))


@torch.no_grad()
def run(model: nn.Module, tokens: Tensor = TOKENS) -> Tensor:
    return model(tokens)


def with_z(model: Transformer, head: int, new: Tensor) -> Tensor:
    """Logits with another z of one head of layer 1."""

    def change(z: Tensor) -> Tensor:
        z = z.clone()
        z[:, :, head] = new
        return z

    with intervene(model, {Z: change}):
        return run(model)


@pytest.fixture(scope="module")
def z(model: Transformer) -> Tensor:
    return run_with_cache(model, TOKENS, names=Z)[1][Z][:, :, 2]


@pytest.fixture(scope="module")
def elsewhere(model: Transformer) -> Tensor:
    return run_with_cache(model, OTHER, names=Z)[1][Z][:, :, 2]


def test_a_head_at_zero_and_at_its_mean(model: Transformer, z: Tensor, elsewhere: Tensor) -> None:
    with circuits.ablate(model, "L1H2"):
        assert torch.equal(run(model), with_z(model, 2, torch.zeros(())))
    with circuits.ablate(model, "L1H2", "mean"):
        assert torch.equal(run(model), with_z(model, 2, z.mean((0, 1))))
    with circuits.ablate(model, "L1H2", Replacement("mean", reference=OTHER)):
        assert torch.equal(run(model), with_z(model, 2, elsewhere.mean((0, 1))))


def test_resampling_takes_another_sequence_of_the_batch_or_of_a_reference(
    model: Transformer, z: Tensor, elsewhere: Tensor
) -> None:
    seen: list[Tensor] = []
    with circuits.ablate(model, "L1H2", "resample"), intervene(model, {"L1H2": seen.append}):
        found = run(model)
    assert torch.equal(found, with_z(model, 2, seen[0]))
    sources = [next(number for number, each in enumerate(z) if torch.equal(each, new)) for new in seen[0]]
    assert sorted(sources) == [0, 1, 2, 3]
    assert all(source != number for number, source in enumerate(sources))
    with (
        circuits.ablate(model, "L1H2", Replacement("resample", reference=OTHER)),
        intervene(model, {"L1H2": seen.append}),
    ):
        run(model)
    assert all(any(torch.equal(each, new) for each in elsewhere) for new in seen[1])
    with circuits.ablate(model, "L1H2", "resample"):
        assert torch.equal(run(model), found)
        with pytest.raises(InvalidArgument, match="another sequence of the same length"):
            run(model, TOKENS[:1])


def test_all_parts_are_resampled_from_the_same_sequences_of_the_reference(model: Transformer) -> None:
    """So that ablating the embedding and layer 0 is running on those sequences: they hold all that tokens decide."""
    with circuits.ablate(model, ["embed", "L0"], Replacement("resample", reference=OTHER, seed=5)):
        found = run(model)
    known = run(model, OTHER)
    for each in found:
        assert min(float((each - other).abs().max()) for other in known) < 1e-5


def test_positions(model: Transformer, z: Tensor) -> None:
    new = z.clone()
    new[:, [2, 6]] = 0
    with circuits.ablate(model, "L1H2", Replacement("zero", positions=[2, -1])):
        assert torch.equal(run(model), with_z(model, 2, new))
    new = z.clone()
    new[:, 3] = z.mean((0, 1))
    with circuits.ablate(model, "L1H2", Replacement("mean", positions=range(3, 4))):
        assert torch.equal(run(model), with_z(model, 2, new))


def test_layers_attentions_and_mlps(model: Transformer) -> None:
    """A layer that is ablated passes the stream on; parts that together are all of it do the same."""
    stream = "blocks.1.hook_resid_pre"
    before = run_with_cache(model, TOKENS, names=stream)[1][stream]
    with torch.no_grad():
        expected = model.unembed(model.ln_final(before))
    for parts in ("L1", ["L1.attn", "L1.mlp"], ["blocks.1.hook_attn_out", "blocks.1.hook_mlp_out"]):
        with circuits.ablate(model, parts):
            torch.testing.assert_close(run(model), expected)
    with circuits.ablate(model, ["L1H0", "L1H1", "L1H2", "L1.mlp"]):  # the attention's bias stays, which is zero here
        torch.testing.assert_close(run(model), expected)
    attention_only = Transformer(model.config.model_copy(update={"d_mlp": 0}), torch.Generator().manual_seed(0))
    with circuits.ablate(attention_only, "L0"):
        run(attention_only)


@pytest.mark.parametrize("how", ["zero", "mean", "resample"])
@pytest.mark.parametrize("part", ["L0H1", "L1", "L0.attn", "L1.mlp", "embed"])
def test_every_ablation_changes_the_network_and_restores_it_bit_for_bit(
    model: Transformer, part: str, how: Any
) -> None:
    before, weights = run(model), {name: each.clone() for name, each in model.state_dict().items()}
    random = torch.get_rng_state()
    with circuits.ablate(model, part, how):
        assert not torch.allclose(run(model), before, atol=1e-4)
    with pytest.raises(ZeroDivisionError), circuits.ablate(model, part, how):
        raise ZeroDivisionError
    assert torch.equal(run(model), before)
    assert all(torch.equal(each, weights[name]) for name, each in model.state_dict().items())
    assert not any(each._forward_hooks or each._forward_pre_hooks for each in model.modules())
    assert torch.equal(torch.get_rng_state(), random)


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_families(name: str) -> None:
    model = network(name)[0]
    before = model(TOKENS).logits
    for part in ("L1H2", "L0", "L1.mlp"):
        with circuits.ablate(model, part, "mean"):
            assert not torch.allclose(model(TOKENS).logits, before, atol=1e-4)
    assert torch.equal(model(TOKENS).logits, before)
