"""Series on a hub, laid out as the published ones are: opened, fetched once, evicted, and refused where damaged."""

import io
import os
import signal
import threading
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save
from tests.hub_server import HubServer, Repo, branches, sharded, suites, weights, whole

import ontogeny as og
from ontogeny.core.errors import CorruptFile, InvalidArgument
from ontogeny.stores import HubCheckpoints, HubUnreachable

pytest.importorskip("huggingface_hub")


@pytest.fixture(scope="module")
def served() -> Generator[HubServer]:
    server = HubServer().start()
    yield server
    server.stop()


@pytest.fixture
def hub(served: HubServer) -> HubServer:
    served.repos, served.tampered = suites(), {}
    served.sent.clear()
    served.calls.clear()
    return served


def opened(hub: HubServer, place: Path, name: str = "org/net", **options: Any) -> HubCheckpoints:
    moved = options.pop("moved", "refuse")
    run = og.open_checkpoints(f"hf://{name}", hub=og.Hub(hub.endpoint, place, moved), **options)
    assert isinstance(run, HubCheckpoints)
    return run


def on_disk(place: Path) -> int:
    """Checkpoints on disk, whole or in part."""
    return sum(path.is_dir() for path in place.glob("*/????????????????????????????????????????*"))


SERIES = {
    "EleutherAI/pythia-70m": [0, 1, 8, 64, 512, 3000, 20_000, 143_000],
    "EleutherAI/pythia-14m-seed5": [0, 1, 8, 64, 512, 3000, 20_000, 143_000],
    "allenai/OLMo-2-1124-7B": [1000, 2000, 6000, 13_000, 31_000, 72_000, 170_000, 399_000],
    "allenai/Olmo-3-1025-7B": [0, 1000, 3000, 11_000, 38_000, 126_000, 422_000, 1_413_814],
    "HuggingFaceTB/SmolLM3-3B-checkpoints": [
        40_000,
        80_000,
        160_000,
        320_000,
        600_000,
        1_200_000,
        2_400_000,
        4_720_000,
    ],
    "pico-lm/pico-decoder-tiny": [0, 1000, 2000, 4000, 8000, 15_000, 30_000, 60_000],
}


@pytest.mark.parametrize("name", SERIES)
def test_each_suite_opens_on_a_grid_and_is_fetched_once_with_two_on_disk(
    hub: HubServer, tmp_path: Path, name: str
) -> None:
    run = opened(hub, tmp_path, name, every="log:8")
    assert run.steps == SERIES[name]
    assert not hub.sent  # nothing before it is loaded
    assert hub.calls["tree"] <= 9
    for step in run.steps:
        found = run.load(step)
        torch.testing.assert_close(found, weights(step))
        assert on_disk(tmp_path) <= 2
    assert set(hub.sent.values()) == {1}


def test_forks_are_series_of_their_own(hub: HubServer, tmp_path: Path) -> None:
    run = opened(hub, tmp_path, "allenai/OLMo-2-1124-7B", every="log:4")
    fork = "hf://allenai/OLMo-2-1124-7B@stage2-ingredient2"
    assert run.others[fork] == 2
    there = opened(hub, tmp_path, fork.removeprefix("hf://"))
    assert there.steps == [5000, 11_931]
    assert there.tokens == {5000: 21 * 10**9, 11_931: 50 * 10**9}
    by_pattern = opened(hub, tmp_path, "allenai/OLMo-2-1124-7B@stage2-ingredient2-step{N}-tokens*B")
    assert [by_pattern.checksum(step) for step in by_pattern.steps] == [there.checksum(step) for step in there.steps]
    single = opened(hub, tmp_path, "allenai/OLMo-2-1124-7B@stage1-step5000-tokens21B")
    assert single.steps == [5000]


def test_stages_that_go_on_counting_are_one_line_and_others_are_not(hub: HubServer, tmp_path: Path) -> None:
    smol = opened(hub, tmp_path, "HuggingFaceTB/SmolLM3-3B-checkpoints", every="log:4")
    assert smol.stages == {"stage1": 40_000, "stage2": 3_480_000, "stage3": 4_200_000}
    assert smol.others == {"hf://HuggingFaceTB/SmolLM3-3B-checkpoints@lc-4k-to-32k": 5}
    olmo = opened(hub, tmp_path, "allenai/Olmo-3-1025-7B", every="log:4")
    assert olmo.stages == {}
    assert list(olmo.others) == [f"hf://allenai/Olmo-3-1025-7B@stage{number}" for number in (2, 3)]


