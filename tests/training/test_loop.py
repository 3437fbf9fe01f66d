"""The one training loop: it learns, keeps what it should, and continues where it stopped."""

import itertools
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ontogeny.core import losses
from ontogeny.core.errors import InvalidArgument
from ontogeny.core.fingerprint import fingerprint
from ontogeny.training import TrainingConfig, train

CONFIG = TrainingConfig(
    num_steps=23, batch_size=8, learning_rate=1e-2, checkpoints_log=3, checkpoints_linear=4, state_every=5, log_every=2
)
Data = tuple[Tensor, Tensor]


class Crash(BaseException):
    """Ends a run like a signal does: nothing catches it."""


@pytest.fixture
def data() -> Data:
    """Three classes of points around three centres; 30 samples, so that the last batch of an epoch is left out."""
    generator = torch.Generator().manual_seed(1)
    labels = torch.arange(30) % 3
    return 2 * torch.eye(3, 4)[labels] + 0.5 * torch.randn(30, 4, generator=generator), labels


def make_model(seed: int = 0, dropout: float = 0.2) -> nn.Sequential:
    generator = torch.Generator().manual_seed(seed)
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Dropout(dropout), nn.Linear(8, 3))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))
    return model


def mean_loss(model: nn.Module, data: Data) -> float:
    model.eval()
    with torch.no_grad():
        return float(losses.cross_entropy(model, data).mean())


def contents(folder: Path) -> dict[str, bytes | str]:
    """Every file's bytes, and what is in the optimizer's state, whose archive may be packed in more than one way."""
    files = {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.suffix != ".part"}
    found: dict[str, bytes | str] = {name: path.read_bytes() for name, path in files.items() if path.is_file()}
    state = torch.load(folder / "training-state.pt", weights_only=True)
    return found | {"training-state.pt": fingerprint(state)}


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


