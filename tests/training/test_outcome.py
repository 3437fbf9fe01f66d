"""How training leaves the caller's model, and what it says of a loss that is not finite."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from ontogeny.core import losses
from ontogeny.core.outcome import TrainingOutcome
from ontogeny.stores import open_checkpoints
from ontogeny.training import TrainingConfig, train

X = torch.linspace(-1, 1, 16)[:, None]
CONFIG = TrainingConfig(num_steps=6, batch_size=4, checkpoints_log=4, checkpoints_linear=0, log_every=2)


def network() -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(1, 3), nn.Dropout(0.5), nn.Linear(3, 1))


def test_a_model_comes_back_in_its_modes() -> None:
    model = network().eval()
    model[0].train()
    train(model, (X, X), losses.mse, CONFIG)
    assert [module.training for module in model] == [True, False, False]
    assert not model.training


def nan_on_one_sample(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    return losses.mse(model, batch) + torch.where(batch[0].flatten() > 0.9, torch.nan, 0.0)


def test_a_loss_that_is_not_finite_ends_training_with_an_outcome(tmp_path: Path) -> None:
    model = network().eval()
    with pytest.warns(UserWarning, match=r"diverged: the loss is nan at step \d\. Lower learning_rate \(now 0\.001\)"):
        run = train(model, (X, X), nan_on_one_sample, CONFIG, tmp_path)
    outcome = run.outcome
    assert outcome is not None
    assert outcome.diverged
    assert 0 < outcome.step < 6
    assert 0 in run.steps
    assert max(run.steps) < outcome.step
    assert not model.training
    assert all(tensor.isfinite().all() for tensor in model.parameters())
    for again in (open_checkpoints(tmp_path), open_checkpoints(tmp_path / "checkpoints")):
        assert again.outcome == outcome
        assert again.steps == run.steps


def test_checkpoints_before_a_divergence_are_those_of_the_run_without_it(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="diverged"):
        run = train(network(), (X, X), nan_on_one_sample, CONFIG)
    sound = train(network(), (X, X), losses.mse, CONFIG)
    assert run.outcome is not None
    assert run.steps == [step for step in sound.steps if step < run.outcome.step]
    for step in run.steps:
        assert all(torch.equal(tensor, sound.load(step)[name]) for name, tensor in run.load(step).items())


def test_a_run_that_diverged_diverges_again_with_the_same_files(tmp_path: Path) -> None:
    def contents() -> dict[str, bytes]:
        found = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
        return {path.name: content for path, content in found.items() if path.suffix != ".pt"}

    config = CONFIG.model_copy(update={"state_every": 2, "log_every": 1})
    with pytest.warns(UserWarning, match="diverged"):
        run = train(network(), (X, X), nan_on_one_sample, config, tmp_path)
    before = contents()
    with pytest.warns(UserWarning, match="diverged"):
        again = train(network(), (X, X), nan_on_one_sample, config, tmp_path)
    assert contents() == before
    assert again.outcome == run.outcome
    assert run.outcome
    assert before["metrics.jsonl"].count(b"\n") == run.outcome.step


def test_a_run_that_finished_says_so(tmp_path: Path) -> None:
    run = train(network(), (X, X), losses.mse, CONFIG, tmp_path)
    assert run.outcome == TrainingOutcome(diverged=False, step=6)
    assert open_checkpoints(tmp_path).outcome == run.outcome
    assert train(network(), (X, X), losses.mse, CONFIG).outcome == run.outcome


def test_what_a_divergence_says_of_clipping() -> None:
    config = CONFIG.model_copy(update={"clip_norm": 2.0})
    with pytest.warns(UserWarning, match=r"Lower learning_rate \(now 0\.001\) or clip_norm \(now 2\)\."):
        train(network(), (X, X), nan_on_one_sample, config)


@pytest.mark.parametrize("rate", [1e30, 1e38])
def test_a_rate_that_is_far_too_large_is_said(rate: float) -> None:
    config = CONFIG.model_copy(update={"learning_rate": rate, "optimizer": "sgd"})
    with pytest.warns(UserWarning, match="Lower learning_rate"):
        run = train(network(), (X, X), losses.mse, config)
    assert run.outcome
    assert run.outcome.diverged
