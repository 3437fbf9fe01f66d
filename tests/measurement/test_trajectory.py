"""A run is measured at every checkpoint, once, and goes on where it stopped with the same numbers."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cloudpickle
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
from ontogeny.execution import Processes, Serial
from ontogeny.measurement import measure as measure_run
from ontogeny.sampling import SGLD, Fixed, LocalPosterior, PosteriorConfig
from ontogeny.stores import Checkpoints, DirectoryCheckpoints, MemoryCheckpoints
from ontogeny.training import TrainingConfig, train

SAMPLER = Fixed(kernel=SGLD(1e-4), num_chains=2, num_draws=6, num_warmup=3)
POSTERIOR = PosteriorConfig(nbeta=20.0, localization=10.0, batch_size=16)
STEPS = [0, 3, 30]
Data = tuple[Tensor, Tensor]
cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers cannot import tests

# Counted by a hook, outside of the functions that are measured: what these reach is part of the key of a measurement.
CALLS = {"loss": 0, "behaviour": 0}
FAILS_AT = {"behaviour": -1}
EVENT = "ontogeny.tests."


class Crash(BaseException):
    """Ends a measurement like a signal does: nothing catches it."""


def count(event: str, arguments: tuple[Any, ...]) -> None:
    if event.startswith(EVENT):
        name = event.removeprefix(EVENT)
        if CALLS[name] == FAILS_AT.get(name):
            raise Crash
        CALLS[name] += 1


sys.addaudithook(count)


def measure(*args: Any, **options: Any) -> xr.Dataset:
    """In this process, at one nβ and γ, unless told otherwise."""
    defaults: dict[str, Any] = {"executor": Serial(), "posterior": POSTERIOR}
    return measure_run(*args, **(defaults | options))


def make_model() -> nn.Sequential:
    return nn.Sequential(nn.Linear(64, 4), nn.Tanh(), nn.Linear(4, 10))


def counted_loss(model: nn.Module, batch: Data) -> Tensor:
    sys.audit("ontogeny.tests.loss")
    return nn.functional.cross_entropy(model(batch[0]), batch[1], reduction="none")


def behaviour(model: nn.Module) -> xr.Dataset:
    sys.audit("ontogeny.tests.behaviour")
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
    shared = ("complexity", "complexity_mcse", "descent", "descent_mcse", "withheld", "withheld_mcse", "gradients")
    for name in ("llc", *(f"llc_{each}" for each in ("mcse", "rhat", "ess", "outcome", *shared))):
        assert set(found[name].dims) == set(each), name
        assert dims.pop(name) == sizes
    assert dims == {
        "loss": {"step": 2, "dataset": 2},
        "loss_sem": {"step": 2, "dataset": 2},
        "llc_trace": sizes | trace | {"draw": 200},  # those that were not drawn are NaN
        "llc_warmup_trace": sizes | trace | {"warmup_draw": 100},
        "outputs": {"step": 2, "output": 20},
        "ngram_entropy": {"order": 1},  # a reference line has no steps
        "icl_score": {"step": 2},
        "llc_nbeta": {"step": 2},  # one value for all, kept where trajectories are joined
        "llc_localization": {"step": 2},
    }
    assert f'"nbeta": {float(found.llc_nbeta[1])}' in found.attrs["settings"]
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
    posterior = LocalPosterior(model, data, losses.cross_entropy, restriction="0", **POSTERIOR.options())
    assert float(found.llc.squeeze()) == llc(SAMPLER.draw(posterior, seed=derive(0, "0", "data", 3))).value


def test_steps_are_a_subset_in_order(run: Checkpoints, data: Data) -> None:
    def measured(steps: list[int] | None) -> xr.Dataset:
        return measure(run, make_model, data, losses.cross_entropy, sampler=SAMPLER, steps=steps)

    found = measured([30, 0, 0])
    assert found.step.values.tolist() == [0, 30]
    xr.testing.assert_identical(measured(None).sel(step=[0, 30]), found)


def test_nothing_that_was_passed_in_is_changed(run: Checkpoints, data: Data) -> None:
    """A model that `model_fn` returns again and again comes back with its own weights and modes."""
    model = nn.Sequential(*make_model(), nn.Dropout(0.5))
    model[0].eval()
    weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    before = [run.checksum(step) for step in STEPS], data[0].clone(), torch.get_rng_state()
    found = measure(run, lambda: model, data, losses.cross_entropy, sampler=SAMPLER)
    xr.testing.assert_identical(found, measure(run, make_model, data, losses.cross_entropy, sampler=SAMPLER))
    assert all(torch.equal(tensor, weights[name]) for name, tensor in model.state_dict().items())
    assert [module.training for module in model.modules()] == modes
    assert [run.checksum(step) for step in STEPS] == before[0]
    assert torch.equal(data[0], before[1])
    assert torch.equal(torch.get_rng_state(), before[2])


@pytest.mark.slow
def test_who_runs_the_jobs_does_not_matter(run: Checkpoints, data: Data) -> None:
    options: dict[str, Any] = {"behaviour": behaviour, "components": ["all", "2"], "sampler": SAMPLER}
    found = [
        measure(run, make_model, data, losses.cross_entropy, executor=executor, **options)
        for executor in (Serial(), Processes(2))
    ]
    xr.testing.assert_identical(*found)


def test_settings_that_are_given_in_full_are_not_tried_out(run: Checkpoints, data: Data) -> None:
    sampler = SAMPLER.model_copy(update={"num_draws": 2, "num_warmup": 1})
    calls = loss_calls(lambda: measure(run, make_model, data, counted_loss, sampler=sampler, steps=[3]))
    assert calls < 200  # a calibration takes thousands


def test_a_second_call_reads_what_the_first_one_stored(run: Checkpoints, data: Data, tmp_path: Path) -> None:
    options: dict[str, Any] = {"behaviour": behaviour, "sampler": SAMPLER, "components": ["all", "2"], "steps": [3, 30]}
    found = [
        measure(run, make_model, data, counted_loss, store=store, **options)
        for store in (None, tmp_path, str(tmp_path))
    ]
    first = CALLS["loss"]
    assert loss_calls(lambda: measure(run, make_model, data, counted_loss, store=tmp_path, **options)) == 0
    assert first > 0
    assert CALLS["behaviour"] == 2 * 2 + 1  # without a store, once before the coefficients too
    xr.testing.assert_identical(found[1], found[0])
    xr.testing.assert_identical(found[2], found[0])
    assert {name: found[2][name].dtype.kind for name in found[2]} == {
        name: found[0][name].dtype.kind for name in found[0]
    }


def doubled_loss(model: nn.Module, batch: Data) -> Tensor:
    sys.audit("ontogeny.tests.loss")
    return 2 * nn.functional.cross_entropy(model(batch[0]), batch[1], reduction="none")


def other_behaviour(model: nn.Module) -> xr.Dataset:
    return behaviour(model) + 1


def make_other_model() -> nn.Sequential:
    return nn.Sequential(nn.Linear(64, 4), nn.Sigmoid(), nn.Linear(4, 10))


def test_only_what_changed_is_measured_anew(run: Checkpoints, data: Data, tmp_path: Path) -> None:
    given: dict[str, Any] = {"model_fn": make_model, "data": data, "loss_fn": counted_loss, "sampler": SAMPLER}
    given |= {"steps": [3], "behaviour": behaviour}
    changes: list[tuple[dict[str, Any], set[str]]] = [
        ({"data": (data[0].flip(0), data[1])}, {"loss", "llc"}),
        ({"loss_fn": doubled_loss}, {"loss", "llc"}),
        ({"model_fn": make_other_model}, {"loss", "llc", "behaviour"}),
        ({"seed": 1}, {"loss", "llc"}),
        ({"sampler": SAMPLER.model_copy(update={"kernel": SGLD(2e-4)})}, {"llc"}),
        ({"localization": 20.0}, {"llc"}),
        ({"components": ["all", "0"]}, {"llc"}),
        ({"behaviour": other_behaviour}, {"behaviour"}),
        ({"components": ["0", "all"]}, set()),  # in another order
    ]
    measure(run, store=tmp_path, **given)
    for change, anew in changes:
        before = set(files_below(tmp_path))
        measure(run, store=tmp_path, **(given | change))
        made = {Path(name).parts[0] for name in set(files_below(tmp_path)) - before}
        assert made == anew, change
    assert loss_calls(lambda: measure(run, store=tmp_path, **given)) == 0


def test_datasets_are_parts_of_their_own(run: Checkpoints, data: Data, tmp_path: Path) -> None:
    given: dict[str, Any] = {"sampler": SAMPLER, "steps": [3], "store": tmp_path}
    measure(run, make_model, data, counted_loss, **given)
    both = measure(run, make_model, data, counted_loss, datasets={"other": (data[0] + 1, data[1])}, **given)
    assert len(list(tmp_path.glob("llc/*.zarr"))) == 2
    assert both.dataset.values.tolist() == ["data", "other"]


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
    """`os.rename` that ends the process before or after a folder takes its place, when so many moments have passed."""
    rename, left = os.rename, [moments]

    def rename_or_crash(source: Any, target: Any) -> None:
        for act in (lambda: None, lambda: rename(source, target)):
            act()
            left[0] -= Path(target).suffix == ".zarr"
            if left[0] < 0:
                raise Crash

    return rename_or_crash


@pytest.mark.parametrize("moment", [0, 7, 16])
def test_a_measurement_that_stops_at_any_part_continues(
    moment: int,
    whole: tuple[xr.Dataset, dict[str, bytes]],
    run: Checkpoints,
    data: Data,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", crash_after(moment))
        with pytest.raises(Crash):
            measured_with_behaviour(run, data, tmp_path)
    kept = len(list(tmp_path.glob("*/*.zarr")))
    assert kept == (moment + 1) // 2  # what was measured was kept
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*/*.zarr")}
    xr.testing.assert_identical(measured_with_behaviour(run, data, tmp_path), whole[0])
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert files_below(tmp_path) == whole[1]


def test_a_behaviour_that_fails_loses_nothing_that_was_measured(
    whole: tuple[xr.Dataset, dict[str, bytes]], run: Checkpoints, data: Data, tmp_path: Path
) -> None:
    FAILS_AT["behaviour"] = CALLS["behaviour"] + 1
    with pytest.raises(Crash):
        measured_with_behaviour(run, data, tmp_path)
    FAILS_AT["behaviour"] = -1
    xr.testing.assert_identical(measured_with_behaviour(run, data, tmp_path), whole[0])
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
    stored.save(3, run.load(3))
    xr.testing.assert_identical(measured_with_behaviour(stored, data, tmp_path / "store"), whole[0])


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
    sampler = Fixed(kernel=SGLD(1e-4), num_draws=15, num_warmup=0)
    posterior = PosteriorConfig(nbeta=20 / np.log(20), localization=1.0)
    found = measure(run, Guarded, (x, 0.3 * x), losses.mse, sampler=sampler, posterior=posterior)
    found = found.isel(draw=slice(15))
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
        ({"model_fn": lambda: nn.Linear(64, 10)}, "`model_fn`: expected a module that fits the weights of step 0"),
    ]:
        with pytest.raises(InvalidArgument, match=told):
            measured(**wrong)
    assert CALLS["behaviour"] == 0
    assert not (tmp_path / "store").exists()
    with pytest.raises(InvalidArgument, match=r"`loss_fn`.*a scalar"):
        measured(loss_fn=lambda model, batch: counted_loss(model, batch).mean())


SCRIPT = Path(__file__).with_name("run_alone.py")


@pytest.mark.slow
def test_two_processes_may_share_a_store(tmp_path: Path) -> None:
    alone, shared = tmp_path / "alone", tmp_path / "shared"
    assert subprocess.run([sys.executable, SCRIPT, alone, "3"], check=False).returncode == 0
    started = [subprocess.Popen([sys.executable, SCRIPT, shared, "3"]) for _ in range(2)]
    assert [process.wait() for process in started] == [0, 0]
    assert files_below(shared / "store") == files_below(alone / "store")
