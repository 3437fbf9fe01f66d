"""What is measured is measured once, and a measurement goes on where it stopped with the same numbers."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import xarray as xr
from tests.measurement.counted import (
    CALLS,
    FAILS_AT,
    SAMPLER,
    STEPS,
    Crash,
    Data,
    behaviour,
    counted_loss,
    files_below,
    loss_calls,
    make_model,
    measure,
)
from torch import Tensor, nn

from ontogeny.core import losses
from ontogeny.core.errors import CorruptFile
from ontogeny.sampling import SGLD
from ontogeny.stores import Checkpoints, DirectoryCheckpoints, MemoryCheckpoints


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


SCRIPT = Path(__file__).with_name("run_alone.py")


@pytest.mark.slow
def test_two_processes_may_share_a_store(tmp_path: Path) -> None:
    alone, shared = tmp_path / "alone", tmp_path / "shared"
    assert subprocess.run([sys.executable, SCRIPT, alone, "3"], check=False).returncode == 0
    started = [subprocess.Popen([sys.executable, SCRIPT, shared, "3"]) for _ in range(2)]
    assert [process.wait() for process in started] == [0, 0]
    assert files_below(shared / "store") == files_below(alone / "store")
