"""A folder's one series of checkpoints is found by itself; of several none is guessed, and each pattern works."""

import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from ontogeny.core.errors import InvalidArgument
from ontogeny.stores import open_checkpoints
from ontogeny.stores.series import patterns_in

SERIES: dict[str, tuple[list[str], str]] = {
    "the Trainer": (["checkpoint-10/", "checkpoint-9/"], "checkpoint-{N}"),
    "folders of steps": (["step0/", "step1000/"], "step{N}"),
    "Lightning": (["epoch=0-step=9.ckpt", "epoch=1-step=10.ckpt"], "epoch=*-step={N}.ckpt"),
    "Lightning with a metric": (["epoch=9-loss=0.25.ckpt", "epoch=10-loss=0.5.ckpt"], "epoch={N}-loss=0.*.ckpt"),
    "files": (["model_9.pt", "model_10.pt"], "model_{N}.pt"),
    "zeros": (["iter_000009.pth", "iter_000010.pth"], "iter_{N}.pth"),
    "one file of two numbers": (["gpt2_step10.pt"], "gpt2_step{N}.pt"),
    "a number that stays": (["gpt2-9.pt", "gpt2-10.pt"], "gpt2-{N}.pt"),
    "safetensors": (["step-9.safetensors", "step-10.safetensors"], "step-{N}.safetensors"),
}  # fmt: skip
BESIDE = [
    "last.ckpt", "last-v1.ckpt", "optimizer_3.pt", "rng_state_0.pth", "training_args.bin", "model.safetensors",
    "model-00001-of-00002.safetensors", "events.out.tfevents.123", "log3.txt", "runs3/",
]  # fmt: skip


def write(folder: Path, name: str) -> None:
    path = folder / name
    number = float(re.findall(r"\d+", name)[-1] if re.search(r"\d", name) else 0)
    weights = {"w": torch.tensor([number])}
    if name.endswith("/"):
        path.mkdir(parents=True)
        if not name.startswith("runs"):
            save_file(weights, path / "model.safetensors")
            torch.save({}, path / "rng_state_0.pth")
    elif path.suffix == ".safetensors":
        save_file(weights, path)
    else:
        torch.save(weights, path)


@pytest.mark.parametrize("kind", SERIES)
@pytest.mark.parametrize("place", [".", "checkpoints"])
def test_the_series_of_a_folder_is_found(kind: str, place: str, tmp_path: Path) -> None:
    folder = tmp_path / place
    folder.mkdir(exist_ok=True)
    names, pattern = SERIES[kind]
    for name in [*names, *BESIDE]:
        write(folder, name)
    run = open_checkpoints(tmp_path)
    assert run.steps == sorted(
        [9, 10] if len(names) > 1 and "step0/" not in names else [0, 1000] if len(names) > 1 else [10]
    )
    assert patterns_in(folder) == [(folder / pattern).as_posix()]
    by_pattern = open_checkpoints(folder / pattern)
    assert by_pattern.steps == run.steps
    for step in run.steps:
        assert torch.equal(run.load(step)["w"], by_pattern.load(step)["w"])


def test_several_series_are_refused_with_patterns_that_work(tmp_path: Path) -> None:
    for name in ("model_1.pt", "model_2.pt", "ema_1.pt", "ema_2.pt"):
        write(tmp_path, name)
    with pytest.raises(
        InvalidArgument, match=r"one series of checkpoints in .*found 2: ema_\{N\}\.pt, model_"
    ) as raised:
        open_checkpoints(tmp_path)
    patterns = re.findall(r'"([^"]+)"', raised.value.instead)
    assert [open_checkpoints(pattern).steps for pattern in patterns] == [[1, 2], [1, 2]]


def test_two_numbers_of_which_either_may_be_the_step_are_refused(tmp_path: Path) -> None:
    for name in ("a1_b5.pt", "a2_b6.pt"):
        write(tmp_path, name)
    with pytest.raises(InvalidArgument) as raised:
        open_checkpoints(tmp_path)
    patterns = re.findall(r'"([^"]+)"', raised.value.instead)
    assert [open_checkpoints(pattern).steps for pattern in patterns] == [[1, 2], [5, 6]]


def test_two_runs_in_a_folder_are_refused_with_patterns_that_work(tmp_path: Path) -> None:
    for name in ("seed0_step1.pt", "seed0_step2.pt", "seed1_step1.pt", "seed1_step2.pt"):
        write(tmp_path, name)
    with pytest.raises(InvalidArgument, match="one file per step") as raised:
        open_checkpoints(tmp_path)
    patterns = re.findall(r'"([^"]+)"', raised.value.instead)
    assert [open_checkpoints(pattern).steps for pattern in patterns] == [[1, 2], [1, 2]]


def test_a_pattern_without_files_is_refused_with_one_that_has_some(tmp_path: Path) -> None:
    write(tmp_path, "checkpoint-3/")
    with pytest.raises(InvalidArgument, match=r"none for .*step-\{N\}") as raised:
        open_checkpoints(tmp_path / "step-{N}")
    assert open_checkpoints(re.findall(r'"([^"]+)"', raised.value.instead)[0]).steps == [3]


def test_a_folder_that_was_left_half_written_is_a_step_and_is_named_when_it_is_loaded(tmp_path: Path) -> None:
    write(tmp_path, "checkpoint-1/")
    (tmp_path / "checkpoint-2").mkdir()
    run = open_checkpoints(tmp_path)
    assert run.steps == [1, 2]
    for use in (run.load, run.checksum):
        with pytest.raises(InvalidArgument, match=r"one weights file in .*checkpoint-2"):
            use(2)


def test_one_file_is_step_zero_and_one_in_a_folder_is_named_with_its_path(tmp_path: Path) -> None:
    write(tmp_path, "ckpt.pt")
    with pytest.raises(InvalidArgument) as raised:
        open_checkpoints(tmp_path)
    path = re.findall(r'"([^"]+ckpt.pt)"', raised.value.instead)[0]
    assert open_checkpoints(path).steps == [0]
    assert open_checkpoints(path).load(0)["w"].tolist() == [0.0]


def test_of_several_files_in_a_checkpoint_none_is_guessed(tmp_path: Path) -> None:
    for name in ("a.safetensors", "b.safetensors"):
        (tmp_path / "step1").mkdir(exist_ok=True)
        write(tmp_path / "step1", name)
    with pytest.raises(InvalidArgument, match=r"found a\.safetensors, b\.safetensors.*a pattern") as raised:
        open_checkpoints(tmp_path).load(1)
    name = re.findall(r'"\.\.\./([^"]+)"', raised.value.instead)[0]
    assert open_checkpoints(tmp_path / "step{N}" / name).steps == [1]
