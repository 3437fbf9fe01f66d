"""The one intervention mechanism: it reads, it replaces, and it leaves nothing behind."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest
import torch
import transformers
from torch import Tensor, nn
from transformers.modeling_outputs import BaseModelOutput

from ontogeny.core.errors import InvalidArgument
from ontogeny.models import Site, Transformer, TransformerConfig, heads, intervene, run_with_cache


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


class Named(NamedTuple):
    scale: float
    hidden: Tensor
    other: Tensor


@dataclass(frozen=True)
class Held:
    scale: float
    hidden: Tensor
    other: Tensor


class Returns(nn.Module):
    """A module whose inner module returns what `form` makes of its output."""

    def __init__(self, form: Callable[[Tensor], Any], read: Callable[[Any], Tensor]) -> None:
        super().__init__()
        self.inner, self.read = Inner(form), read

    def forward(self, x: Tensor) -> Tensor:
        return self.read(self.inner(x))


class Inner(nn.Module):
    def __init__(self, form: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.form = form

    def forward(self, x: Tensor) -> Any:
        return self.form(2 * x)


class Around(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, *inputs: Tensor) -> Any:
        return self.inner(*inputs)


@pytest.mark.parametrize(
    ("form", "read"),
    [
        (lambda x: (x, 3 * x), lambda output: output[0] + output[1]),
        (lambda x: [None, x, 3 * x], lambda output: output[1] + output[2]),
        (lambda x: Named(1.0, x, 3 * x), lambda output: output.hidden + output.other),
        (lambda x: {"hidden": x, "other": 3 * x}, lambda output: output["hidden"] + output["other"]),
        (lambda x: Held(1.0, x, 3 * x), lambda output: output.hidden + output.other),
        (lambda x: (None, (x, 3 * x)), lambda output: output[1][0] + output[1][1]),
        (lambda x: {"states": [x, 3 * x]}, lambda output: output["states"][0] + output["states"][1]),
        (
            lambda x: BaseModelOutput(last_hidden_state=x, attentions=(3 * x,)),
            lambda output: output.last_hidden_state + output[0] - output[0] + output.attentions[0],
        ),
    ],
    ids=["tuple", "list", "named tuple", "mapping", "dataclass", "in a tuple", "in a mapping", "transformers"],
)
def test_of_several_things_the_first_tensor_is_read_and_replaced(
    form: Callable[[Tensor], Any], read: Callable[[Any], Tensor]
) -> None:
    model = Returns(form, read)
    output, cache = run_with_cache(model, X, names="inner")
    torch.testing.assert_close(output, 8 * X)
    torch.testing.assert_close(cache["inner"], 2 * X)
    with intervene(model, {"inner": torch.zeros_like}):
        torch.testing.assert_close(model(X), 6 * X)
    with intervene(model, {"inner": lambda activation: None}):
        torch.testing.assert_close(model(X), 8 * X)


class InPlace(nn.Module):
    """A network that goes on to write into what a module returned."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        kept = self.inner(2 * x)
        kept += 1
        return kept


def test_what_is_kept_is_the_activation_as_it_was_when_its_module_ran() -> None:
    output, cache = run_with_cache(InPlace(), X, names="inner")
    assert torch.equal(cache["inner"], 2 * X)
    assert torch.equal(output, 2 * X + 1)


def test_modules_of_torch_and_transformers_that_return_tuples() -> None:
    lstm, attention = nn.LSTM(2, 3, batch_first=True), nn.MultiheadAttention(2, 1, batch_first=True)
    x = torch.ones(1, 4, 2)
    for model, inputs in ((lstm, (x,)), (attention, (x, x, x))):
        around = Around(model)
        output, cache = run_with_cache(around, *inputs, names="inner")
        assert torch.equal(cache["inner"], output[0])
        with intervene(around, {"inner": torch.zeros_like}):
            changed = around(*inputs)
        assert not changed[0].any()
        torch.testing.assert_close(changed[1], output[1])
    config = transformers.GPT2Config(vocab_size=5, n_embd=4, n_layer=1, n_head=2, n_positions=4)
    model, tokens = transformers.GPT2LMHeadModel(config).eval(), torch.tensor([[0, 1, 2]])
    encoded = {"input_ids": tokens, "attention_mask": torch.ones_like(tokens)}
    output, cache = run_with_cache(model, **encoded, names=["transformer.h.0.attn", "transformer"])
    assert cache["transformer.h.0.attn"].shape == cache["transformer"].shape == (1, 3, 4)
    with intervene(model, {"transformer": torch.zeros_like}):
        assert not model(tokens).logits.any()


def test_a_module_that_is_called_twice_is_not_cached_and_every_call_can_be_seen() -> None:
    model, seen = Pair(), []
    model.second = model.first
    with pytest.raises(InvalidArgument, match=r"'first', called again.*intervene\(model, \{'first': seen.append\}\)"):
        run_with_cache(model, X, names="first")
    assert hooks(model) == 0
    with intervene(model, {"first": seen.append}):
        model(X)
    assert len(seen) == 2


def test_a_module_that_returns_no_tensor_is_refused_by_name() -> None:
    model = Returns(lambda x: "text", lambda output: X)
    with pytest.raises(InvalidArgument, match="'inner', which returns str"):
        run_with_cache(model, X, names="inner")


