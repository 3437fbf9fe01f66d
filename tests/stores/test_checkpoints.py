"""Every source of checkpoints behaves alike; damaged files are named and refused, and nothing in a file is executed."""

import os
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from ontogeny.core.errors import CorruptFile, InvalidArgument
from ontogeny.core.fingerprint import fingerprint
from ontogeny.core.outcome import TrainingOutcome
from ontogeny.stores import Checkpoints, DirectoryCheckpoints, MemoryCheckpoints, open_checkpoints, read_weights

Run = dict[int, dict[str, Tensor]]
STEPS = (100, 0, 7)


def make_run(seed: int = 0) -> Run:
    generator = torch.Generator().manual_seed(seed)

    def weights(step: int) -> dict[str, Tensor]:
        return {
            "linear.weight": torch.randn(5, 3, generator=generator),
            "half": torch.randn(4, generator=generator).bfloat16(),
            "count": torch.tensor(step),
        }

    return {step: weights(step) for step in STEPS}


def in_memory(run: Run, folder: Path) -> Checkpoints:
    return open_checkpoints(run)


def saved_to_memory(run: Run, folder: Path) -> Checkpoints:
    store = MemoryCheckpoints()
    for step, weights in run.items():
        store.save(step, weights)
    return store


def in_directory(run: Run, folder: Path) -> Checkpoints:
    store = DirectoryCheckpoints(folder / "checkpoints")
    for step, weights in run.items():
        store.save(step, weights)
    assert store.steps == sorted(run)
    return open_checkpoints(folder)


def in_checkpoints_folder(run: Run, folder: Path) -> Checkpoints:
    in_directory(run, folder)
    return open_checkpoints(str(folder / "checkpoints"))


def in_torch_files(run: Run, folder: Path) -> Checkpoints:
    for step, weights in run.items():
        torch.save(weights, folder / f"model_{step}.pt")
    return open_checkpoints(f"{folder}/*_{{N}}.pt")


def in_step_folders(run: Run, folder: Path) -> Checkpoints:
    for step, weights in run.items():
        (folder / f"step{step}").mkdir(exist_ok=True)
        save_file(weights, folder / f"step{step}" / "weights.safetensors")
    return open_checkpoints(folder / "step{N}")


def in_trainer_folders(run: Run, folder: Path) -> Checkpoints:
    """As the trainer of transformers leaves them: the optimizer's files lie beside the weights."""
    for step, weights in run.items():
        place = folder / f"checkpoint-{step}"
        place.mkdir(exist_ok=True)
        save_file(weights, place / "model.safetensors")
        for name in ("optimizer.pt", "rng_state.pth", "scheduler.pt", "training_args.bin"):
            torch.save({"lr": torch.zeros(1)}, place / name)
    return open_checkpoints(folder / "checkpoint-{N}")


def in_old_trainer_folders(run: Run, folder: Path) -> Checkpoints:
    for step, weights in run.items():
        place = folder / f"checkpoint-{step}"
        place.mkdir(exist_ok=True)
        for name, content in {"pytorch_model.bin": weights, "optimizer.pt": {}, "training_args.bin": {}}.items():
            torch.save(content, place / name)
    return open_checkpoints(folder / "checkpoint-{N}")


SOURCES = [
    *(in_memory, saved_to_memory, in_directory, in_checkpoints_folder),
    *(in_torch_files, in_step_folders, in_trainer_folders, in_old_trainer_folders),
]
every_source = pytest.mark.parametrize("source", SOURCES)
Source = Callable[[Run, Path], Checkpoints]


@every_source
def test_what_is_loaded_is_what_was_saved_in_the_order_of_steps(source: Source, tmp_path: Path) -> None:
    run = make_run()
    stored = source(run, tmp_path)
    assert stored.steps == sorted(STEPS)
    for step in STEPS:
        loaded = stored.load(step)
        assert loaded.keys() == run[step].keys()
        for name, tensor in run[step].items():
            assert loaded[name].dtype == tensor.dtype
            assert torch.equal(loaded[name], tensor)


