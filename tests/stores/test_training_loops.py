"""What people's own training loops leave is opened, and lands in the module that was trained."""

import argparse
import enum
import pathlib
import random
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from ontogeny.core.errors import InvalidArgument
from ontogeny.stores import load_into, open_checkpoints, read_weights


def make_model() -> Any:
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2, bias=False))


def trained() -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = make_model()
        model(torch.randn(8, 3)).square().sum().backward()
        torch.optim.SGD(model.parameters(), lr=0.1).step()
    return model


def assert_holds(model: nn.Module, expected: nn.Module) -> None:
    for name, tensor in expected.state_dict().items():
        assert torch.equal(model.state_dict()[name], tensor), name


def opened_into(source: Any, step: int = 3, **how: Any) -> Any:
    model = make_model()
    load_into(model, open_checkpoints(source, **how).load(step))
    return model


@dataclass
class Settings:
    width: int = 4


class Kind(enum.Enum):
    WIDE = 1


class Namespace(dict):
    """A dict with settings as attributes, as configuration libraries have them."""


def optimizer_state(model: nn.Module) -> dict[str, Any]:
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.randn(8, 3)).sum().backward()
    optimizer.step()
    return optimizer.state_dict()


def compiled(model: nn.Module) -> Any:
    return torch.compile(model, backend="eager")


def nanogpt(model: nn.Module) -> dict[str, Any]:
    weights = compiled(model).state_dict()
    arguments = {"n_layer": 1, "bias": False, "dropout": 0.0}
    return {
        "model": weights,
        "optimizer": {},
        "model_args": arguments,
        "iter_num": 3,
        "best_val_loss": torch.tensor(1.0),
    }


LAYOUTS: dict[str, Callable[[nn.Module], Any]] = {
    "weights alone": lambda model: model.state_dict(),
    "nanoGPT": nanogpt,
    "the tutorial": lambda model: {"epoch": 3, "model_state_dict": model.state_dict(), "loss": 0.1},
    "Lightning": lambda model: {
        "epoch": 0,
        "global_step": 3,
        "pytorch-lightning_version": "2.4.0",
        "state_dict": {f"net.{name}": tensor for name, tensor in model.state_dict().items()},
        "loops": {},
        "optimizer_states": [{"state": {}, "param_groups": []}],
        "hyper_parameters": {"lr": 0.1},
    },
    "Lightning's model.": lambda model: {
        "state_dict": {f"model._orig_mod.{name}": tensor for name, tensor in model.state_dict().items()}
    },
    "DataParallel": lambda model: nn.DataParallel(model).state_dict(),
    "torch.compile": lambda model: compiled(model).state_dict(),
    "both": lambda model: nn.DataParallel(compiled(model)).state_dict(),
    "both, the other way": lambda model: {f"_orig_mod.module.{n}": t for n, t in model.state_dict().items()},
    "a compiled block": lambda model: {n.replace("0.", "0._orig_mod."): t for n, t in model.state_dict().items()},
    "FSDP": lambda model: {f"_fsdp_wrapped_module.{name}": tensor for name, tensor in model.state_dict().items()},
    "an average": lambda model: AveragedModel(model, use_buffers=True).state_dict(),
    "an average beside": lambda model: {"model": AveragedModel(model, use_buffers=True).state_dict(), "iter": 3},
    "two levels down": lambda model: {"app": {"model": model.state_dict(), "step": 3}},
    "Namespace": lambda model: {"state_dict": model.state_dict(), "args": argparse.Namespace(lr=1, out=Path("a"))},
    "numpy": lambda model: {"model": model.state_dict(), "best": np.float64(1), "at": np.arange(3)},
    "random": lambda model: {"model": model.state_dict(), "a": random.getstate(), "b": np.random.default_rng(0)},
    "settings": lambda model: {"model": model.state_dict(), "config": Settings(), "kind": Kind.WIDE},
    "mappings": lambda model: {"model": model.state_dict(), "cfg": Namespace(lr=1), "log": defaultdict(list, a=[1])},
    "optimizer": lambda model: {"net": model.state_dict(), "optimizer": optimizer_state(make_model())},
}  # fmt: skip


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("archive", [True, False], ids=["archive", "before archives"])
def test_a_layout_is_loaded(layout: str, archive: bool, tmp_path: Path) -> None:
    model = trained()
    torch.save(LAYOUTS[layout](model), tmp_path / "ckpt_3.pt", _use_new_zipfile_serialization=archive)
    assert_holds(opened_into(str(tmp_path / "ckpt_{N}.pt")), model)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_layout_in_memory_is_loaded(layout: str) -> None:
    model = trained()
    assert_holds(opened_into({3: LAYOUTS[layout](model)}), model)


def test_names_are_fitted_from_either_side() -> None:
    model = trained()
    whole = compiled(make_model())
    load_into(whole, model.state_dict())
    assert_holds(whole._orig_mod, model)
    wrapped = nn.DataParallel(make_model())
    load_into(wrapped, model.state_dict())
    assert_holds(wrapped.module, model)


def two_networks() -> dict[str, Any]:
    return {
        "state_dict": {
            f"{who}.{name}": tensor + shift
            for who, shift in (("teacher", 0), ("student", 1))
            for name, tensor in trained().state_dict().items()
        }
    }


