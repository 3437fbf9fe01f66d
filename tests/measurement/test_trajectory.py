"""A run is measured at every checkpoint, once, and goes on where it stopped with the same numbers."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from sklearn.datasets import load_digits
from torch import Tensor, nn

from ontogeny.core import losses
from ontogeny.core.errors import CorruptFile, InvalidArgument
from ontogeny.core.outcome import Outcome
from ontogeny.core.seeds import derive
from ontogeny.estimators import llc
from ontogeny.measurement import SamplerConfig, forecast, measure, trajectory
from ontogeny.sampling import SGLD, LocalPosterior, sample
from ontogeny.stores import Checkpoints, DirectoryCheckpoints, MemoryCheckpoints
from ontogeny.training import TrainingConfig, train

SAMPLER = SamplerConfig(step_size=1e-4, localization=10.0, num_chains=2, num_draws=6, num_warmup=3, batch_size=16)
STEPS = [0, 3, 30]
Data = tuple[Tensor, Tensor]

# Counted outside of the functions that are measured: what a function captures is part of the key of a measurement.
CALLS = {"loss": 0, "behaviour": 0}
FAILS_AT = {"behaviour": -1}


class Crash(BaseException):
    """Ends a measurement like a signal does: nothing catches it."""


def make_model() -> nn.Sequential:
    return nn.Sequential(nn.Linear(64, 4), nn.Tanh(), nn.Linear(4, 10))


def counted_loss(model: nn.Module, batch: Data) -> Tensor:
    CALLS["loss"] += 1
    return nn.functional.cross_entropy(model(batch[0]), batch[1], reduction="none")


def behaviour(model: nn.Module) -> xr.Dataset:
    if CALLS["behaviour"] == FAILS_AT["behaviour"]:
        raise Crash
    CALLS["behaviour"] += 1
    with torch.no_grad():
        outputs = model(torch.eye(64)[:2]).flatten()
    entropy = xr.DataArray([2.3], dims="order", coords={"order": ["unigram"]}, attrs={"constant": 1})
    return xr.Dataset(
        {"outputs": ("output", outputs.numpy()), "ngram_entropy": entropy, "icl_score": float(outputs[0])}
    )


@pytest.fixture(scope="module")
def data() -> Data:
    digits = load_digits()
    return torch.tensor(digits.data[:80] / 16, dtype=torch.float32), torch.tensor(digits.target[:80])


@pytest.fixture(scope="module")
def run(data: Data) -> Checkpoints:
    torch.manual_seed(0)
    config = TrainingConfig(num_steps=30, batch_size=16, learning_rate=1e-2, checkpoints_log=4, checkpoints_linear=0)
    checkpoints = train(make_model(), data, losses.cross_entropy, config)
    return MemoryCheckpoints({step: checkpoints.load(step) for step in STEPS})


@pytest.fixture(autouse=True)
def _nothing_counted() -> Iterator[None]:
    yield
    CALLS.update(loss=0, behaviour=0)
    FAILS_AT.update(behaviour=-1)


def loss_calls(act: Callable[[], object]) -> int:
    before = CALLS["loss"]
    act()
    return CALLS["loss"] - before


def files_below(folder: Path) -> dict[str, bytes]:
    files = [path for path in folder.rglob("*") if path.is_file() and ".part" not in str(path)]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_the_result_is_a_trajectory(run: Checkpoints, data: Data) -> None:
    found = measure(
        run,
        make_model,
        data,
        losses.cross_entropy,
        components=["all", "0 | 2.bias", "*.weight"],
        datasets={"first": (data[0][:40], data[1][:40])},
        behaviour=behaviour,
        sampler=SAMPLER,
        steps=[0, 3],
    )
    assert found.step.values.tolist() == [0, 3]
    assert found.component.values.tolist() == ["all", "0 | 2.bias", "*.weight"]
    assert found.dataset.values.tolist() == ["data", "first"]
    each, trace = ("step", "component", "dataset"), {"chain": 2}
    dims = {name: dict(zip(found[name].dims, found[name].shape, strict=True)) for name in found.data_vars}
    sizes = {"step": 2, "component": 3, "dataset": 2}
    for name in ("llc", "llc_mcse", "llc_rhat", "llc_ess", "llc_outcome"):
        assert set(found[name].dims) == set(each), name
        assert dims.pop(name) == sizes
    assert dims == {
        "loss": {"step": 2, "dataset": 2},
        "loss_sem": {"step": 2, "dataset": 2},
        "llc_trace": sizes | trace | {"draw": 6},
        "llc_warmup_trace": sizes | trace | {"warmup_draw": 3},
        "outputs": {"step": 2, "output": 20},
        "ngram_entropy": {"order": 1},  # a reference line has no steps
        "icl_score": {"step": 2},
    }
    np.testing.assert_allclose(found.llc_trace.mean(["chain", "draw"]), found.llc, rtol=1e-5)
    assert set(found.llc_outcome.values.flat) <= {outcome.value for outcome in Outcome} - {"diverged"}
    assert found.attrs["settings"].startswith("{")
    assert '"localization": 10.0' in found.attrs["settings"]


def test_the_loss_is_that_of_the_checkpoint(run: Checkpoints, data: Data) -> None:
    found = measure(run, make_model, data, losses.cross_entropy, components=[])
    for step in STEPS:
        model = make_model()
        model.load_state_dict(run.load(step))
        with torch.no_grad():
            expected = losses.cross_entropy(model, data)
        assert float(found.loss.sel(step=step, dataset="data")) == pytest.approx(float(expected.mean()), rel=1e-5)
        sem = float(expected.std()) / 80**0.5
        assert float(found.loss_sem.sel(step=step, dataset="data")) == pytest.approx(sem, rel=1e-4)
    assert set(found.data_vars) == {"loss", "loss_sem"}
    assert float(found.loss[-1, 0]) < float(found.loss[0, 0]) - 0.3


def test_a_coefficient_is_that_of_the_posterior_at_the_checkpoint(run: Checkpoints, data: Data) -> None:
    found = measure(run, make_model, data, losses.cross_entropy, components=["0"], sampler=SAMPLER, steps=[3])
    model = make_model()
    model.load_state_dict(run.load(3))
    posterior = LocalPosterior(model, data, losses.cross_entropy, None, 10.0, "0", 16)
    draws = sample(posterior, SGLD(1e-4), num_chains=2, num_draws=6, num_warmup=3, seed=derive(0, "0", "data", 3))
    assert float(found.llc.squeeze()) == llc(draws).value


def test_steps_are_a_subset_in_order(run: Checkpoints, data: Data) -> None:
    def measured(steps: list[int] | None) -> xr.Dataset:
        return measure(run, make_model, data, losses.cross_entropy, sampler=SAMPLER, steps=steps)

    found = measured([30, 0, 0])
    assert found.step.values.tolist() == [0, 30]
    xr.testing.assert_identical(measured(None).sel(step=[0, 30]), found)


def test_nothing_that_was_passed_in_is_changed(run: Checkpoints, data: Data) -> None:
    before = [run.checksum(step) for step in STEPS], data[0].clone(), torch.get_rng_state()
    measure(run, make_model_quietly, data, losses.cross_entropy, sampler=SAMPLER)
    assert [run.checksum(step) for step in STEPS] == before[0]
    assert torch.equal(data[0], before[1])
    assert torch.equal(torch.get_rng_state(), before[2])


def make_model_quietly() -> nn.Module:
    with torch.random.fork_rng():
        return make_model()


def test_a_second_call_reads_what_the_first_one_stored(run: Checkpoints, data: Data, tmp_path: Path) -> None:
    options: dict[str, Any] = {"behaviour": behaviour, "sampler": SAMPLER, "components": ["all", "2"], "steps": [3, 30]}
    found = [
        measure(run, make_model, data, counted_loss, store=store, **options)
        for store in (None, tmp_path, str(tmp_path))
    ]
    first = CALLS["loss"]
    assert loss_calls(lambda: measure(run, make_model, data, counted_loss, store=tmp_path, **options)) == 0
    assert first > 0
    assert CALLS["behaviour"] == 2 * 2
    xr.testing.assert_identical(found[1], found[0])
    xr.testing.assert_identical(found[2], found[0])
    assert {name: found[2][name].dtype.kind for name in found[2]} == {
        name: found[0][name].dtype.kind for name in found[0]
    }


def doubled_loss(model: nn.Module, batch: Data) -> Tensor:
    CALLS["loss"] += 1
    return 2 * nn.functional.cross_entropy(model(batch[0]), batch[1], reduction="none")


def make_other_model() -> nn.Sequential:
    return nn.Sequential(nn.Linear(64, 4), nn.Sigmoid(), nn.Linear(4, 10))


def test_changed_inputs_are_measured_anew(run: Checkpoints, data: Data, tmp_path: Path) -> None:
    given: dict[str, Any] = {"model_fn": make_model, "data": data, "loss_fn": counted_loss, "sampler": SAMPLER}
    given["steps"] = [3]
    changes: list[dict[str, Any]] = [
        {"data": (data[0].flip(0), data[1])},
        {"loss_fn": doubled_loss},
        {"model_fn": make_other_model},
        {"sampler": SAMPLER.model_copy(update={"seed": 1})},
        {"sampler": SAMPLER.model_copy(update={"step_size": 2e-4})},
        {"components": ["0"]},
        {"datasets": {"other": data}},
        {"behaviour": behaviour},
    ]
    measure(run, store=tmp_path, **given)
    for change in changes:
        assert loss_calls(lambda change=change: measure(run, store=tmp_path, **(given | change))) > 0, change
    assert loss_calls(lambda: measure(run, store=tmp_path, **given)) == 0
    assert len(list(tmp_path.iterdir())) == 1 + len(changes)


def measured_with_behaviour(run: Checkpoints, data: Data, store: Path | None) -> xr.Dataset:
    return measure(run, make_model, data, losses.cross_entropy, behaviour=behaviour, sampler=SAMPLER, store=store)


def test_only_a_changed_checkpoint_is_measured_anew(run: Checkpoints, data: Data, tmp_path: Path) -> None:
    def measured_anew(checkpoints: Checkpoints) -> int:
        before = CALLS["behaviour"]
        measured_with_behaviour(checkpoints, data, tmp_path)
        return CALLS["behaviour"] - before

    assert measured_anew(run) == len(STEPS)
    weights = {step: run.load(step) for step in STEPS}
    weights[3] = weights[3] | {"2.bias": weights[3]["2.bias"] + 0.1}
    assert measured_anew(MemoryCheckpoints(weights)) == 1
    assert measured_anew(run) == 0


@pytest.fixture(scope="module")
def whole(
    run: Checkpoints, data: Data, tmp_path_factory: pytest.TempPathFactory
) -> tuple[xr.Dataset, dict[str, bytes]]:
    """A measurement that nothing interrupted, and the files that it left."""
    folder = tmp_path_factory.mktemp("whole")
    return measured_with_behaviour(run, data, folder), files_below(folder)


def crash_after(moments: int) -> Callable[[Any, Any], None]:
    """`os.replace` that ends the process before or after a folder takes its place, when so many moments have passed."""
    replace, left = os.replace, [moments]

    def replace_or_crash(source: Any, target: Any) -> None:
        for act in (lambda: None, lambda: replace(source, target)):
            act()
            left[0] -= Path(target).suffix == ".zarr"
            if left[0] < 0:
                raise Crash

    return replace_or_crash


@pytest.mark.parametrize("moment", range(2 * len(STEPS)))
def test_a_measurement_that_stops_at_any_checkpoint_continues(
    moment: int,
    whole: tuple[xr.Dataset, dict[str, bytes]],
    run: Checkpoints,
    data: Data,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", crash_after(moment))
        with pytest.raises(Crash):
            measured_with_behaviour(run, data, tmp_path)
    CALLS["behaviour"] = 0
    xr.testing.assert_identical(measured_with_behaviour(run, data, tmp_path), whole[0])
    assert CALLS["behaviour"] == len(STEPS) - (moment + 1) // 2  # what was measured was kept
    assert files_below(tmp_path) == whole[1]


def test_a_behaviour_that_fails_loses_nothing_that_was_measured(
    whole: tuple[xr.Dataset, dict[str, bytes]], run: Checkpoints, data: Data, tmp_path: Path
) -> None:
    FAILS_AT["behaviour"] = 1
    with pytest.raises(Crash):
        measured_with_behaviour(run, data, tmp_path)
    FAILS_AT["behaviour"] = -1
    xr.testing.assert_identical(measured_with_behaviour(run, data, tmp_path), whole[0])
    assert CALLS["behaviour"] == len(STEPS)
    assert files_below(tmp_path) == whole[1]


def test_a_truncated_checkpoint_is_named_and_the_others_are_kept(
    whole: tuple[xr.Dataset, dict[str, bytes]], run: Checkpoints, data: Data, tmp_path: Path
) -> None:
    stored = DirectoryCheckpoints(tmp_path / "run")
    for step in STEPS:
        stored.save(step, run.load(step))
    damaged = stored.path(3)
    damaged.write_bytes(damaged.read_bytes()[:-1])
    with pytest.raises(CorruptFile, match=damaged.name):
        measured_with_behaviour(stored, data, tmp_path / "store")
    assert CALLS["behaviour"] == 1
    stored.save(3, run.load(3))
    xr.testing.assert_identical(measured_with_behaviour(stored, data, tmp_path / "store"), whole[0])
    assert CALLS["behaviour"] == len(STEPS)


class Guarded(nn.Module):
    """One weight, at the edge of a region without a loss."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weight + torch.where(self.weight > 1, torch.nan, 0.0)