@every_source
def test_the_checksum_follows_the_content(source: Source, tmp_path: Path) -> None:
    run = make_run()
    stored = source(run, tmp_path)
    before = {step: stored.checksum(step) for step in STEPS}
    assert len(set(before.values())) == len(STEPS)
    again = source(make_run(), tmp_path)
    assert {step: again.checksum(step) for step in STEPS} == before
    run[7]["half"][1] += 1
    changed = source(run, tmp_path)
    assert [step for step in STEPS if changed.checksum(step) != before[step]] == [7]


@every_source
@pytest.mark.parametrize("method", ["load", "checksum"])
def test_an_unknown_step_is_refused(source: Source, method: str, tmp_path: Path) -> None:
    stored = source(make_run(), tmp_path)
    with pytest.raises(InvalidArgument, match=r"`step`.*0, 7, 100.*found 8"):
        getattr(stored, method)(8)


def test_a_list_of_state_dicts_counts_from_zero() -> None:
    weights = [{"w": torch.full((2,), float(step))} for step in range(3)]
    run = open_checkpoints(weights)
    assert run.steps == [0, 1, 2]
    assert torch.equal(run.load(2)["w"], torch.tensor([2.0, 2.0]))


def trained(take: Callable[[torch.nn.Module], dict[str, Tensor]]) -> list[dict[str, Tensor]]:
    """Three steps of a run of a network with batch statistics."""
    head = torch.nn.Linear(2, 1, bias=False)
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2), head)
    taken = []
    for step in range(3):
        torch.nn.init.constant_(head.weight, float(step))
        taken.append(take(model))
    return taken


@pytest.mark.parametrize("take", [lambda model: model.state_dict(), lambda model: dict(model.named_parameters())])
@pytest.mark.parametrize("arrange", [list, lambda taken: {10 * step: weights for step, weights in enumerate(taken)}])
def test_state_dicts_that_all_follow_the_model_are_refused(
    take: Callable[[torch.nn.Module], dict[str, Tensor]], arrange: Callable[[list], list | dict]
) -> None:
    with pytest.raises(InvalidArgument, match=r"steps 0 and 10? with all tensors in the same memory.*clone\(\)"):
        open_checkpoints(arrange(trained(take)))
    copied = trained(lambda model: {name: tensor.clone() for name, tensor in model.state_dict().items()})
    run = open_checkpoints(arrange(copied))
    assert [float(run.load(step)["2.weight"][0, 0]) for step in run.steps] == [0.0, 1.0, 2.0]


def test_frozen_layers_tied_weights_and_views_are_no_aliases() -> None:
    frozen, rows = torch.ones(2, 2), torch.arange(6.0).reshape(3, 2)
    steps = [{"frozen": frozen, "tied": rows[step], "head": rows[step], "n": torch.tensor(0)} for step in range(3)]
    assert open_checkpoints(steps).load(1)["head"].tolist() == [2.0, 3.0]
    count = torch.tensor(3)
    assert open_checkpoints([{"count": count}, {"count": count}]).steps == [0, 1]


def test_a_checkpoint_is_read_once_and_what_was_read_is_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored, read = in_directory(make_run(), tmp_path), []
    original = Path.open
    monkeypatch.setattr(
        Path, "open", lambda path, *args, **kwargs: read.append(path.name) or original(path, *args, **kwargs)
    )
    stored.load(7)
    assert read.count("step-00000007.safetensors") == 1


def test_a_run_says_how_many_checkpoints_it_has(tmp_path: Path) -> None:
    assert repr(in_directory(make_run(), tmp_path)) == "DirectoryCheckpoints(3 checkpoints, steps 0 to 100)"
    assert repr(MemoryCheckpoints()) == "MemoryCheckpoints(0 checkpoints)"


