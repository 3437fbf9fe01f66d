"""Networks and files as their libraries wrap them: the loss at w* is the network's own, and w* is what was saved.

Instances by kind of situation, beside those of `test_inputs.py`, `tests/sampling` and the rooms' `test_advice.py`:
copies (old and new norms, pruning), losses that answer (`compiled`, `scripted`, `DataParallel`), purity
(`Counting`), passes without a batching rule (`Doubled`), and layouts of checkpoints.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize, prune, spectral_norm

import ontogeny as og
from ontogeny.stores import load_into

X = torch.randn(40, 3, generator=torch.Generator().manual_seed(0))
Y = (X[:, 0] > 0).long()


def linear() -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(3, 2)


class Scaled(nn.Module):
    """A parametrization."""

    def forward(self, weight: Tensor) -> Tensor:
        return 2 * weight


class Counting(nn.Module):
    """Counts its passes in a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = linear()
        self.passes: Tensor
        self.register_buffer("passes", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.passes += 1
        return self.linear(x)


class Doubling(torch.autograd.Function):
    """Without a rule for several weights at once."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return 2 * x

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return 2 * gradients[0]


class Doubled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = linear()

    def forward(self, x: Tensor) -> Tensor:
        return Doubling.apply(self.linear(x))


class ByName(nn.Module):
    """Takes whatever a batch has, by name."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = linear()

    def forward(self, **batch: Tensor) -> Tensor:
        return self.linear(batch["x"])


class Listed(nn.Module):
    """Keeps its weight in a plain list, and reads it from there."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = linear()
        self.weights = [self.linear.weight]

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.linear(x, self.weights[0], self.linear.bias)


def parametrized() -> nn.Module:
    model = linear()
    parametrize.register_parametrization(model, "weight", Scaled())
    return model


def trained_norm(norm: Callable[[nn.Module], nn.Module]) -> nn.Module:
    model = nn.Sequential(norm(linear()))
    model(X)  # a step of power iteration
    return model


NETWORKS: dict[str, Callable[[], Any]] = {
    "DataParallel": lambda: nn.DataParallel(linear()),
    "parametrized": parametrized,
    "old spectral norm": lambda: trained_norm(spectral_norm),
    "spectral norm": lambda: trained_norm(parametrizations.spectral_norm),
    "orthogonal": lambda: parametrizations.orthogonal(linear()),
    "pruned": lambda: prune.random_unstructured(linear(), "weight", 0.5),
    "compiled": lambda: torch.compile(linear(), backend="eager"),
    "scripted": lambda: torch.jit.script(linear()),
    "traced": lambda: torch.jit.trace(linear(), X[:2]),
    "counting": Counting,
    "no batching rule": Doubled,
    "by name": ByName,
    "listed": Listed,
    "averaged": lambda: torch.optim.swa_utils.AveragedModel(linear()),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", NETWORKS)
def test_the_loss_at_the_center_is_that_of_the_network_and_the_chains_move(name: str) -> None:
    model = NETWORKS[name]().eval()
    with torch.no_grad():
        outputs = model(x=X) if name == "by name" else model(X)
    expected = nn.functional.cross_entropy(outputs, Y, reduction="none").mean()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    data: Any = {"x": X, "labels": Y} if name == "by name" else (X, Y)
    posterior = og.LocalPosterior(model, data, og.losses.cross_entropy, nbeta=3.0)
    draws = og.sample(posterior, og.SGLD(1e-3), num_chains=2, num_draws=4, num_warmup=0)
    torch.testing.assert_close(posterior.center_losses(torch.arange(40)).mean().float(), expected)
    losses: Any = draws["sample_stats"]["loss"]
    assert len(np.unique(losses)) > 4
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


def prefixed(prefix: str) -> dict[str, Tensor]:
    return {prefix + name: tensor for name, tensor in linear().state_dict().items()}


def both_kinds(folder: Path) -> None:
    (folder / "checkpoint-3").mkdir()
    save_file(linear().state_dict(), folder / "checkpoint-3" / "model.safetensors")
    torch.save({name: 0 * tensor for name, tensor in prefixed("").items()}, folder / "checkpoint-3/pytorch_model.bin")


FILES: dict[str, Callable[[Path], Any]] = {
    "compiled in DDP": lambda folder: torch.save(prefixed("module._orig_mod."), folder / "model_3.pt"),
    "DDP compiled": lambda folder: torch.save({"model": prefixed("_orig_mod.module.")}, folder / "model_3.pt"),
    "EMA of its own name": lambda folder: torch.save({"ema_model": prefixed("ema_model.")}, folder / "model_3.pt"),
    "ImageNet's": lambda folder: torch.save(
        {"epoch": 3, "state_dict": prefixed("module."), "optimizer": {}}, folder / "checkpoint_3.pth.tar"
    ),
    "averaged": lambda folder: torch.save(
        torch.optim.swa_utils.AveragedModel(linear()).state_dict(), folder / "model_3.pt"
    ),
    "both kinds": both_kinds,
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_loaded_as_it_was_saved(name: str, tmp_path: Path) -> None:
    FILES[name](tmp_path)
    run = og.open_checkpoints(tmp_path)
    model = linear()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    load_into(model, run.load(3), argument="model_fn")
    torch.testing.assert_close(model(X), linear()(X))


def test_the_home_folder_is_meant_by_its_sign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    torch.save(linear().state_dict(), tmp_path / "model_3.pt")
    assert og.open_checkpoints("~/model_{N}.pt").steps == [3]