class CountedLoss:
    """Cross-entropy that knows how often it was called."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, model: nn.Module, batch: Data) -> Tensor:
        self.calls += 1
        return losses.cross_entropy(model, batch)


def updates(run: Callable[[losses.LossFn], object], monkeypatch: pytest.MonkeyPatch) -> int:
    """How many updates a run makes."""
    counted = CountedLoss()
    with monkeypatch.context() as patch:
        # counted from outside: a loss function that counts would be another input at every start
        patch.setattr(
            "ontogeny.training.networks.per_sample", lambda loss_fn, model, batch, size: counted(model, batch)
        )
        run(losses.cross_entropy)
    return counted.calls


@pytest.mark.parametrize(("optimizer", "schedule"), [("adamw", "cosine"), ("adam", "linear"), ("sgd", "constant")])
def test_the_loss_falls(optimizer: str, schedule: str, data: Data) -> None:
    model = make_model()
    before = mean_loss(model, data)
    options = {"optimizer": optimizer, "schedule": schedule, "num_steps": 60, "warmup_steps": 5, "learning_rate": 0.03}
    train(model, data, losses.cross_entropy, CONFIG.model_copy(update=options))
    assert mean_loss(model, data) < 0.5 * before


OPTIMIZERS: dict[str, Callable[[nn.Module], torch.optim.Optimizer]] = {
    "adamw": lambda model: torch.optim.AdamW(model.parameters(), 0.02, (0.8, 0.95), weight_decay=0.3),
    "adam": lambda model: torch.optim.Adam(model.parameters(), 0.02, (0.8, 0.95), weight_decay=0.3),
    "sgd": lambda model: torch.optim.SGD(model.parameters(), 0.02, momentum=0.8, weight_decay=0.3),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("clip_norm", [0.0, 0.05])
def test_an_update_is_that_of_torch(name: str, clip_norm: float, data: Data) -> None:
    """Against the loop one would write by hand, on all samples at each step, where their order does not matter."""
    settings = {"optimizer": name, "clip_norm": clip_norm, "schedule": "linear", "num_steps": 6, "batch_size": 30}
    settings |= {"learning_rate": 0.02, "betas": (0.8, 0.95), "weight_decay": 0.3}
    config = TrainingConfig.model_validate(settings)
    model, expected = make_model(dropout=0), make_model(dropout=0)
    train(model, data, losses.cross_entropy, config)
    optimizer = OPTIMIZERS[name](expected)
    for step in range(6):
        optimizer.param_groups[0]["lr"] = 0.02 * (1 - step / 6)
        loss = nn.functional.cross_entropy(expected(data[0]), data[1])
        optimizer.zero_grad()
        loss.backward()
        norm = float(torch.cat([p.grad.flatten() for p in expected.parameters() if p.grad is not None]).norm())
        assert norm > 0.05  # clipping has something to do
        for parameter in expected.parameters():
            if clip_norm and parameter.grad is not None:
                parameter.grad *= clip_norm / norm
        optimizer.step()
    for found, wanted in zip(model.parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)


def test_checkpoints_are_the_weights_at_their_steps(data: Data) -> None:
    model = make_model()
    initial = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    run = train(model, data, losses.cross_entropy, CONFIG)
    assert run.steps == [0, 1, 5, 6, 12, 17, 23]
    assert same(run.load(0), initial)
    assert same(run.load(23), dict(model.state_dict()))
    shorter = make_model()
    train(shorter, data, losses.cross_entropy, CONFIG.model_copy(update={"num_steps": 17}))
    assert same(run.load(17), dict(shorter.state_dict()))


def test_every_sample_is_visited_once_an_epoch_in_a_new_order(data: Data) -> None:
    seen: list[list[int]] = []

    def loss_fn(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        seen.append(batch[1].tolist())
        return model(batch[0]).square().mean(dim=1)

    config = CONFIG.model_copy(update={"num_steps": 6, "batch_size": 10})
    train(make_model(), (data[0], torch.arange(30)), loss_fn, config)
    epochs = [[*itertools.chain(*seen[:3])], [*itertools.chain(*seen[3:])]]
    assert [sorted(epoch) for epoch in epochs] == [list(range(30))] * 2
    assert epochs[0] != epochs[1]
    assert sorted(epochs[0]) != epochs[0]


def test_seeds_differ_and_are_repeated(data: Data) -> None:
    def final(seed: int) -> dict[str, Tensor]:
        model = make_model()
        train(model, data, losses.cross_entropy, CONFIG.model_copy(update={"seed": seed}))
        return dict(model.state_dict())

    assert same(final(0), final(0))
    assert not same(final(0), final(1))


def test_dropout_is_on(data: Data) -> None:
    models = [make_model(dropout=dropout) for dropout in (0.0, 0.2)]
    for model in models:
        train(model, data, losses.cross_entropy, CONFIG)
    assert not same(dict(models[0].state_dict()), dict(models[1].state_dict()))


def numpy_state() -> list[int]:
    return np.random.get_state(legacy=False)["state"]["key"].tolist()  # noqa: NPY002


def test_global_random_states_are_neither_read_nor_changed(data: Data, tmp_path: Path) -> None:
    def final(global_seed: int) -> dict[str, Tensor]:
        model = make_model()
        torch.manual_seed(global_seed)
        np.random.seed(global_seed)  # noqa: NPY002  (the global state is what this test is about)
        before = torch.get_rng_state(), numpy_state()
        train(model, data, losses.cross_entropy, CONFIG, tmp_path / str(global_seed))
        assert torch.equal(torch.get_rng_state(), before[0])
        assert numpy_state() == before[1]
        return dict(model.state_dict())

    assert same(final(0), final(1))


def test_metrics_are_lines_of_json(data: Data, tmp_path: Path) -> None:
    train(make_model(), data, losses.cross_entropy, CONFIG, tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(0, 23, 2))
    assert all(0 < line["loss"] < 10 for line in lines)


class Heard:
    """A progress that remembers."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []

    def start(self, task: str, total: int, done: int = 0) -> None:
        self.told.append((task, total, done))

    def advance(self, task: str, amount: int = 1, note: str = "") -> None:
        self.told.append((amount, note))

    def finish(self, task: str) -> None:
        self.told.append((task,))


def test_progress_is_told_every_step(data: Data) -> None:
    heard = Heard()
    train(make_model(), data, losses.cross_entropy, CONFIG, progress=heard)
    assert heard.told[0] == ("training", 23, 0)
    assert heard.told[-1] == ("training",)
    assert sum(amount for amount, _ in heard.told[1:-1]) == 23
    assert all(note.startswith("loss ") for _, note in heard.told[1:-1])


