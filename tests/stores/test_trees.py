"""Labelled arrays come back from disk as they went, and draws that were streamed are there after a crash."""

import warnings
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import ontogeny as og
from ontogeny.core.draws import MemorySink
from ontogeny.core.errors import CorruptFile, InvalidArgument
from ontogeny.stores import ZarrSink, read_tree, write_tree

LAYOUT = {
    "posterior/loss": ("posterior", ("chain", "draw"), (2, 70)),
    "posterior/text": ("posterior", ("chain", "draw", "text_sample"), (2, 70, 3)),
    "sample_stats/failed_at": ("sample_stats", ("chain",), (2,)),
    "constant_data/text_at_center": ("constant_data", ("text_sample",), (3,)),
}


def labelled() -> xr.Dataset:
    return xr.Dataset(
        {
            "llc": (("step", "component"), np.array([[1.5, np.nan], [2.0, -3.0]])),
            "outcome": (("step", "component"), np.array([["converged", "not_a_minimum"], ["", "nβ = 3"]])),
            "count": ("step", np.array([3, 4])),
            "note": ((), np.array("one")),
        },
        {"step": [0, 10], "component": ["all", "blocks.0.attn"], "dataset": "data"},
        {"settings": '{"nbeta": 3.5}', "num_parameters": 12},
    )


def test_a_dataset_round_trips_without_a_warning(tmp_path: Path) -> None:
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        write_tree(tmp_path / "a.zarr", labelled())
        back = read_tree(tmp_path / "a.zarr").to_dataset()
    assert [str(warning.message) for warning in heard] == []
    xr.testing.assert_identical(back, labelled())
    assert {name: back[name].dtype.kind for name in ("llc", "outcome", "count")} == {
        "llc": "f",
        "outcome": "U",
        "count": "i",
    }


def test_a_tree_round_trips(tmp_path: Path) -> None:
    tree = xr.DataTree.from_dict({"/": labelled(), "/posterior": labelled(), "/posterior/inner": labelled()})
    write_tree(tmp_path / "a.zarr", tree)
    xr.testing.assert_identical(read_tree(tmp_path / "a.zarr"), tree)


def test_a_path_may_be_a_string(tmp_path: Path) -> None:
    write_tree(str(tmp_path / "tree"), xr.Dataset({"a": ("x", [1.0])}))
    assert read_tree(str(tmp_path / "tree")).to_dataset()["a"].values.tolist() == [1.0]


