"""What a posterior asks of a loss at w*: refused by name where sampling would give a wrong number, and only there."""

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import Dataset

import ontogeny as og
from ontogeny.testing.cases import CASES, Case

X = torch.randn(60, 6, generator=torch.Generator().manual_seed(0))
Y = X[:, :1] + 0.5 * torch.randn(60, 1, generator=torch.Generator().manual_seed(1))


def layer(seed: int = 0) -> nn.Linear:
    torch.manual_seed(seed)
    return nn.Linear(6, 1)


class Built(nn.Module):
    """A layer, and a forward pass that is given from outside."""

    def __init__(self, forward: Callable[["Built", Tensor], Tensor], **more: nn.Module) -> None:
        super().__init__()
        self.layer, self.extra, self.run = layer(), nn.ModuleDict(more), forward

    def forward(self, x: Tensor) -> Tensor:
        return self.run(self, x)


OUTER = layer()
PROBED: dict[str, tuple[Callable[[], nn.Module], Any, str]] = {
    "noise": (lambda: Built(lambda m, x: m.layer(x) + torch.randn(len(x), 1)), og.losses.mse, "F.dropout"),
    "functional dropout": (lambda: Built(lambda m, x: m.layer(F.dropout(x, 0.5))), og.losses.mse, "F.dropout"),
    "noise of NumPy": (
        lambda: Built(lambda m, x: m.layer(x) * float(np.random.normal(1, 0.1))),  # noqa: NPY002
        og.losses.mse,
        "eval mode",
    ),
    "noise of Python": (
        lambda: layer(),
        lambda m, b: og.losses.mse(m, b) * random.uniform(0.9, 1.1),
        "eval mode",
    ),
    "batch norm without statistics": (
        lambda: nn.Sequential(layer(), nn.BatchNorm1d(1, track_running_stats=False)),
        og.losses.mse,
        r"1 \(BatchNorm1d\) has no running statistics",
    ),
    "norm of the batch": (lambda: layer(), lambda m, b: og.losses.mse(m, b) / b[0].std(), "beside it in a batch"),
    "contrast within the batch": (
        lambda: layer(),
        lambda m, b: F.cross_entropy(m(b[0]) @ m(b[0]).T, torch.arange(len(b[0])), reduction="none"),
        "beside it in a batch",
    ),
    "shapes that broadcast": (lambda: layer(), lambda m, b: (m(b[0]) - b[1][:, 0]).square(), r"squeeze\(1\)"),
    "a closure over a layer": (
        lambda: Built(lambda m, x, own=OUTER: own(x), own=OUTER),
        og.losses.mse,
        "first argument",
    ),
    "an outer model": (lambda: OUTER, lambda m, b: og.losses.mse(OUTER, b), "first argument"),
    "detached": (lambda: Built(lambda m, x: m.layer(x).detach()), og.losses.mse, "gradient for every sampled weight"),
    "a detached part": (
        lambda: Built(lambda m, x: m.extra["last"](m.layer(x).detach()), last=nn.Linear(1, 1)),
        og.losses.mse,
        "none for layer.weight, layer.bias, although the loss depends",
    ),
    "no_grad": (lambda: layer(), torch.no_grad()(og.losses.mse), "gradient for every sampled weight"),
    "a loss in steps": (lambda: layer(), lambda m, b: (m(b[0]) > 0).float()[:, 0] + 0 * m(b[0])[:, 0], "although"),
}


class Halved(torch.autograd.Function):
    """The identity, with half of its gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return gradients[0] / 2


def of_outputs(change: Callable[[Tensor], Tensor]) -> Callable[[nn.Module, Any], Tensor]:
    return lambda model, batch: (change(model(batch[0])) - batch[1]).square()[:, 0]


OTHER_GRADIENTS = {
    "a backward pass of another function": of_outputs(Halved.apply),
    "a detached weight": lambda m, b: og.losses.mse(m, b) * (1 + og.losses.mse(m, b).detach()),
    "reversed": of_outputs(lambda out: 2 * out.detach() - out),
}


@pytest.mark.parametrize("name", OTHER_GRADIENTS)
def test_a_gradient_that_is_not_that_of_the_loss_is_refused(name: str) -> None:
    with pytest.raises(og.InvalidArgument, match="times what it says"):
        og.LocalPosterior(layer(), (X, Y), OTHER_GRADIENTS[name])


@pytest.mark.parametrize("function", [F.relu, torch.abs, torch.tanh, lambda out: out.clamp(-0.5, 0.5), torch.round])
def test_kinks_and_steps_are_no_false_gradients(function: Callable[[Tensor], Tensor]) -> None:
    for seed in range(10):
        torch.manual_seed(seed)
        og.LocalPosterior(layer(), (X, Y), lambda m, b: (m(b[0]) + function(m(b[0])) - b[1]).square()[:, 0])


@pytest.mark.parametrize("draw", [random.random, lambda: float(torch.rand(())), lambda: float(np.random.rand())])  # noqa: NPY002
def test_randomness_that_is_rare_is_met(draw: Callable[[], float]) -> None:
    """Seen by the generators' states, and then looked for; numbers that are drawn and not used are no matter."""
    torch.manual_seed(0)
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002
    rare = lambda m, b: og.losses.mse(m, b) * (0.0 if draw() < 0.1 else 1.0)  # noqa: E731
    with pytest.raises(og.InvalidArgument, match="same losses from the same weights"):
        og.LocalPosterior(layer(), (X, Y), rare)
    og.LocalPosterior(layer(), (X, Y), lambda m, b: og.losses.mse(m, b) + 0 * draw())


