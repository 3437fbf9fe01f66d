"""The one weight restriction: names, globs, modules, unions."""

import difflib

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from ontogeny.core.errors import InvalidArgument
from ontogeny.core.restriction import (
    Component,
    Restriction,
    Slice,
    matching,
    modules_and_parameters,
    picked,
    placed,
    shapes_of,
)


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attn = nn.Linear(3, 3)
        self.mlp = nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 3, bias=False))


class Network(nn.Module):
    """Two blocks between an embedding and an unembedding that are tied."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(7, 3)
        self.blocks = nn.ModuleList([Block(), Block()])
        self.unembed = nn.Linear(3, 7, bias=False)
        self.unembed.weight = self.embed.weight
        self.scale = nn.Parameter(torch.tensor(1.0))


MODEL = Network()
NAMES = [name for name, _ in MODEL.named_parameters()]
SIZES = {name: tensor.numel() for name, tensor in MODEL.named_parameters()}


def test_components_are_modules_and_parameters_with_their_sizes() -> None:
    found = modules_and_parameters(MODEL)
    assert set(NAMES) < set(found)
    assert {"embed", "blocks", "blocks.0", "blocks.1.attn", "blocks.0.mlp", "blocks.0.mlp.2"} < set(found)
    assert found["unembed"].tensors == found["embed"].tensors == ("embed.weight",)  # tied: one parameter
    assert found["blocks.0.attn"].num_parameters == 12
    assert found["blocks.0"].num_parameters == 12 + 20 + 15
    assert found["scale"].num_parameters == 1
    for component in found.values():
        assert component.num_parameters == sum(SIZES[name] for name in component.tensors)


def restrict(model: nn.Module, pattern: str) -> Restriction:
    return matching(pattern, modules_and_parameters(model), shapes_of(model))


@pytest.mark.parametrize(
    ("pattern", "free"),
    [
        ("scale", ["scale"]),
        ("blocks.0.attn", ["blocks.0.attn.weight", "blocks.0.attn.bias"]),
        ("blocks.0.attn | scale", ["scale", "blocks.0.attn.weight", "blocks.0.attn.bias"]),
        ("scale|scale", ["scale"]),
        ("*.bias", [name for name in NAMES if name.endswith("bias")]),
        ("blocks.?.mlp.2.weight", ["blocks.0.mlp.2.weight", "blocks.1.mlp.2.weight"]),
        ("*", NAMES),
        ("blocks | embed | scale", NAMES),
        ("unembed", ["embed.weight"]),
        ("blocks.0 - blocks.0.mlp", ["blocks.0.attn.weight", "blocks.0.attn.bias"]),
        ("* - blocks | blocks.1.attn", ["embed.weight", "scale", "blocks.1.attn.weight", "blocks.1.attn.bias"]),
        ("~blocks", ["embed.weight", "scale"]),
        ("~blocks - ~scale", ["scale"]),
        ("scale - *", []),
    ],
)
def test_a_pattern_frees_the_parameters_it_names(pattern: str, free: list[str]) -> None:
    assert sorted(restrict(MODEL, pattern).free) == sorted(free)


def test_masks_are_true_on_the_free_coordinates_alone() -> None:
    restriction = restrict(MODEL, "blocks.1.mlp | embed")
    masks = restriction.masks()
    assert list(masks) == NAMES
    for name, tensor in MODEL.named_parameters():
        assert masks[name].dtype == torch.bool
        assert masks[name].shape == tensor.shape
        assert bool(masks[name].all()) == bool(masks[name].any()) == (name in restriction.free)


@given(st.lists(st.sampled_from(sorted(modules_and_parameters(MODEL))), min_size=1, max_size=4))
def test_a_bar_unites_in_any_order(terms: list[str]) -> None:
    united = restrict(MODEL, " | ".join(terms))
    assert set(united.free) == {name for term in terms for name in restrict(MODEL, term).free}
    assert united.free == restrict(MODEL, "|".join(reversed(terms))).free
    assert list(united.free) == [name for name in NAMES if name in united.free]


@pytest.mark.parametrize("pattern", ["blocks.0.atn", "blocks.0.attn | blocks.0.atn", "block.0.attn"])
def test_a_misspelt_component_is_named_with_the_nearest_that_exist(pattern: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        restrict(MODEL, pattern)
    message = str(caught.value)
    assert message.startswith("`component`: expected the name of a component of this model")
    assert repr(pattern.split(" | ")[-1]) in message
    assert "'blocks.0.attn'" in message.split("Write instead: ")[1]
    assert difflib.get_close_matches("blocks.0.attn", [message.split("'")[3]])


@pytest.mark.parametrize("pattern", ["", "scale |", "nothing.*"])
def test_a_pattern_that_frees_nothing_is_refused(pattern: str) -> None:
    with pytest.raises(InvalidArgument, match="which matches nothing"):
        restrict(MODEL, pattern)


SHAPES = {"first": (4, 6), "second": (5,), "third": (2, 3, 4)}
PARTS = {
    "rows": Component("rows", {"first": Slice(0, (1, 3)), "second": None}, 17),
    "columns": Component("columns", {"first": Slice(1, (0, 5)), "third": Slice(2, (1,))}, 14),
    "units": Component("units", {"first": Slice(1, (0, 3, 1, 4, 2, 5)), "third": Slice(1, (2, 0, 1))}, 48, 3),
}


def test_slices_lie_along_any_axis() -> None:
    masks = matching("rows", PARTS, SHAPES).masks()
    assert masks["first"].tolist() == [[row in (1, 3)] * 6 for row in range(4)]
    assert masks["second"].all()
    masks = matching("columns", PARTS, SHAPES).masks()
    assert masks["first"].tolist() == [[column in (0, 5) for column in range(6)]] * 4
    assert masks["third"].tolist() == [[[place == 1 for place in range(4)]] * 3] * 2
    assert {name: int(mask.sum()) for name, mask in masks.items()} == {"first": 8, "second": 0, "third": 6}


def test_units_take_their_entries_of_every_slice() -> None:
    taken = PARTS["units"].take(1, 3)
    assert taken.slices == {"first": Slice(1, (1, 4, 2, 5)), "third": Slice(1, (0, 1))}
    assert (taken.name, taken.num_parameters, taken.units) == ("units[1:3]", 32, 2)
    one, rest, whole = (matching(text, PARTS, SHAPES).masks() for text in ("units[:1]", "units[1:]", "units"))
    assert all(torch.equal(one[name] ^ rest[name], whole[name]) for name in SHAPES)


@given(st.lists(st.sampled_from(["rows", "columns", "units", "~rows", "~columns", "second"]), min_size=2, max_size=4))
def test_slices_obey_the_algebra_of_sets(terms: list[str]) -> None:
    each = [matching(term, PARTS, SHAPES).masks() for term in terms]
    united = matching(" | ".join(terms), PARTS, SHAPES)
    less = matching(" - ".join(terms), PARTS, SHAPES).masks()
    for name in SHAPES:
        assert torch.equal(united.masks()[name], torch.stack([one[name] for one in each]).any(0))
        others = torch.stack([one[name] for one in each[1:]]).any(0)
        assert torch.equal(less[name], each[0][name] & ~others)
        assert (name in united.free) == bool(united.masks()[name].any())
        if name in united.free and united.indices[name] is None:
            assert united.masks()[name].all()


def test_free_coordinates_are_placed_and_picked_with_their_gradients() -> None:
    restriction = matching("rows | columns", PARTS, SHAPES)
    noise = torch.Generator().manual_seed(0)
    centers = {name: torch.randn(shape, generator=noise) for name, shape in SHAPES.items()}
    before = {name: center.clone() for name, center in centers.items()}
    assert restriction.free == ("first", "second", "third")
    for name, index in restriction.indices.items():
        values = torch.randn(picked(centers[name], index).shape, generator=noise).requires_grad_()
        mask, tensor = restriction.masks()[name], placed(centers[name], index, values)
        assert torch.equal(picked(tensor, index), values)
        assert torch.equal(tensor[~mask], centers[name][~mask])
        weights = torch.randn(tensor.shape, generator=noise)
        (gradient,) = torch.autograd.grad((tensor * weights).sum(), values)
        assert torch.equal(gradient, picked(weights, index))
        assert torch.equal(centers[name], before[name])