def test_what_was_saved_to_memory_does_not_follow_the_model() -> None:
    model, store = torch.nn.Linear(2, 2), MemoryCheckpoints()
    store.save(0, model.state_dict())
    before = store.load(0)["weight"].clone()
    torch.nn.init.ones_(model.weight)
    assert torch.equal(store.load(0)["weight"], before)


def test_tied_weights_are_stored(tmp_path: Path) -> None:
    model = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.Linear(3, 3))
    model[1].weight = model[0].weight
    store = DirectoryCheckpoints(tmp_path)
    store.save(0, model.state_dict())
    assert torch.equal(store.load(0)["1.weight"], store.load(0)["0.weight"])


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)


def empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("damage", [truncate, flip, empty])
def test_a_damaged_file_is_named_and_the_others_still_load(damage: Callable[[Path], None], tmp_path: Path) -> None:
    run = make_run()
    in_directory(run, tmp_path)
    damaged = tmp_path / "checkpoints" / "step-00000007.safetensors"
    damage(damaged)
    stored = open_checkpoints(tmp_path)
    with pytest.raises(CorruptFile, match=damaged.name):
        stored.load(7)
    for step in (0, 100):
        assert torch.equal(stored.load(step)["linear.weight"], run[step]["linear.weight"])


def test_a_missing_checksum_is_an_error(tmp_path: Path) -> None:
    stored = in_directory(make_run(), tmp_path)
    (tmp_path / "checkpoints" / "step-00000007.sha256").unlink()
    with pytest.raises(CorruptFile, match=r"step-00000007\.sha256"):
        stored.load(7)


@pytest.mark.parametrize("name", ["weights.safetensors", "weights.pt", "weights.pth", "weights.bin"])
def test_a_users_truncated_file_is_named(name: str, tmp_path: Path) -> None:
    path, weights = tmp_path / name, make_run()[7]
    save_file(weights, path) if name.endswith("safetensors") else torch.save(weights, path)
    assert torch.equal(read_weights(path)["half"], weights["half"])
    truncate(path)
    with pytest.raises(CorruptFile, match=name):
        read_weights(path)


class Malicious:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.folder),)


def save_as_archive(content: object, path: Path) -> None:
    torch.save(content, path)


def save_as_pickle(content: object, path: Path) -> None:
    path.write_bytes(pickle.dumps(content, protocol=2))


@pytest.mark.parametrize("save", [save_as_archive, save_as_pickle])
def test_a_malicious_file_is_refused_and_not_executed(save: Callable[[object, Path], None], tmp_path: Path) -> None:
    path, made = tmp_path / "model_1.pt", tmp_path / "made"
    save({"weight": Malicious(made)}, path)
    with pytest.raises(CorruptFile, match=r"model_1\.pt"):
        open_checkpoints(f"{tmp_path}/model_{{N}}.pt").load(1)
    assert not made.exists()
    pickle.loads(path.read_bytes()) if save is save_as_pickle else torch.load(path, weights_only=False)
    assert made.exists()  # the file was dangerous indeed


@pytest.mark.parametrize("content", [{"epoch": 3, "loss": torch.zeros(1), "name": "a"}, [torch.zeros(1)]])
def test_a_file_of_other_things_is_refused(content: object, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "all.pt")
    with pytest.raises(InvalidArgument, match=r"expected a state dict \(name -> tensor\) in all\.pt"):
        read_weights(tmp_path / "all.pt")


@pytest.mark.parametrize("key", ["model", "model_state_dict", "policy"])
def test_weights_beside_an_optimizer_are_found(key: str, tmp_path: Path) -> None:
    weights = {"w": torch.ones(2)}
    torch.save({key: weights, "optimizer": {"state": {0: {"step": 3}}}, "step": 3}, tmp_path / "ckpt_3.pt")
    run = open_checkpoints(str(tmp_path / "ckpt_{N}.pt"))
    assert torch.equal(run.load(3)["w"], torch.ones(2))


