"""The one weight restriction: names, globs, modules, unions."""

import difflib

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from ontogeny.core.errors import InvalidArgument
from ontogeny.core.restriction import components, restrict


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
    found = components(MODEL)
    assert set(NAMES) < set(found)
    assert {"embed", "blocks", "blocks.0", "blocks.1.attn", "blocks.0.mlp", "blocks.0.mlp.2"} < set(found)
    assert "unembed" not in found  # its only weight is the embedding's
    assert found["blocks.0.attn"].num_parameters == 12
    assert found["blocks.0"].num_parameters == 12 + 20 + 15
    assert found["scale"].num_parameters == 1
    for component in found.values():
        assert component.num_parameters == sum(SIZES[name] for name in component.tensors)


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


@given(st.lists(st.sampled_from(sorted(components(MODEL))), min_size=1, max_size=4))
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
    assert message.startswith("`component`: expected the name of a part of this model")
    assert repr(pattern.split(" | ")[-1]) in message
    assert "'blocks.0.attn'" in message.split("Write instead: ")[1]
    assert difflib.get_close_matches("blocks.0.attn", [message.split("'")[3]])


@pytest.mark.parametrize("pattern", ["", "scale |", "nothing.*"])
def test_a_pattern_that_frees_nothing_is_refused(pattern: str) -> None:
    with pytest.raises(InvalidArgument, match="which matches nothing"):
        restrict(MODEL, pattern)
