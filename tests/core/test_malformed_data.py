"""Malformed data of any kind give one line of our own that names the argument, or the right losses."""

import warnings
from typing import Any

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils.data import DataLoader

from ontogeny.core.errors import InvalidArgument
from ontogeny.core.losses import cross_entropy, mse, next_token, per_sample
from ontogeny.core.samples import Samples

ARGUMENTS = {"data", "num_samples", "batch", "model", "loss_fn"}
DTYPES = [
    *(torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.complex64),
    *(torch.int64, torch.int32, torch.int16, torch.uint8, torch.uint16, torch.bool),
]
NAMES = ["x", "inputs", "input_ids", "attention_mask", "labels", "label", "targets", "", 0, None]
KINDS = [
    "tuple",
    "list",
    "dict",
    "arrays",
    "lists",
    "rows",
    "dict rows",
    "row lists",
    "loader",
    "stream",
    "dict stream",
]
SCALE = 0.5
SHAPES = st.lists(st.integers(0, 4) | st.just(4), max_size=3).map(tuple)
# of the inputs, and of the targets as what it is, with a dimension more or less, or anything
PAIRS = SHAPES.flatmap(lambda x: st.tuples(st.just(x), st.sampled_from([x, x, x[:1], x[:-1], (*x, 1)]) | SHAPES))


class Elementwise(nn.Module):
    """Takes any shape: x to w·x, or tokens to logits of as many classes as it has weights."""

    def __init__(self, classes: int = 0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.linspace(SCALE, 1, classes) if classes else torch.tensor(SCALE))

    def forward(self, x: Tensor) -> Tensor:
        return x[..., None] * self.weight if self.weight.ndim else x * self.weight


def made(shape: tuple[int, ...], dtype: torch.dtype, broken: float | None, seed: int) -> Tensor:
    values = torch.randint(0, 3, shape, generator=torch.Generator().manual_seed(seed)).to(torch.float64)
    if broken is not None and values.numel() and dtype.is_floating_point:
        values.view(-1)[-1] = broken
    return values.to(dtype)


def wrapped(kind: str, x: Tensor, y: Tensor, names: tuple[Any, Any]) -> tuple[Any, bool]:
    """The two in data of a kind, and whether their number is to be said."""
    pairs = list(zip(x, y, strict=False)) if x.ndim and y.ndim else []
    dicts = [dict(zip(names, pair, strict=True)) for pair in pairs]
    match kind:
        case "arrays":
            return tuple(each.numpy() if each.dtype != torch.bfloat16 else each for each in (x, y)), False
        case "lists":
            return dict(zip(names, (x.tolist(), y.tolist()), strict=True)), False
        case "row lists":
            return [{name: value.tolist() for name, value in row.items()} for row in dicts], False
        case "loader":
            return DataLoader(pairs, 2), False  # pyrefly: ignore[bad-argument-type]
        case "stream":
            return iter([(x, y)]), True
        case "dict stream":
            return iter([dict(zip(names, (x, y), strict=True))]), True
    plain = {"tuple": (x, y), "list": [x, y], "dict": dict(zip(names, (x, y), strict=True)), "rows": pairs}
    return plain.get(kind, dicts), False


def loss_of(model: Any, loss_fn: Any, data: Any, num_samples: int | None) -> Tensor:
    samples = Samples(data, num_samples)
    count = len(samples)
    with torch.no_grad():
        whole = per_sample(loss_fn, model, samples.take(torch.arange(count)), count)
        apart = [per_sample(loss_fn, model, samples.take(torch.tensor([number])), 1) for number in range(count)]
    torch.testing.assert_close(torch.cat(apart), whole, equal_nan=True)
    return whole