def test_one_of_several_state_dicts_is_not_guessed(tmp_path: Path) -> None:
    torch.save({"teacher": {"w": torch.ones(2)}, "student": {"w": torch.zeros(2)}}, tmp_path / "both.pt")
    with pytest.raises(InvalidArgument, match="teacher, student"):
        read_weights(tmp_path / "both.pt")


@pytest.mark.parametrize(
    "pattern", ["runs/a/step{N}.pt", "./runs/a/step{N}.pt", "runs/*/step{N}.pt", "{here}/runs/a/step{N}.pt"]
)
def test_patterns_are_relative_or_absolute(pattern: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "runs" / "a"
    folder.mkdir(parents=True)
    for step, weights in make_run().items():
        torch.save(weights, folder / f"step{step}.pt")
    (folder / "stepX.pt").touch()
    (folder / "step3.pt.old").touch()
    assert open_checkpoints(pattern.replace("{here}", str(tmp_path))).steps == sorted(STEPS)


def test_a_pattern_means_its_brackets_and_dots(tmp_path: Path) -> None:
    folder = tmp_path / "lr[0.1]?"
    folder.mkdir()
    in_torch_files(make_run(), folder)
    (folder / "model_5xpt").touch()
    assert open_checkpoints(folder / "model_{N}.pt").steps == sorted(STEPS)


def test_two_files_of_one_step_are_ambiguous(tmp_path: Path) -> None:
    for name in ("a", "b"):
        torch.save({}, tmp_path / f"{name}_1.pt")
    with pytest.raises(InvalidArgument, match=r"`source`.*a_1\.pt.*b_1\.pt"):
        open_checkpoints(f"{tmp_path}/*_{{N}}.pt")


@pytest.mark.parametrize("found", ["none", "two"])
def test_a_folder_needs_one_weights_file(found: str, tmp_path: Path) -> None:
    (tmp_path / "step1").mkdir()
    for name in ("a", "b") if found == "two" else ():
        torch.save({}, tmp_path / "step1" / f"{name}.pt")
    with pytest.raises(InvalidArgument, match=r"`source`: expected one weights file in .*step1"):
        open_checkpoints(tmp_path / "step{N}").load(1)


@pytest.mark.parametrize("missing", ["nowhere", ".", "nowhere/step{N}", "*_{N}.pt"])
def test_nothing_there_is_an_error_that_says_where(missing: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument) as raised:
        open_checkpoints(tmp_path / missing)
    assert str(tmp_path) in str(raised.value)


def test_stages_and_outcome_are_read_again_and_a_divergence_counts_in_keys(tmp_path: Path) -> None:
    diverged = TrainingOutcome(True, 7, "second", "the loss is nan", "Lower it.")
    stages = {"second": 7, "first": 0, "zeroth": 3}
    runs: list[DirectoryCheckpoints | MemoryCheckpoints] = [DirectoryCheckpoints(tmp_path), MemoryCheckpoints()]
    for run in runs:
        assert (dict(run.stages), run.outcome) == ({}, None)
        run.save(0, make_run()[0])
        plain = fingerprint(run)
        run.record(stages, TrainingOutcome(False, 7))
        assert fingerprint(run) == plain
        run.record(stages, diverged)
        assert fingerprint(run) != plain
    again = open_checkpoints(tmp_path)
    assert list(again.stages.items()) == [("first", 0), ("zeroth", 3), ("second", 7)]
    assert again.outcome == diverged
    assert str(diverged) == "Training diverged: the loss is nan at step 7 of stage 'second'. Lower it."


@pytest.mark.parametrize(
    "content", ["", "{}", "[1]", '{"stages": {}, "outcome": {"a": 1}}', '{"stages": 3, "outcome": null}']
)
def test_a_damaged_record_of_training_is_named(content: str, tmp_path: Path) -> None:
    DirectoryCheckpoints(tmp_path).save(0, make_run()[0])
    (tmp_path / "training.json").write_text(content)
    with pytest.raises(CorruptFile, match=r"training\.json: damaged"):
        open_checkpoints(tmp_path)