def test_a_packed_sequence_is_read_and_replaced_by_its_data() -> None:
    lstm = Around(nn.LSTM(2, 3, batch_first=True))
    packed = nn.utils.rnn.pack_padded_sequence(torch.ones(2, 4, 2), torch.tensor([4, 2]), batch_first=True)
    output, cache = run_with_cache(lstm, packed, names="inner")
    assert torch.equal(cache["inner"], output[0].data)
    with intervene(lstm, {"inner": torch.zeros_like}):
        changed = lstm(packed)
    assert not changed[0].data.any()
    assert torch.equal(changed[0].batch_sizes, output[0].batch_sizes)
    torch.testing.assert_close(changed[1], output[1])


def test_a_function_that_returns_no_tensor_is_refused_by_name() -> None:
    model = Pair()
    with (
        pytest.raises(InvalidArgument, match="found float at 'first'"),
        intervene(model, {"first": lambda activation: 0.0}),  # pyrefly: ignore[bad-argument-type]
    ):
        model(X)
    assert hooks(model) == 0


def attention_only(num_layers: int = 2) -> Transformer:
    config = TransformerConfig(vocabulary_size=5, context_length=6, num_layers=num_layers, d_model=8, num_heads=2)
    return Transformer(config, torch.Generator().manual_seed(0))


class Keyword(nn.Module):
    """A module whose inner one is called with keywords."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = Pair()

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x=x)


@pytest.mark.parametrize("model", [Around(Pair()), Keyword()], ids=["by place", "by name"])
def test_inputs_are_read_and_replaced(model: nn.Module) -> None:
    seen: list[Tensor] = []
    with intervene(model, {Site("inner.second", "input"): seen.append, Site("inner", "input"): lambda x: x + 1}):
        assert torch.equal(model(X), 2 * (X + 1))
    assert torch.equal(seen[0], X + 1)
    assert not any(module._forward_pre_hooks for module in model.modules())
    assert torch.equal(model(X), 2 * X)


@pytest.mark.parametrize(("index", "shape"), [((1,), (1, 1)), (1, (1,)), ((1, 0), (1, 2)), (None, (1, 2))])
def test_places_are_read_and_written_and_all_others_stay(index: Any, shape: tuple[int, ...]) -> None:
    model, seen = Pair(), []

    def double(activation: Tensor) -> Tensor:
        seen.append(activation)
        return 2 * activation

    with intervene(model, {Site("first", "output", -1, index): double}):
        found = model(X)
    assert seen[0].shape == shape
    assert torch.equal(found, 2 * X * torch.tensor([2.0 if index in ((1, 0), None) else 1.0, 2.0]))
    wrong = intervene(model, {Site("first", "output", -1, (1,)): lambda activation: activation[:, :0]})
    with pytest.raises(InvalidArgument, match=r"values of shape \(1, 1\).*found \(1, 0\)"), wrong:
        model(X)


def test_components_go_by_their_names() -> None:
    model, tokens = attention_only(), torch.tensor([[0, 3, 1, 4]])
    names = {"L1": "blocks.1", "L1.attn": "blocks.1.attn", "L0.norm1": "blocks.0.ln1", "embed": "embed"}
    _, cache = run_with_cache(model, tokens, names=[*names, *names.values(), "L1H1", "blocks.1.attn.hook_z"])
    for name, path in names.items():
        assert torch.equal(cache[name], cache[path])
    assert torch.equal(cache["L1H1"], cache["blocks.1.attn.hook_z"][:, :, 1])
    for wrong, near in (("L1H2", "'L1H1'"), ("L2.attn", "'L1.attn'"), ("L0.mlp", "'L0"), ("blocks.3", "'blocks.1'")):
        with pytest.raises(InvalidArgument, match=f"found '{wrong}'.*{near}"), intervene(model, {wrong: fail}):
            pass
    assert hooks(model) == 0


def test_patching_a_path_is_two_functions_on_a_batch_of_worlds() -> None:
    """From head 0 of layer 0 to the keys of head 1 of layer 1, against the same by weights and activations by hand."""
    model = attention_only()
    clean, other = torch.tensor([[0, 3, 1, 4]]), torch.tensor([[2, 3, 0, 1]])
    receiver = next(head for head in heads(model) if head.name == "L1H1").key.site
    assert receiver is not None

    # worlds: the clean run, the other run, clean but for the sender, clean but for what the receiver hears of it
    def send(z: Tensor) -> Tensor:
        return torch.stack([z[0], z[1], z[1], z[3]])

    def receive(keys: Tensor) -> Tensor:
        return torch.stack([keys[0], keys[1], keys[2], keys[2]])

    with torch.no_grad(), intervene(model, {"L0H0": send, receiver: receive}):
        *_, found = model(torch.cat([clean, other, clean, clean]))
    with torch.no_grad():
        sent = run_with_cache(model, other, names="L0H0")[1]["L0H0"]
        with intervene(model, {"L0H0": lambda z: sent}):
            received = run_with_cache(model, clean, names=receiver)[1][receiver]
        with intervene(model, {receiver: lambda keys: received}):
            expected = model(clean)[0]
        assert (expected - model(clean)[0]).abs().max() > 1e-3
    torch.testing.assert_close(found, expected)