@settings(max_examples=400)
@given(
    *(st.sampled_from(KINDS), PAIRS, st.sampled_from(DTYPES), st.sampled_from(DTYPES)),
    *(st.sampled_from([None, float("nan"), float("inf")]), st.sampled_from([mse, cross_entropy, next_token])),
    st.tuples(st.sampled_from(NAMES), st.sampled_from(NAMES)),
    st.sampled_from([None] * 5 + [0, 3, 4]),
)
@example("tuple", ((4, 1), (4,)), torch.float32, torch.float32, None, mse, ("x", "labels"), None)
@example("tuple", ((4, 2), (4, 2)), torch.float32, torch.bool, None, mse, ("x", "labels"), None)
@example("tuple", ((4, 2), (4, 2)), torch.float32, torch.float32, float("nan"), mse, ("x", "labels"), None)
@example("dict", ((4, 3), (4, 3)), torch.int64, torch.int64, None, next_token, ("input_ids", "labels"), None)
@example("tuple", ((4, 3), (4,)), torch.float32, torch.int32, None, cross_entropy, ("x", "labels"), None)
@example("dict rows", ((4, 3), (4, 3)), torch.float32, torch.float32, None, mse, ("x", "label"), None)
def test_data_are_refused_by_name_or_their_losses_are_right(
    kind: str,
    shapes: tuple[tuple[int, ...], tuple[int, ...]],
    x_dtype: torch.dtype,
    y_dtype: torch.dtype,
    broken: float | None,
    loss_fn: Any,
    names: tuple[Any, Any],
    num_samples: int | None,
) -> None:
    x_shape, y_shape = shapes
    x, y = made(x_shape, x_dtype, broken, 0), made(y_shape, y_dtype, broken, 1)
    if "row" in kind or kind == "loader":  # as many of each; one of each if they cannot be counted
        x, y = (x[: len(y)], y[: len(x)]) if x.ndim and y.ndim else (x[None], y[None])
    data, counted = wrapped(kind, x, y, names)
    model = Elementwise(5) if loss_fn is next_token else Elementwise()
    said = x_shape[0] if counted and num_samples is None and x_shape else num_samples
    found: Tensor | None = None
    refused: InvalidArgument | None = None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            found = loss_of(model, loss_fn, data, said)
    except InvalidArgument as error:
        refused = error
    if found is None:
        assert refused is not None
        assert refused.argument in ARGUMENTS
        assert "\n" not in str(refused)
        return
    parts = dict(zip(names if "dict" in kind or kind.endswith("lists") else ("x", "labels"), (x, y), strict=True))
    if loss_fn is next_token and "input_ids" not in parts:
        pytest.fail("tokens are alone, or named")
    torch.testing.assert_close(found.double(), direct(loss_fn, parts), rtol=2e-2, atol=2e-2, equal_nan=True)


def direct(loss_fn: Any, parts: dict[Any, Tensor]) -> Tensor:
    """The losses from their formulas, sample by sample, in 64 bits."""
    targets = next((parts[name] for name in ("labels", "label") if name in parts), None)
    (inputs, *_) = (parts["input_ids"],) if "input_ids" in parts else (v for k, v in parts.items() if v is not targets)
    found = []
    for number, row in enumerate(inputs.double()):
        if loss_fn is mse:
            assert targets is not None
            found.append((SCALE * row - targets[number].double()).square().sum())
        elif loss_fn is next_token:
            wanted = parts.get("labels", inputs)[number, 1:].long()
            losses = (
                -torch.outer(row, torch.linspace(SCALE, 1, 5).double()).log_softmax(-1)[:-1].gather(1, wanted[:, None])
            )
            mask = (
                parts["attention_mask"][number] != 0
                if "attention_mask" in parts and "labels" not in parts
                else row > -1
            )
            found.append(losses[:, 0][mask[1:] & mask[:-1]].mean())
        else:
            assert targets is not None
            found.append(of_classes(SCALE * row, targets[number]))
    return torch.stack(found)


def of_classes(logits: Tensor, label: Tensor) -> Tensor:
    """Cross-entropy of one sample, whose classes are last where they can be, else first."""
    if label.is_floating_point():
        return -(label.double() * logits.log_softmax(0)).sum()
    last = logits if logits.shape[:-1] == label.shape else logits.movedim(0, -1)
    return -last.log_softmax(-1).gather(-1, label.long()[..., None]).mean()