def test_a_chain_without_a_loss_is_an_outcome_of_its_checkpoint() -> None:
    run = MemoryCheckpoints(
        {step: {"weight": torch.tensor([value])} for step, value in {1: 0.0, 2: 0.98, 3: 0.1}.items()}
    )
    x = torch.linspace(-1, 1, 20)[:, None]
    sampler = SamplerConfig(step_size=1e-4, num_chains=4, num_draws=15, num_warmup=0)
    found = measure(run, Guarded, (x, 0.3 * x), losses.mse, sampler=sampler)
    failed = np.isnan(found.llc_trace.squeeze(["component", "dataset"])).any("draw")
    assert failed.any("chain").values.tolist() == [False, True, False]
    assert 1 <= int(failed.sel(step=2).sum()) < 4  # some chains only: the test is about those
    assert found.llc_outcome.sel(step=2).item() == "diverged"
    assert "diverged" not in found.llc_outcome.sel(step=[1, 3]).values
    assert np.isfinite(found.llc).all()
    assert np.isfinite(found.loss).all()


def test_wrong_use_is_refused_before_anything_is_measured(run: Checkpoints, data: Data, tmp_path: Path) -> None:
    def measured(**wrong: Any) -> None:
        given: dict[str, Any] = {"model_fn": make_model, "data": data, "loss_fn": counted_loss, "sampler": SAMPLER}
        measure(run, store=tmp_path / "store", behaviour=behaviour, **(given | wrong))

    for wrong, told in [
        ({"components": ["all", "3.weight"]}, r"`component`.*'3\.weight', which matches nothing.*'2\.weight'"),
        ({"steps": [3, 4]}, r"`steps`: expected steps of this run .*found 4"),
        ({"steps": []}, "`steps`"),
        ({"datasets": {"data": data}}, "`datasets`"),
        ({"data": iter([data])}, "`data`.*unknown length"),
        ({"data": (data[0][:0], data[1][:0])}, "`data`.*empty"),
        ({"loss_fn": lambda model, batch: counted_loss(model, batch).mean()}, "`loss_fn`.*a scalar"),
        ({"model_fn": lambda: nn.Linear(64, 10)}, "`model_fn`: expected a module that the weights of step 0 fit"),
    ]:
        with pytest.raises(InvalidArgument, match=told):
            measured(**wrong)
    assert CALLS["behaviour"] == 0
    assert not (tmp_path / "store").exists()