def test_the_same_content_is_the_same_files(tmp_path: Path) -> None:
    for name in "ab":
        write_tree(tmp_path / name, labelled())
    files = [path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*") if path.is_file()]
    assert len(files) > 5
    assert all((tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes() for file in files)


@pytest.mark.parametrize("content", ["missing", "empty", "a file", "bad metadata"])
def test_what_is_no_tree_is_named_and_refused(content: str, tmp_path: Path) -> None:
    path = tmp_path / "a.zarr"
    match content:
        case "empty":
            path.mkdir()
        case "a file":
            path.write_text("text")
        case "bad metadata":
            write_tree(path, labelled())
            (path / "zarr.json").write_text("{")
    with pytest.raises(CorruptFile, match=r"a\.zarr"):
        read_tree(path)


def write_all(sink: MemorySink | ZarrSink, values: Mapping[str, np.ndarray]) -> None:
    sink.open(LAYOUT)
    sink.write("constant_data/text_at_center", (), values["constant_data/text_at_center"])
    for chain in range(2):
        for draw in range(70):
            sink.write("posterior/loss", (chain, draw), values["posterior/loss"][chain, draw])
            sink.write("posterior/text", (chain, draw), values["posterior/text"][chain, draw])


@pytest.fixture
def values() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {name: rng.normal(size=shape).astype(np.float32) for name, (_, _, shape) in LAYOUT.items()}


def test_draws_on_disk_are_the_draws_in_memory(values: dict[str, np.ndarray], tmp_path: Path) -> None:
    sinks = [MemorySink(), ZarrSink(tmp_path / "draws.zarr")]
    for sink in sinks:
        write_all(sink, values)
    memory, disk = (sink.close({"settings": "{}"}) for sink in sinks)
    xr.testing.assert_identical(disk, memory)
    np.testing.assert_array_equal(memory["posterior"]["loss"], values["posterior/loss"])
    assert np.isnan(memory["sample_stats"]["failed_at"]).all()  # never written
    xr.testing.assert_identical(read_tree(tmp_path / "draws.zarr"), memory)


def test_what_was_streamed_before_a_crash_can_be_read(values: dict[str, np.ndarray], tmp_path: Path) -> None:
    sink = ZarrSink(tmp_path / "draws.zarr")
    sink.open(LAYOUT)
    sink.write("posterior/loss", (1, 3), 2.5)
    with pytest.raises(CorruptFile, match=r"draws\.zarr: sampling has not finished; read_tree\(path, partial=True\)"):
        read_tree(tmp_path / "draws.zarr")
    (tmp_path / "draws.zarr" / "posterior" / "loss" / "c" / "1.x.partial").touch()  # Zarr, killed
    loss = np.asarray(read_tree(tmp_path / "draws.zarr", partial=True)["posterior"]["loss"])
    assert loss[1, 3] == 2.5
    assert np.isfinite(loss).sum() == 1
    fresh = ZarrSink(tmp_path / "draws.zarr")
    fresh.open(LAYOUT)  # draws of ours are replaced
    assert int(np.isfinite(fresh.close({})["posterior"]["loss"]).sum()) == 0
    write_all(again := ZarrSink(tmp_path / "draws.zarr"), values)
    again.close({})
    xr.testing.assert_identical(read_tree(tmp_path / "draws.zarr", partial=True), read_tree(tmp_path / "draws.zarr"))


def test_a_sink_that_was_overtaken_by_another_does_not_finish(tmp_path: Path) -> None:
    first, second = ZarrSink(tmp_path / "draws.zarr"), ZarrSink(tmp_path / "draws.zarr")
    for sink in (first, second):
        sink.open(LAYOUT)
    with pytest.raises(CorruptFile, match=r"draws\.zarr: another process"):
        first.close({})
    second.close({})


def write_dataset(path: Path) -> None:
    write_tree(path, labelled())


def open_sink(path: Path) -> None:
    ZarrSink(path).open(LAYOUT)


def finish_sink(path: Path) -> None:
    sink = ZarrSink(path)
    sink.open(LAYOUT)
    sink.close({})


WRITERS = [write_dataset, open_sink, finish_sink]


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("before", [None, *WRITERS])
def test_what_is_not_ours_is_refused_and_stays(
    write: Callable[[Path], None], before: Callable[[Path], None] | None, tmp_path: Path
) -> None:
    path = tmp_path / "results"
    if before:
        before(path)
        write(path)  # what is ours alone is replaced
    (path / "posterior").mkdir(parents=True, exist_ok=True)
    (path / "posterior" / "thesis.txt").write_text("precious")
    files = {file: file.read_bytes() for file in path.rglob("*") if file.is_file()}
    with pytest.raises(InvalidArgument, match=r"`path`: expected .*found .*with .*thesis\.txt.*instead: another"):
        write(path)
    assert {file: file.read_bytes() for file in path.rglob("*") if file.is_file()} == files


def test_a_path_that_is_refused_is_refused_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("precious")
    monkeypatch.setattr("ontogeny.stores.trees._with_strings", None)
    with pytest.raises(InvalidArgument, match=r"found .*file, a file"):
        write_tree(tmp_path / "file", labelled())
    assert (tmp_path / "file").read_text() == "precious"


def test_a_saved_estimate_never_replaces_a_folder_of_the_users(tmp_path: Path) -> None:
    draws = xr.DataTree.from_dict({"/posterior": labelled()})
    estimate = og.Estimate(1.0, 0.1, 1.0, 100.0, og.Outcome.CONVERGED, "", draws=draws)
    for _ in range(2):
        estimate.save(tmp_path / "estimate")
        xr.testing.assert_identical(read_tree(tmp_path / "estimate"), draws)
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "thesis.txt").write_text("precious")
    with pytest.raises(InvalidArgument, match=r"results with thesis\.txt"):
        estimate.save(tmp_path / "results")
    assert (tmp_path / "results" / "thesis.txt").read_text() == "precious"
