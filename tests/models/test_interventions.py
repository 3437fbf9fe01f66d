"""The one intervention mechanism: it reads, it replaces, and it leaves nothing behind."""

import pytest
import torch
from torch import Tensor, nn

from ontogeny.core.errors import InvalidArgument
from ontogeny.models import Transformer, TransformerConfig, intervene, run_with_cache


class Pair(nn.Module):
    """Two layers, the second of which can be told to fail."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False)
        self.unused = nn.Linear(2, 2)
        with torch.no_grad():
            self.first.weight.copy_(torch.eye(2))
            self.second.weight.copy_(2 * torch.eye(2))
        self.fails = False

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        if self.fails:
            raise RuntimeError("the model failed")
        return self.second(x)


X = torch.tensor([[1.0, 3.0]])


def hooks(model: nn.Module) -> int:
    return sum(len(module._forward_hooks) for module in model.modules())


def fail(activation: Tensor) -> Tensor:
    raise ValueError("the function failed")


def test_an_activation_is_replaced_within_the_context_only() -> None:
    model = Pair()
    with intervene(model, {"first": lambda activation: activation + 1}) as inside:
        assert inside is model
        assert torch.equal(model(X), 2 * (X + 1))
    assert torch.equal(model(X), 2 * X)
    assert hooks(model) == 0


def test_none_leaves_the_activation() -> None:
    model, seen = Pair(), []
    with intervene(model, {"first": seen.append, "second": seen.append}):
        assert torch.equal(model(X), 2 * X)
    assert [activation.tolist() for activation in seen] == [X.tolist(), (2 * X).tolist()]


@pytest.mark.parametrize("fails", ["function", "model", "body"])
def test_everything_is_restored_whatever_raises(fails: str) -> None:
    model = Pair()
    model.fails = fails == "model"
    function = fail if fails == "function" else torch.zeros_like

    def body() -> None:
        with intervene(model, {"first": function, "second": torch.zeros_like}):
            assert hooks(model) == 2
            model(X)
            raise ValueError("the body failed")

    with pytest.raises((ValueError, RuntimeError), match=f"the {fails} failed"):
        body()
    assert hooks(model) == 0
    model.fails = False
    assert torch.equal(model(X), 2 * X)


def test_interventions_nest_and_apply_in_the_order_they_were_made() -> None:
    model = Pair()
    with intervene(model, {"first": lambda activation: activation + 1}):
        with intervene(model, {"first": lambda activation: activation * 10}):
            assert torch.equal(model(X), 2 * 10 * (X + 1))
        assert torch.equal(model(X), 2 * (X + 1))
    assert torch.equal(model(X), 2 * X)


def test_an_unknown_site_lists_the_nearest_before_anything_is_changed() -> None:
    config = TransformerConfig(vocabulary_size=5, context_length=4, d_model=8, num_heads=2)
    model = Transformer(config, torch.Generator())
    wrong = {"blocks.0.hook_resid_pre": torch.zeros_like, "blocks.0.attn.hook_patern": torch.zeros_like}
    told = r"'blocks\.0\.attn\.hook_patern'.*blocks\.0\.attn\.hook_pattern"
    with pytest.raises(InvalidArgument, match=told), intervene(model, wrong):
        pass
    assert hooks(model) == 0


def test_run_with_cache_gives_the_output_and_detached_activations() -> None:
    model = Pair()
    output, cache = run_with_cache(model, X, names=["second", "first"])
    assert torch.equal(output, 2 * X)
    assert list(cache) == ["first", "second"]  # in the order of the forward pass
    assert torch.equal(cache["first"], X)
    assert not any(activation.requires_grad for activation in cache.values())
    assert hooks(model) == 0
    assert list(run_with_cache(model, X, names="first")[1]) == ["first"]


def test_run_with_cache_requires_names() -> None:
    with pytest.raises(TypeError, match="names"):
        run_with_cache(Pair(), X)  # pyrefly: ignore[missing-argument]


def test_a_cached_activation_is_what_an_intervention_made_of_it() -> None:
    model = Pair()
    with intervene(model, {"first": lambda activation: activation + 1}):
        assert torch.equal(run_with_cache(model, X, names="first")[1]["first"], X + 1)


def test_ablating_a_head_takes_its_result_away() -> None:
    config = TransformerConfig(vocabulary_size=5, context_length=6, num_layers=1, d_model=8, num_heads=2)
    model = Transformer(config, torch.Generator().manual_seed(0))
    tokens = torch.tensor([[0, 3, 1, 4]])
    sites = ["blocks.0.hook_attn_out", "blocks.0.attn.hook_result"]
    before = run_with_cache(model, tokens, names=sites)[1]

    def without_head_one(z: Tensor) -> Tensor:
        return z * torch.tensor([1.0, 0.0])[:, None]

    with intervene(model, {"blocks.0.attn.hook_z": without_head_one}):
        after = run_with_cache(model, tokens, names=sites)[1]
    taken = before[sites[0]] - before[sites[1]][:, :, 1]
    torch.testing.assert_close(after[sites[0]], taken)