def test_of_two_networks_in_a_file_none_is_guessed_and_a_key_picks_one(tmp_path: Path) -> None:
    torch.save(two_networks(), tmp_path / "epoch=0-step=3.ckpt")
    with pytest.raises(InvalidArgument) as raised:
        opened_into(tmp_path)
    assert raised.value.instead == "open_checkpoints(..., key='student') or open_checkpoints(..., key='teacher')"
    assert "missing keys: 0.weight" in raised.value.found
    assert "unexpected keys: teacher.0.weight" in raised.value.found
    assert_holds(opened_into(tmp_path, key="teacher"), trained())
    assert_holds(opened_into(tmp_path, key="state_dict.teacher"), trained())
    assert opened_into(tmp_path, key="student")[2].weight[0, 0] == trained()[2].weight[0, 0] + 1


def test_a_loss_with_weights_beside_the_network_is_named_with_the_key_of_the_network(tmp_path: Path) -> None:
    weights = {f"net.{name}": tensor for name, tensor in trained().state_dict().items()}
    torch.save({"state_dict": {**weights, "criterion.weight": torch.ones(2)}}, tmp_path / "epoch=0-step=3.ckpt")
    with pytest.raises(InvalidArgument, match=r"unexpected keys.*key='net'"):
        opened_into(tmp_path)
    assert_holds(opened_into(tmp_path, key="net"), trained())


@pytest.mark.parametrize("in_memory", [True, False])
def test_a_key_picks_an_entry_and_a_wrong_one_is_refused_with_those_that_are_there(
    in_memory: bool, tmp_path: Path
) -> None:
    average = {name: tensor + 1 for name, tensor in trained().state_dict().items()}
    content = {"model": trained().state_dict(), "ema": average, "step": 3}
    torch.save(content, tmp_path / "ckpt_3.pt")
    source = {3: content} if in_memory else tmp_path
    assert_holds(opened_into(source), trained())
    run = open_checkpoints(source, key="ema")
    assert torch.equal(run.load(3)["0.weight"], average["0.weight"])
    for wrong in ("emma", "step", "model.9"):
        with pytest.raises(InvalidArgument, match=rf"`key`.*one of model, ema.*{wrong}.*Write instead: key='model'"):
            open_checkpoints(source, key=wrong).load(3)


def test_one_of_several_is_refused_with_keys_that_work(tmp_path: Path) -> None:
    torch.save({"teacher": trained().state_dict(), "student": trained().state_dict()}, tmp_path / "both_3.pt")
    with pytest.raises(InvalidArgument, match=r"key='teacher'\) or open_checkpoints\(..., key='student'\)"):
        opened_into(tmp_path)
    assert_holds(opened_into(tmp_path, key="student"), trained())


def test_a_function_may_read_a_checkpoint_and_counts_in_the_checksum(tmp_path: Path) -> None:
    np.savez(tmp_path / "w_3.npz", **{name: tensor.numpy() for name, tensor in trained().state_dict().items()})

    def load(path: pathlib.Path) -> dict[str, Tensor]:
        return {name: torch.from_numpy(array) for name, array in np.load(path).items()}

    pattern = str(tmp_path / "w_{N}.npz")
    with pytest.raises(InvalidArgument, match=r"w_3\.npz.*load=function"):
        open_checkpoints(pattern).load(3)
    assert_holds(opened_into(pattern, load=load), trained())
    shifted = open_checkpoints(pattern, load=lambda path: {n: t + 1 for n, t in load(path).items()})
    assert shifted.checksum(3) != open_checkpoints(pattern, load=load).checksum(3)
    with pytest.raises(InvalidArgument, match=r"state dict .* in what load\("):
        open_checkpoints(pattern, load=lambda path: 3).load(3)
    with pytest.raises(InvalidArgument, match="`load`"):
        open_checkpoints(pattern, load=cast("Any", "torch.load"))
    with pytest.raises(InvalidArgument, match="`load`"):
        open_checkpoints([trained().state_dict()], load=load)


def test_the_key_counts_in_the_checksum(tmp_path: Path) -> None:
    torch.save({"a": trained().state_dict(), "b": trained().state_dict()}, tmp_path / "ckpt_3.pt")
    assert len({open_checkpoints(tmp_path, key=key).checksum(3) for key in ("a", "b")}) == 2


@pytest.mark.parametrize(
    ("save", "follow"),
    [
        (lambda model, path: torch.save(model, path), lambda path: torch.load(path, weights_only=False).state_dict()),
        (
            lambda model, path: torch.save(model.state_dict(), path, pickle_protocol=4),
            lambda path: torch.load(path, map_location="cpu", weights_only=False),
        ),
    ],
    ids=["a whole module", "another protocol"],
)
def test_what_is_refused_says_how_to_read_it_by_hand(save: Any, follow: Any, tmp_path: Path) -> None:
    save(trained(), tmp_path / "ckpt_3.pt")
    with pytest.raises(InvalidArgument, match=r"ckpt_3\.pt.*load=lambda path: torch\.load\(path.*weights_only=False"):
        read_weights(tmp_path / "ckpt_3.pt")
    assert_holds(opened_into(tmp_path, load=follow), trained())


@pytest.mark.parametrize(
    "source", [None, 3, {"0.weight": torch.ones(1)}, {"a": {"w": torch.ones(1)}}, [torch.ones(1)], [{"w": 1}]]
)
def test_sources_of_other_kinds_are_refused(source: Any) -> None:
    with pytest.raises(InvalidArgument, match="`source`"):
        open_checkpoints(source)
