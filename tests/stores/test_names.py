"""Every parameter is filled or named; prefixes are dropped by one rule; constants may be there or not."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ontogeny.core.errors import InvalidArgument
from ontogeny.stores import load_into


class Attention(nn.Module):
    """A layer that keeps a causal mask, as a buffer of its state dict, of the module alone, or not at all."""

    def __init__(self, mask: str = "none") -> None:
        super().__init__()
        self.proj = nn.Linear(4, 4)
        if mask != "none":
            self.register_buffer("bias", torch.tril(torch.ones(8, 8)).view(1, 1, 8, 8), persistent=mask == "persistent")
            self.register_buffer("inv_freq", 100.0 ** -torch.linspace(0, 1, 4), persistent=mask == "persistent")


Weights = dict[str, Tensor]
Change = Callable[[Weights], Weights]


def without(name: str) -> Change:
    return lambda weights: {each: tensor for each, tensor in weights.items() if each != name}


def with_entry(name: str, tensor: Tensor) -> Change:
    return lambda weights: weights | {name: tensor}


def prefixed(first: str, second: str) -> Change:
    return lambda weights: {(first if "weight" in name else second) + name: t for name, t in weights.items()}


def loaded(weights: Weights, model: Any) -> Any:
    load_into(model, weights)
    return model


@pytest.mark.parametrize("mask", ["none", "computed", "persistent"])
@pytest.mark.parametrize("prefix", ["", "module.", "model.attn."])
def test_masks_and_frequencies_in_a_file_are_no_obstacle(mask: str, prefix: str) -> None:
    saved = Attention("persistent")
    weights = {prefix + name: tensor for name, tensor in saved.state_dict().items()}
    model = loaded(weights, Attention(mask))
    assert torch.equal(model.proj.weight, saved.proj.weight)


@pytest.mark.parametrize(
    ("name", "tensor"),
    [
        ("masked_bias", torch.tensor(-1e4)),
        ("mask", torch.full((5, 5), float("-inf")).triu(1)),
        ("tril", torch.ones(5, 5, dtype=torch.bool).tril()),
        ("embeddings.position_ids", torch.arange(5)[None]),
        ("bn.num_batches_tracked", torch.tensor(3)),
        ("rotary_emb.inv_freq", torch.tensor([1.0, 0.1, 0.01])),
    ],
)
def test_other_constants_are_left_out(name: str, tensor: Tensor) -> None:
    loaded(Attention().state_dict() | {name: tensor}, Attention())


@pytest.mark.parametrize(
    ("name", "tensor"),
    [
        ("bias", torch.randn(4)),
        ("mask", torch.randn(5, 5)),
        ("masked_bias", torch.randn(4)),
        ("head.weight", torch.randn(4)),
        ("inv_freq", torch.tensor([0.1, 1.0])),
    ],
)
def test_what_is_no_constant_is_named(name: str, tensor: Tensor) -> None:
    with pytest.raises(InvalidArgument, match=rf"unexpected keys: {name}"):
        loaded(Attention().state_dict() | {name: tensor}, Attention())


def test_frequencies_that_the_module_computes_otherwise_are_named() -> None:
    with pytest.raises(InvalidArgument, match="unexpected keys: inv_freq"):
        loaded(Attention().state_dict() | {"inv_freq": 1000.0 ** -torch.linspace(0, 1, 4)}, Attention("computed"))
    short = (100.0 ** -torch.linspace(0, 1, 4)).bfloat16()  # of a file in half precision
    loaded(Attention().state_dict() | {"inv_freq": short}, Attention("computed"))


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (without("proj.weight"), "missing keys: proj.weight"),
        (with_entry("proj.scale", torch.ones(4)), "unexpected keys: proj.scale"),
        (with_entry("proj.bias", torch.ones(3)), "different shapes: proj.bias (3,) in the file and (4,) in the mod"),
        (with_entry("proj.bias", torch.ones(4).char()), "different kinds of numbers: proj.bias torch.int8"),
        (prefixed("a.", "b."), "missing keys: proj.weight, proj.bias; unexpected keys: a.proj.weight, b.proj.bias"),
        (lambda weights: prefixed("a.", "a.")(weights) | {"head": torch.ones(1)}, "a.proj.weight, a.proj.bias, head"),
    ],
)
def test_whatever_does_not_fit_is_named_and_the_module_is_left_alone(change: Change, found: str) -> None:
    model = Attention()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(InvalidArgument) as raised:
        load_into(model, change(dict(Attention().state_dict())), argument="model_fn", of="step 3")
    assert str(raised.value).startswith("`model_fn`: expected a module that fits the weights of step 3, found ")
    assert found in raised.value.found
    assert raised.value.instead
    assert "\n" not in str(raised.value)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_a_buffer_that_the_file_lacks_is_named_and_the_advice_works() -> None:
    weights = Attention().state_dict()
    with pytest.raises(InvalidArgument, match=r"missing keys: bias, inv_freq.*persistent=False"):
        loaded(weights, Attention("persistent"))
    loaded(weights, Attention("computed"))


def test_running_statistics_are_not_left_at_their_first_values() -> None:
    weights = without("running_var")(nn.BatchNorm1d(3).state_dict())
    with pytest.raises(InvalidArgument, match="missing keys: running_var"):
        loaded(weights, nn.BatchNorm1d(3))
    loaded(without("num_batches_tracked")(nn.BatchNorm1d(3).state_dict()), nn.BatchNorm1d(3))


class Tied(nn.Module):
    def __init__(self, tied: bool = True) -> None:
        super().__init__()
        self.embed, self.out = nn.Embedding(5, 3), nn.Linear(3, 5, bias=False)
        if tied:
            self.out.weight = self.embed.weight


def test_one_tied_weight_with_two_values_is_refused() -> None:
    with pytest.raises(InvalidArgument, match=r"differ in the file: embed\.weight and out\.weight"):
        loaded(Tied(tied=False).state_dict(), Tied())
    loaded(Tied().state_dict(), Tied(tied=False))


def test_a_weight_that_was_tied_does_not_fill_two_that_are_not() -> None:
    with pytest.raises(InvalidArgument, match=r"missing keys: out\.weight"):
        loaded(without("out.weight")(Tied().state_dict()), Tied(tied=False))


class Kept(nn.Linear):
    """A layer that keeps something that is no tensor in its state dict."""

    def get_extra_state(self) -> dict[str, int]:
        return {"amax": 3}

    def set_extra_state(self, state: dict[str, int]) -> None:
        self.amax = state


def test_what_modules_keep_beside_tensors_is_no_obstacle() -> None:
    weights = {name: tensor for name, tensor in Kept(2, 2).state_dict().items() if isinstance(tensor, Tensor)}
    assert torch.equal(loaded(weights, Kept(2, 2)).weight, weights["weight"])


def test_both_of_a_module_and_its_compiled_self_are_taken_as_they_stand() -> None:
    inner = nn.Linear(2, 2)
    pair = nn.ModuleDict({"plain": inner, "_orig_mod": nn.ModuleDict({"plain": nn.Linear(2, 2)})})
    assert torch.equal(loaded(pair.state_dict(), pair)["plain"].weight, inner.weight)