def numpy_state() -> list[int]:
    return np.random.get_state(legacy=False)["state"]["key"].tolist()  # noqa: NPY002


@pytest.mark.parametrize("name", PROBED)
def test_a_loss_that_is_none_is_refused_with_what_to_write(name: str) -> None:
    make, loss, said = PROBED[name]
    model = make()
    state = torch.get_rng_state(), random.getstate(), numpy_state()
    with pytest.raises(og.InvalidArgument, match=said):
        og.LocalPosterior(model, (X, Y), loss)
    assert torch.equal(state[0], torch.get_rng_state())
    assert state[1:] == (random.getstate(), numpy_state())


def test_a_forward_that_was_replaced_from_outside_is_refused() -> None:
    model = nn.Sequential(layer())
    old = model.forward
    model.forward = lambda input: 2 * old(input)
    with pytest.raises(og.InvalidArgument, match=r"0\.bias, 0\.weight of your own module"):
        og.estimate_llc(model, (X, Y), og.losses.mse)


class Augmented(Dataset[tuple[Tensor, Tensor]]):
    """Samples with noise that is drawn when they are read."""

    def __len__(self) -> int:
        return len(X)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return X[index] + torch.randn(6), Y[index]


def test_data_that_are_others_each_time_are_refused() -> None:
    with pytest.raises(og.InvalidArgument, match=r"data.*second reading"):
        og.LocalPosterior(layer(), Augmented(), og.losses.mse)
    og.LocalPosterior(layer(), [Augmented()[i] for i in range(60)], og.losses.mse)


FINE: dict[str, Callable[[], nn.Module]] = {
    "dropout and batch norm": lambda: nn.Sequential(nn.Dropout(0.5), nn.BatchNorm1d(6), layer()),
    "instance norm": lambda: nn.Sequential(nn.Unflatten(1, (2, 3)), nn.InstanceNorm1d(2), nn.Flatten(), layer()),
    "weights that are not used": lambda: Built(lambda m, x: m.layer(x), unused=nn.Linear(2, 2)),
    "a reference of the same network": lambda: Built(lambda m, x: m.layer(x) + OUTER(x)),
    "weight norm": lambda: nn.utils.parametrizations.weight_norm(layer()),
}


@pytest.mark.parametrize("name", FINE)
def test_there_is_no_false_alarm(name: str) -> None:
    og.LocalPosterior(FINE[name](), (X, Y), og.losses.mse)


def test_an_exact_fit_is_no_loss_without_a_gradient() -> None:
    model = layer()
    with torch.no_grad():
        og.LocalPosterior(model, (X, model(X)), og.losses.mse)


def test_a_few_passes_of_a_few_samples_are_made() -> None:
    sizes = []

    def loss(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        sizes.append(len(batch[0]))
        return og.losses.mse(model, batch)

    og.LocalPosterior(layer(), (X, Y), loss)
    assert sum(sizes) <= 10 * 3


class Attends(nn.Module):
    """An encoder over padded tokens, which torch runs by another path where no gradients are wanted."""

    def __init__(self) -> None:
        super().__init__()
        block = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, dropout=0.0)
        self.embed, self.body, self.head = nn.Embedding(20, 8), nn.TransformerEncoder(block, 1), nn.Linear(8, 1)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.body(self.embed(tokens), src_key_padding_mask=tokens == 0).mean(1))


@pytest.mark.parametrize("part", [None, "head"])
def test_losses_at_the_center_take_the_path_of_those_away_from_it(part: str | None) -> None:
    torch.manual_seed(0)
    tokens = torch.randint(1, 20, (40, 8))
    tokens[::2, 4:] = 0
    model = Attends()
    posterior = og.LocalPosterior(model, (tokens, Y[:40]), og.losses.mse, restriction=part)
    with torch.enable_grad():
        expected = og.losses.mse(model.train(), (tokens, Y[:40])).detach()
    torch.testing.assert_close(posterior.center_losses(torch.arange(40)), expected, rtol=1e-4, atol=1e-5)
    into = torch.empty_like(posterior.center)[None]
    found = posterior.gradients(posterior.center[None], torch.arange(40), into, paired=False)
    assert found.item() == pytest.approx(float(expected.mean()), rel=1e-4)
    assert torch.backends.mha.get_fastpath_enabled()


def test_samples_without_a_finite_loss_are_named() -> None:
    targets = Y.clone()
    targets[[17, 40]] = torch.nan
    found = og.estimate_llc(layer(), (X, targets), og.losses.mse, budget=5000)
    assert found.outcome is og.Outcome.DIVERGED
    assert "samples 17, 40 (2 of 60)" in found.advice


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_there_is_no_false_alarm_on_known_truths(case: Case) -> None:
    target = case.target
    og.LocalPosterior(target.model(), target.data(), target.loss)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_no_alarm_on_the_rounding_of_a_large_network() -> None:
    """25 million weights in float32, 512 positions and a vocabulary of 50,257, by the loss that a user writes."""
    transformers = pytest.importorskip("transformers")
    shape = {"vocab_size": 50_257, "n_positions": 512, "n_embd": 320, "n_layer": 6, "n_head": 8}
    torch.manual_seed(0)
    model = transformers.GPT2LMHeadModel(transformers.GPT2Config(**shape))

    def loss(model: nn.Module, tokens: Tensor) -> Tensor:
        logits = model(tokens).logits[:, :-1].transpose(1, 2)
        return nn.functional.cross_entropy(logits, tokens[:, 1:], reduction="none").mean(1)

    tokens = torch.randint(shape["vocab_size"], (8, shape["n_positions"]))
    assert og.LocalPosterior(model, tokens, loss).num_parameters > 23_000_000