def test_a_forecast_counts_what_measuring_costs(run: Checkpoints, data: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock that ticks once a call of the loss, so that the test does not depend on the machine."""
    monkeypatch.setattr(trajectory, "time", SimpleNamespace(perf_counter=lambda: float(CALLS["loss"])))

    def predicted(update: dict[str, Any], **options: Any) -> float:
        return forecast(run, make_model, data, counted_loss, sampler=SAMPLER.model_copy(update=update), **options)

    config = {"num_draws": 60, "num_warmup": 40}
    once = predicted(config)
    sampler = SAMPLER.model_copy(update=config)
    calls = loss_calls(lambda: measure(run, make_model, data, counted_loss, sampler=sampler, steps=[30]))
    assert calls / 2 < once / len(STEPS) < calls * 2
    assert predicted({"num_draws": 600, "num_warmup": 400}) == pytest.approx(10 * once)
    assert predicted(config | {"thinning": 3}) == pytest.approx(3 * once)
    assert predicted(config, components=["0", "2"], datasets={"more": data}) == pytest.approx(4 * once)
    assert predicted(config, steps=[3]) == pytest.approx(once / len(STEPS))
    assert predicted(config, components=[]) == 0


def test_a_forecast_is_in_seconds(run: Checkpoints, data: Data) -> None:
    assert 0 < forecast(run, make_model, data, losses.cross_entropy, sampler=SAMPLER, behaviour=behaviour) < 60