def test_a_finished_run_is_not_run_again(data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, again = make_model(), make_model()
    train(first, data, losses.cross_entropy, CONFIG, tmp_path)
    before = contents(tmp_path)
    assert updates(lambda loss_fn: train(again, data, loss_fn, CONFIG, tmp_path), monkeypatch) == 0
    assert same(dict(again.state_dict()), dict(first.state_dict()))
    assert contents(tmp_path) == before


@pytest.mark.parametrize("step", [0, 6, 23])
def test_a_deleted_checkpoint_is_made_again(step: int, data: Data, tmp_path: Path) -> None:
    train(make_model(), data, losses.cross_entropy, CONFIG, tmp_path)
    before = contents(tmp_path)
    (tmp_path / "checkpoints" / f"step-{step:08d}.safetensors").unlink()
    again = make_model()
    run = train(again, data, losses.cross_entropy, CONFIG, tmp_path)
    assert contents(tmp_path) == before
    assert same(dict(again.state_dict()), run.load(23))


OTHER: dict[str, Callable[[Data], tuple[nn.Module, Data, losses.LossFn, TrainingConfig]]] = {
    "weights": lambda data: (make_model(seed=1), data, losses.cross_entropy, CONFIG),
    "model": lambda data: (make_model(dropout=0.3), data, losses.cross_entropy, CONFIG),
    "data": lambda data: (make_model(), (data[0], data[1].flip(0)), losses.cross_entropy, CONFIG),
    "loss": lambda data: (make_model(), data, lambda m, b: 2 * losses.cross_entropy(m, b), CONFIG),
    "config": lambda data: (make_model(), data, losses.cross_entropy, CONFIG.model_copy(update={"seed": 1})),
}


@pytest.mark.parametrize("what", OTHER)
def test_a_folder_with_another_run_is_refused(what: str, data: Data, tmp_path: Path) -> None:
    train(make_model(), data, losses.cross_entropy, CONFIG, tmp_path)
    before = contents(tmp_path)
    model, other_data, loss_fn, config = OTHER[what](data)
    with pytest.raises(InvalidArgument, match=r"`directory`.*another run"):
        train(model, other_data, loss_fn, config, tmp_path)
    assert contents(tmp_path) == before


def test_a_run_that_stops_at_any_moment_of_writing_continues(
    data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run ends before or after each file takes its place in turn; the next start must not see a difference."""
    config = CONFIG.model_copy(update={"num_steps": 9, "state_every": 4, "checkpoints_log": 2, "checkpoints_linear": 2})
    replace, moments = os.replace, [0]

    def run(folder: Path, last: float) -> None:
        def replace_until(source: Path, target: Path) -> None:
            for act in (lambda: None, lambda: replace(source, target)):
                act()
                moments[0] += 1
                if moments[0] > last:
                    raise Crash

        moments[0] = 0
        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", replace_until)
            train(make_model(), data, losses.cross_entropy, config, folder)

    run(tmp_path / "whole", np.inf)
    expected = contents(tmp_path / "whole")
    assert moments[0] == 2 * (2 * 4 + 4 + 2)  # four checkpoints with their checksums, four states, stages and outcome
    for last in range(2 * (2 * 4 + 4 + 2)):
        folder = tmp_path / str(last)
        with pytest.raises(Crash):
            run(folder, last)
        run(folder, np.inf)
        assert contents(folder) == expected, last


def test_a_run_that_stops_within_a_line_of_metrics_continues(
    data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(make_model(), data, losses.cross_entropy, CONFIG, tmp_path / "whole")

    def crash_at(step: int) -> Callable[..., Tensor]:
        counted = CountedLoss()

        def per_sample(loss_fn: losses.LossFn, model: nn.Module, batch: Data, size: int) -> Tensor:
            if counted.calls == step:
                raise Crash
            return counted(model, batch)

        return per_sample

    with monkeypatch.context() as patch:
        patch.setattr("ontogeny.training.networks.per_sample", crash_at(13))
        with pytest.raises(Crash):
            train(make_model(), data, losses.cross_entropy, CONFIG, tmp_path / "stopped")
    with (tmp_path / "stopped" / "metrics.jsonl").open("a") as lines:
        lines.write('{"step": 14, "lo')
    resumed = updates(lambda loss_fn: train(make_model(), data, loss_fn, CONFIG, tmp_path / "stopped"), monkeypatch)
    assert resumed == 23 - 10  # from the state at step 10
    assert contents(tmp_path / "stopped") == contents(tmp_path / "whole")


@pytest.mark.parametrize("directory", [None, "run"])
def test_wrong_use_is_refused(directory: str | None, data: Data, tmp_path: Path) -> None:
    place = tmp_path / directory if directory else None
    with pytest.raises(InvalidArgument, match="`data`: expected at least batch_size=31 samples, found 30"):
        train(make_model(), data, losses.cross_entropy, CONFIG.model_copy(update={"batch_size": 31}), place)
    with pytest.raises(InvalidArgument, match=r"`loss_fn`.*a scalar"):
        train(make_model(), data, lambda model, batch: losses.cross_entropy(model, batch).mean(), CONFIG, place)


@pytest.mark.parametrize(
    "wrong",
    [{"num_steps": 0}, {"batch_size": 0}, {"state_every": 0}, {"log_every": 0}, {"optimizer": "lion"}, {"lr": 1}],
)
def test_settings_that_cannot_be_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument, match=f"`{next(iter(wrong))}`"):
        TrainingConfig(**{**dict[str, Any](num_steps=10), **wrong})
