"""Wrong use raises at once and says which argument, what was expected, what was found and what to write instead."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import ontogeny as og
from ontogeny.core.losses import mse
from ontogeny.stores import ZarrSink, read_tree

MODEL = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
DATA = torch.ones(10, 3), torch.ones(10, 2)


class Stream:
    """Batches of unknown number."""

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        return iter([DATA])


def scalar_loss(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    return mse(model, batch).mean()


def posterior(**changes: Any) -> og.LocalPosterior:
    settings: dict[str, Any] = {"model": MODEL, "data": DATA, "loss_fn": mse} | changes
    return og.LocalPosterior(**settings)


def run(**changes: Any) -> Any:
    settings: dict[str, Any] = {"num_chains": 2, "num_draws": 2, "num_warmup": 1} | changes
    return og.sample(posterior(), og.SGLD(1e-3), **settings)


CASES: dict[str, tuple[Callable[[], Any], str, str, str]] = {
    "scalar loss": (lambda: posterior(loss_fn=scalar_loss), "loss_fn", "a scalar", "reduction='none'"),
    "scalar loss, one sample": (
        lambda: posterior(loss_fn=scalar_loss, data=(DATA[0][:1], DATA[1][:1]), nbeta=1.0),
        *("loss_fn", "a scalar", "reduction='none'"),
    ),
    "loss of three dimensions": (
        lambda: posterior(loss_fn=lambda model, batch: model(batch[0])[..., None]),
        *("loss_fn", "(3, 2, 1)", "losses.flatten(1)"),
    ),
    "unknown length": (
        lambda: posterior(data=Stream()),
        "data",
        "Stream, an iterable of unknown length",
        "num_samples",
    ),
    "empty tensors": (lambda: posterior(data=(DATA[0][:0], DATA[1][:0])), "data", "an empty dataset", "samples in it"),
    "empty list": (lambda: posterior(data=[]), "data", "an empty dataset", "samples in it"),
    "unequal lengths": (lambda: posterior(data=(DATA[0], DATA[1][:4])), "data", "[10, 4]", "row per sample in each"),
    "two samples": (lambda: posterior(data=(DATA[0][:2], DATA[1][:2])), "data", "2", "nbeta=..."),
    "not a pair": (lambda: posterior(data=DATA[0]), "batch", "Tensor", "data=(inputs, targets)"),
    "unknown component": (lambda: posterior(restriction="2.wieght"), "component", "'2.wieght'", "'2.weight'"),
    "no parameters": (lambda: posterior(model=nn.Tanh()), "model", "none", "a module with parameters of its own"),
    "negative nbeta": (lambda: posterior(nbeta=-1.0), "nbeta", "-1.0", "nbeta=None"),
    "nan localization": (
        lambda: posterior(localization=float("nan")),
        *("localization", "nan", "localization=1.0"),
    ),
    "no batch": (lambda: posterior(batch_size=0), "batch_size", "0", "batch_size=None"),
    "no step": (lambda: og.SGLD(0.0), "step_size", "0.0", "step_size=1e-4"),
    "negative step": (lambda: og.SGLD(-1e-4), "step_size", "-0.0001", "step_size=1e-4"),
    "nan step": (lambda: og.SGLD(float("nan")), "step_size", "nan", "step_size=1e-4"),
    "infinite step": (lambda: og.SGLD(float("inf")), "step_size", "inf", "step_size=1e-4"),
    "no chains": (lambda: run(num_chains=0), "num_chains", "0", "num_chains=1 or more"),
    "no draws": (lambda: run(num_draws=0), "num_draws", "0", "num_draws=1 or more"),
    "negative warm-up": (lambda: run(num_warmup=-1), "num_warmup", "-1", "num_warmup=0 or more"),
    "no thinning": (lambda: run(thinning=0), "thinning", "0", "thinning=1 or more"),
    "observable of a taken name": (
        lambda: run(observables={"loss_difference": DATA}),
        *("observables", "'loss_difference'", '{"name": data}'),
    ),
    "observable with a slash": (lambda: run(observables={"a/b": DATA}), "observables", "'a/b'", '{"name": data}'),
    "empty observable": (
        lambda: run(observables={"code": (DATA[0][:0], DATA[1][:0])}),
        *("observables['code']", "an empty dataset", "samples in it"),
    ),
    "observable of unknown length": (
        lambda: run(observables={"code": Stream()}),
        *("observables['code']", "an iterable of unknown length", ""),
    ),
}


@pytest.mark.parametrize(("call", "argument", "found", "instead"), CASES.values(), ids=CASES)
def test_wrong_use_is_named(call: Callable[[], Any], argument: str, found: str, instead: str) -> None:
    with pytest.raises(og.InvalidArgument) as caught:
        call()
    message = str(caught.value)
    assert message.startswith(f"`{argument}`: expected ")
    assert found in message.split(", found ", 1)[1].split(" Write instead: ")[0]
    assert instead in message.split(" Write instead: ")[1]
    assert caught.value.argument == argument


@pytest.mark.parametrize(
    "changes", [{"observables": {"code": DATA[0]}}, {"observables": {"code": []}}, {"thinning": 0}]
)
def test_wrong_use_loses_nothing_that_a_sink_held(changes: dict[str, Any], tmp_path: Path) -> None:
    before = run(sink=ZarrSink(tmp_path / "draws"))
    with pytest.raises(og.InvalidArgument):
        run(sink=ZarrSink(tmp_path / "draws"), **changes)
    kept = read_tree(tmp_path / "draws")
    np.testing.assert_array_equal(kept["posterior"]["loss_difference"], before["posterior"]["loss_difference"])


def test_data_of_unknown_length_are_taken_once_it_is_said() -> None:
    assert posterior(data=Stream(), num_samples=10).nbeta == pytest.approx(10 / np.log(10))
    assert posterior(data=(DATA[0][:2], DATA[1][:2]), nbeta=1.0).nbeta == 1.0