def test_what_is_missing_is_said(hub: HubServer, tmp_path: Path) -> None:
    run = opened(hub, tmp_path, "allenai/OLMo-2-1124-7B", every="log:4")
    assert run.missing == dict.fromkeys((100_000, 174_000, 317_000), "no revision")
    repo = branches(["step1000", "step2000", "step3000", "step5000"])
    repo.add("step3000", lambda: {".gitattributes": b"", "pytorch_model.bin": b"pickle"})
    repo.add("step2000", lambda: {".gitattributes": b""})
    hub.repos["org/net"] = repo
    run = opened(hub, tmp_path)
    assert run.steps == [1000, 5000]
    assert run.missing == {
        2000: "step2000 has no weights (.gitattributes)",
        3000: "step3000 has weights as pickle only (pytorch_model.bin)",
        4000: "no revision",
    }


def test_a_shard_that_was_not_uploaded_is_missing(hub: HubServer, tmp_path: Path) -> None:
    hub.repos["org/net"] = branches(["step1", "step2"], sharded)
    torn = sharded(2)
    torn.pop("model-00002-of-00002.safetensors")
    hub.repos["org/net"].add("step2", lambda: torn)
    run = opened(hub, tmp_path)
    assert run.steps == [1]
    assert run.missing == {2: "step2 has 1 of 2 shards missing"}


def test_pickle_is_read_only_when_asked_for(hub: HubServer, tmp_path: Path) -> None:
    def pickled(step: int) -> dict[str, bytes]:
        # In memory: the server answers several requests at once, and one file would be theirs together.
        buffer = io.BytesIO()
        torch.save(weights(step), buffer)
        return {"pytorch_model.bin": buffer.getvalue()}

    hub.repos["org/net"] = branches(["step1", "step2"], pickled)
    with pytest.raises(InvalidArgument, match="pickle=True"):
        opened(hub, tmp_path / "cache")
    run = opened(hub, tmp_path / "cache", pickle=True)
    torch.testing.assert_close(run.load(2), weights(2))


def test_folders_and_files_within_a_revision_are_a_series(hub: HubServer, tmp_path: Path) -> None:
    repo = Repo()
    files = {f"checkpoint-{step}/model.safetensors": save(weights(step)) for step in (10, 20, 30)}
    repo.add("main", lambda: files | {f"checkpoint-{step}/optimizer.pt": b"" for step in (10, 20, 30)})
    hub.repos["org/net"] = repo
    run = opened(hub, tmp_path)
    assert run.steps == [10, 20, 30]
    torch.testing.assert_close(run.load(20), weights(20))
    assert list(hub.sent) == [("org/net", repo.branches["main"][0], "checkpoint-20/model.safetensors")]


def test_a_damaged_file_is_named_and_fetched_again(hub: HubServer, tmp_path: Path) -> None:
    hub.repos["org/net"] = branches(["step1", "step2"])
    good = whole(2)["model.safetensors"]
    hub.tampered["org/net", "model.safetensors"] = good[:-1] + bytes([good[-1] ^ 1])
    run = opened(hub, tmp_path)
    with pytest.raises(CorruptFile, match=r"hf://org/net@step2: model.safetensors does not match"):
        run.load(2)
    hub.tampered.clear()
    torch.testing.assert_close(run.load(2), weights(2))


def test_a_truncated_file_is_named(hub: HubServer, tmp_path: Path) -> None:
    hub.repos["org/net"] = branches(["step1", "step2"])
    hub.tampered["org/net", "model.safetensors"] = whole(2)["model.safetensors"][:-9]
    with pytest.raises(CorruptFile, match=r"hf://org/net@step2: model.safetensors .* bytes"):
        opened(hub, tmp_path).load(2)


