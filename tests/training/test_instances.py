"""Many instances trained at once are trained as each would be alone."""

import copy
import os
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import ontogeny as og
from ontogeny.core.errors import InvalidArgument
from ontogeny.core.seeds import derive
from ontogeny.data import LinearRegressionTask
from ontogeny.models import RegressionConfig, RegressionTransformer
from ontogeny.training import TrainingConfig, train, train_instances
from ontogeny.training.instances import Instances

COUNT = 4
X = torch.rand(40, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
LABELS = torch.arange(40) % 3
CONFIG = TrainingConfig(
    num_steps=40, batch_size=8, learning_rate=0.02, checkpoints_log=3, checkpoints_linear=2, state_every=9, log_every=4
)


class Autoencoder(nn.Module):
    """ReLU(Wᵀ W x + b), W being (hidden, features), as toy models of superposition have it."""

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(0.5 * torch.randn(hidden, features, dtype=torch.float64))
        self.bias = nn.Parameter(torch.zeros(features, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        return (x @ self.weight.T @ self.weight + self.bias).relu()


class Sparse:
    """A task: features that are mostly 0."""

    def sample(self, num_samples: int, seed: int) -> tuple[Tensor, Tensor]:
        generator = torch.Generator().manual_seed(seed)
        x = torch.rand(num_samples, 5, generator=generator, dtype=torch.float64)
        x = x * (torch.rand(num_samples, 5, generator=generator) < 0.4)
        return x, x


class Wide:
    """A task in double precision."""

    def __init__(self, task: LinearRegressionTask) -> None:
        self.task = task

    def sample(self, num_samples: int, seed: int) -> tuple[Tensor, ...]:
        return tuple(part.double() for part in self.task.sample(num_samples, seed))


def squared(model: Any, batch: tuple[Tensor, Tensor]) -> Tensor:
    return (model(*batch) - batch[1]).square()


class Tied(nn.Module):
    """Embedding and unembedding are one parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.unembed = nn.Linear(5, 5, bias=False), nn.Linear(5, 5, bias=False)
        self.unembed.weight = self.embed.weight
        self.fixed = nn.Parameter(torch.ones(5), requires_grad=False)
        self.double()

    def forward(self, x: Tensor) -> Tensor:
        return self.unembed(self.embed(x).tanh() * self.fixed)


def normed() -> nn.Module:
    return nn.Sequential(nn.Linear(5, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 3)).double()


def networks(make: Callable[[], nn.Module], count: int = COUNT) -> list[nn.Module]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return [make() for _ in range(count)]


def autoencoders() -> list[nn.Module]:
    return networks(lambda: Autoencoder(5, 2))


def alone(config: TrainingConfig, number: int) -> TrainingConfig:
    return config.model_copy(update={"seed": derive(config.seed, "instance", number)})


def close(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    assert first.keys() == second.keys()
    return all(torch.allclose(first[name].double(), second[name].double(), rtol=1e-5, atol=1e-12) for name in first)


KINDS: dict[str, tuple[Callable[[], nn.Module], Any, og.losses.LossFn, dict[str, Any]]] = {
    "adamw": (lambda: Autoencoder(5, 2), (X, X), og.losses.mse, {"weight_decay": 0.1}),
    "sgd": (lambda: Autoencoder(5, 2), (X, X), og.losses.mse, {"optimizer": "sgd", "schedule": "cosine"}),
    "clipped": (lambda: Autoencoder(5, 2), (X, X), og.losses.mse, {"clip_norm": 0.05, "warmup_steps": 3}),
    "task": (lambda: Autoencoder(5, 2), Sparse(), og.losses.mse, {"optimizer": "adam"}),
    "buffers": (normed, (X, LABELS), og.losses.cross_entropy, {}),
    "tied": (Tied, (X, X), og.losses.mse, {"clip_norm": 0.3}),
}


@pytest.mark.parametrize("kind", KINDS)
def test_instances_are_trained_as_each_alone(kind: str, tmp_path: Path) -> None:
    make, data, loss_fn, settings = KINDS[kind]
    config = CONFIG.model_copy(update=settings)
    models, singles = networks(make), networks(make)
    modes = [[module.training for module in model.modules()] for model in models]
    runs = train_instances(models, data, loss_fn, config, tmp_path)
    assert [[module.training for module in model.modules()] for model in models] == modes
    for number, (model, single, run) in enumerate(zip(models, singles, runs, strict=True)):
        initial = {name: tensor.clone() for name, tensor in single.state_dict().items()}
        expected = train(single, data, loss_fn, alone(config, number))
        opened = og.open_checkpoints(tmp_path / f"instance-{number:03d}")
        assert opened.steps == run.steps == expected.steps
        assert opened.outcome == expected.outcome
        for step in expected.steps:
            assert close(opened.load(step), expected.load(step))
        assert not close(opened.load(40), initial)
        assert close(dict(model.state_dict()), dict(single.state_dict()))
    assert not close(runs[0].load(40), runs[1].load(40))


def test_each_network_can_have_a_task_of_its_own(tmp_path: Path) -> None:
    """As task diversities of in-context regression, whose networks begin equal."""
    tasks = [Wide(LinearRegressionTask(dimension=2, num_pairs=3, noise_variance=0.1, task_diversity=m)) for m in (1, 4)]
    shape = RegressionConfig(dimension=2, num_pairs=3, num_layers=1, d_model=8, num_heads=2, d_mlp=8)
    config = CONFIG.model_copy(update={"optimizer": "adam", "clip_norm": 1.0})
    models = [RegressionTransformer(shape, torch.Generator().manual_seed(0)).double() for _ in tasks]
    singles = copy.deepcopy(models)
    initial = copy.deepcopy(models[0].state_dict())
    runs = train_instances(models, tasks, squared, config, tmp_path)
    for number, (task, single, run) in enumerate(zip(tasks, singles, runs, strict=True)):
        expected = train(single, task, squared, alone(config, number))
        assert run.steps == expected.steps
        for step in expected.steps:
            assert all(
                torch.allclose(weights, expected.load(step)[name], rtol=1e-6, atol=1e-8)
                for name, weights in run.load(step).items()
            )
        assert not close(run.load(40), initial)
    assert not close(runs[0].load(40), runs[1].load(40))
    swapped = og.train_instances(copy.deepcopy(models), tasks[::-1], squared, config)
    assert not close(swapped[0].load(40), runs[0].load(40))


def test_tasks_that_do_not_fit_the_networks_are_refused() -> None:
    wide = [LinearRegressionTask(dimension=d, num_pairs=3, noise_variance=0.1) for d in (2, 3)]
    longer = [LinearRegressionTask(dimension=2, num_pairs=k, noise_variance=0.1) for k in (2, 3)]
    shape = RegressionConfig(dimension=2, num_pairs=3, num_layers=1, d_model=8, num_heads=2, d_mlp=8)
    models: list[nn.Module] = [RegressionTransformer(shape, torch.Generator().manual_seed(0)) for _ in range(2)]
    for tasks, told in (
        (wide, "at most 3 pairs"),
        (longer, "one shape"),
        (wide[:1] * 3, "a task for each of the 2 networks"),
    ):
        with pytest.raises(InvalidArgument, match=told):
            train_instances(models, tasks, squared, CONFIG)
    with pytest.raises(InvalidArgument, match="train_instances"):
        train(models[0], wide[:1], squared, CONFIG)


def test_instances_of_equal_weights_have_batches_of_their_own() -> None:
    model = Autoencoder(5, 2)
    for data in ((X, X), Sparse()):
        first, second = train_instances([copy.deepcopy(model) for _ in range(2)], data, og.losses.mse, CONFIG)
        assert close(first.load(0), second.load(0))
        assert not close(first.load(40), second.load(40))


def test_instances_are_trained_in_stages() -> None:
    stages = [og.Stage("one", Sparse(), og.losses.mse, CONFIG), og.Stage("two", (X, X), og.losses.mse, CONFIG)]
    runs = train_instances(autoencoders(), stages)
    for number, (single, run) in enumerate(zip(autoencoders(), runs, strict=True)):
        own = [og.Stage(each.name, each.data, each.loss_fn, alone(CONFIG, number)) for each in stages]
        expected = train(single, own)
        assert run.stages == {"one": 0, "two": 40}
        assert close(run.load(80), expected.load(80))


def contents(folder: Path) -> dict[str, bytes]:
    files = [path for path in folder.rglob("*") if path.is_file() and path.suffix != ".pt"]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


class Crash(BaseException):
    """Ends a run like a signal does: nothing catches it."""


def bias(model: nn.Module) -> nn.Parameter:
    return next(each for name, each in model.named_parameters() if name.endswith("bias"))


def with_one_that_diverges(make: Callable[[], nn.Module] = lambda: Autoencoder(5, 2)) -> list[nn.Module]:
    models = networks(make, 3)
    with torch.no_grad():
        bias(models[1]).fill_(-5)
    return models


@pytest.mark.parametrize("kind", [pytest.param("sound", marks=pytest.mark.slow), "diverging"])
def test_instances_that_stop_at_any_moment_continue(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    config = CONFIG.model_copy(update={"num_steps": 14, "state_every": 3})
    replace, moments = os.replace, [0]

    def run(folder: Path, last: float) -> list[dict[str, Tensor]]:
        def replace_until(source: Path, target: Path) -> None:
            moments[0] += 1
            if moments[0] > last:
                raise Crash
            replace(source, target)

        moments[0], models = 0, autoencoders()[:2] if kind == "sound" else with_one_that_diverges()
        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", replace_until)
            train_instances(models, (X, X), og.losses.mse if kind == "sound" else jumps, config, folder)
        return [dict(model.state_dict()) for model in models]

    whole = run(tmp_path / "whole", np.inf)
    for last in range(0, moments[0], 3):
        with pytest.raises(Crash):
            run(tmp_path / str(last), last)
        again = run(tmp_path / str(last), np.inf)
        for found, expected in zip(again, whole, strict=True):
            assert all(torch.equal(found[name], expected[name]) for name in found)
        assert contents(tmp_path / str(last)) == contents(tmp_path / "whole")
    assert bool(recwarn.list) == (kind == "diverging")


def jumps(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    """Not finite for biases far below 0, to which those of -5 are brought by a push of their own."""
    pushed = model(batch[0]).square().sum(1) + bias(model).clamp(max=-1).sum()
    return pushed + torch.where(bias(model).min() < -5.1, torch.nan, 0.0)


@pytest.mark.parametrize("make", [lambda: Autoencoder(5, 2), normed], ids=["plain", "with buffers"])
def test_an_instance_that_diverges_stops_alone(make: Callable[[], nn.Module]) -> None:
    models = with_one_that_diverges(make)
    with pytest.warns(UserWarning, match=r"Network 1: Training diverged: the loss is nan at step \d+\."):
        runs = train_instances(models, (X, X), jumps, CONFIG)
    assert [run.outcome.diverged if run.outcome else None for run in runs] == [False, True, False]
    for number, (single, run, model) in enumerate(zip(with_one_that_diverges(make), runs, models, strict=True)):
        with pytest.warns(UserWarning, match="diverged") if number == 1 else nullcontext():
            expected = train(single, (X, X), jumps, alone(CONFIG, number))
        assert run.outcome == expected.outcome
        assert run.steps == expected.steps
        assert close(run.load(run.steps[-1]), expected.load(run.steps[-1]))
        assert close(dict(model.state_dict()), dict(single.state_dict()))
    assert runs[1].outcome
    assert 1 < runs[1].outcome.step < 40


def test_all_that_diverge_end_the_run() -> None:
    models = with_one_that_diverges()[1:2]
    with pytest.warns(UserWarning, match="diverged"):
        (run,) = train_instances(models, (X, X), jumps, CONFIG.model_copy(update={"learning_rate": 0.015}))
    assert run.outcome
    assert run.outcome.step == 7  # between two checkpoints
    assert float(bias(models[0]).detach().min()) < -5.1  # the weights that it diverged at


def test_a_run_with_a_divergence_is_not_run_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    models = with_one_that_diverges()
    with pytest.warns(UserWarning, match="Network 1"):
        runs = train_instances(models, (X, X), jumps, CONFIG, tmp_path)
    before = contents(tmp_path)
    monkeypatch.setattr(Instances, "begin", None)
    monkeypatch.setattr("ontogeny.training.runs.check_instances", lambda models, stages: None)
    again = with_one_that_diverges()
    assert [run.outcome for run in train_instances(again, (X, X), jumps, CONFIG, tmp_path)] == [
        run.outcome for run in runs
    ]
    assert contents(tmp_path) == before
    for found, expected in zip(again, models, strict=True):
        assert all(torch.equal(tensor, expected.state_dict()[name]) for name, tensor in found.state_dict().items())


def test_global_random_states_are_neither_read_nor_changed() -> None:
    before = torch.get_rng_state()
    first = train_instances(autoencoders(), Sparse(), og.losses.mse, CONFIG)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(5)
    second = train_instances(autoencoders(), Sparse(), og.losses.mse, CONFIG)
    assert all(one.checksum(40) == other.checksum(40) for one, other in zip(first, second, strict=True))


class Branching(nn.Linear):
    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input) if input.sum() > 0 else -super().forward(input)


class Scaled(nn.Linear):
    """With a scale that is no parameter."""

    def __init__(self) -> None:
        super().__init__(5, 3, dtype=torch.float64)
        self.scale = float(torch.rand(()))

    def forward(self, input: Tensor) -> Tensor:
        return self.scale * super().forward(input)


REFUSED: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "dropout": (lambda: nn.Sequential(nn.Linear(5, 3), nn.Dropout(0.5)).double(), r"found 1 \(Dropout\): vmap: called"),
    "branch": (lambda: nn.Sequential(Branching(5, 3)).double(), r"found 0 \(Branching\): vmap: "),
    "scale": (Scaled, "differ in their parameters and buffers alone, found network 1"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_a_network_that_cannot_be_mapped_is_refused_by_name(kind: str, tmp_path: Path) -> None:
    make, told = REFUSED[kind]
    models = networks(make)
    before, state = [copy.deepcopy(model.state_dict()) for model in models], torch.get_rng_state()
    with pytest.raises(og.InvalidArgument, match=told):
        train_instances(models, (X, LABELS), og.losses.cross_entropy, CONFIG, tmp_path)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(close(dict(model.state_dict()), dict(old)) for model, old in zip(models, before, strict=True))
    assert not list(tmp_path.iterdir())


def test_a_mistake_of_one_network_is_told_as_for_one() -> None:
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        train_instances(networks(lambda: nn.Linear(4, 3).double()), (X, LABELS), og.losses.cross_entropy, CONFIG)


def test_networks_of_several_shapes_or_with_shared_weights_are_refused() -> None:
    with pytest.raises(og.InvalidArgument, match="network 1 that differs from network 0 in weight"):
        train_instances([Autoencoder(5, 2), Autoencoder(5, 3)], (X, X), og.losses.mse, CONFIG)
    with pytest.raises(og.InvalidArgument, match="share memory"):
        train_instances([Autoencoder(5, 2)] * 2, (X, X), og.losses.mse, CONFIG)
    with pytest.raises(og.InvalidArgument, match="with weights"):
        train_instances([], (X, X), og.losses.mse, CONFIG)