def test_damage_on_this_disk_is_found_at_the_next_reading(hub: HubServer, tmp_path: Path) -> None:
    hub.repos["org/net"] = branches(["step1", "step2"])
    run = opened(hub, tmp_path)
    place = run.fetch(2) / "model.safetensors"
    content = place.read_bytes()
    place.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(CorruptFile, match=r"step2: model.safetensors"):
        run.load(2)
    torch.testing.assert_close(run.load(2), weights(2))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_transfer_that_was_cut_begins_again_and_whole_files_stay(hub: HubServer, tmp_path: Path) -> None:
    hub.repos["org/net"] = branches(["step1", "step2", "step3"], sharded)
    reached, go_on = threading.Event(), threading.Event()

    def pause(path: str) -> None:
        if path == "model-00002-of-00002.safetensors":
            reached.set()
            go_on.wait(10)

    hub.pause = pause
    child = os.fork()
    if not child:
        opened(hub, tmp_path).load(2)
        os._exit(0)
    assert reached.wait(20)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    hub.pause = lambda path: None
    go_on.set()
    run = opened(hub, tmp_path)
    torch.testing.assert_close(run.load(2), weights(2))
    commit = hub.repos["org/net"].branches["step2"][-1]
    assert hub.sent["org/net", commit, "model-00001-of-00002.safetensors"] == 1
    run.load(3)
    run.load(1)
    assert on_disk(tmp_path) <= 2
    assert not list(tmp_path.rglob("*.incomplete"))


def test_a_moved_revision_is_refused_by_name(hub: HubServer, tmp_path: Path) -> None:
    repo = hub.repos["org/net"] = branches(["step1", "step2", "step3"])
    before = opened(hub, tmp_path).checksum(2)
    old, new = repo.branches["step2"][-1], repo.add("step2", lambda: whole(7))
    with pytest.raises(InvalidArgument, match=f"hf://org/net@step2 moved from {old[:12]} to {new[:12]}"):
        opened(hub, tmp_path)
    kept = opened(hub, tmp_path, moved="keep")
    assert kept.checksum(2) == before
    torch.testing.assert_close(kept.load(2), weights(2))
    taken = opened(hub, tmp_path, moved="take")
    assert taken.checksum(2) != before
    torch.testing.assert_close(taken.load(2), weights(7))
    opened(hub, tmp_path)  # what was taken is what is expected now


def test_a_commit_that_went_away_after_opening_is_named(hub: HubServer, tmp_path: Path) -> None:
    repo = hub.repos["org/net"] = branches(["step1", "step2"])
    run = opened(hub, tmp_path)
    del repo.commits[repo.branches.pop("step2")[-1]]
    with pytest.raises(CorruptFile, match=r"org/net@step2: model.safetensors .* moved or removed"):
        run.load(2)


def test_main_is_never_assumed(hub: HubServer, tmp_path: Path) -> None:
    repo = Repo()
    repo.add("trunk", lambda: whole(0))
    hub.repos["org/net"] = repo
    assert opened(hub, tmp_path).steps == [0]  # one checkpoint
    hub.repos["org/other"] = branches([], empty_main=True)
    with pytest.raises(InvalidArgument, match="no weights"):
        opened(hub, tmp_path, "org/other")


def test_keep(hub: HubServer, tmp_path: Path) -> None:
    hub.repos["org/net"] = branches(["step1", "step2", "step3", "step4"])
    nothing = opened(hub, tmp_path / "none", keep="none")
    nothing.load(1)
    assert on_disk(tmp_path / "none") == 0
    everything = opened(hub, tmp_path / "all", keep="all")
    for step in everything.steps:
        everything.load(step)
    assert on_disk(tmp_path / "all") == 4
    opened(hub, tmp_path / "all", keep="none").load(2)  # what was to be kept is not removed by others
    assert on_disk(tmp_path / "all") == 4


def test_without_the_hub_what_was_listed_and_fetched_is_still_there(
    hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # between the attempts of huggingface_hub
    hub.repos["org/net"] = branches(["step1", "step2"])
    opened(hub, tmp_path, keep="all").load(2)
    away = og.Hub("http://127.0.0.1:9", tmp_path)
    run = og.open_checkpoints("hf://org/net", hub=away, keep="all")
    torch.testing.assert_close(run.load(2), weights(2))
    with pytest.raises(HubUnreachable, match="start again"):
        run.load(1)
