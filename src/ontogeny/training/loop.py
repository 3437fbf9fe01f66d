"""The one training loop: stage after stage, dense checkpoints, continued bit for bit after a kill."""

import math
import warnings
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ontogeny.core.fingerprint import fingerprint
from ontogeny.core.losses import LossFn
from ontogeny.core.outcome import TrainingOutcome
from ontogeny.core.protocols import Progress, Silent, reporting
from ontogeny.stores import Checkpoints
from ontogeny.training.batches import Batches
from ontogeny.training.config import TrainingConfig
from ontogeny.training.networks import Network, Trained, Weights
from ontogeny.training.records import Record, State
from ontogeny.training.stages import Stage, as_stages, first_steps, num_steps, steps_kept


def train(
    model: nn.Module,
    data: Any,
    loss_fn: LossFn | None = None,
    config: TrainingConfig | None = None,
    directory: Path | None = None,
    progress: Progress | None = None,
) -> Checkpoints:
    """Train `model` in place from its present weights and keep checkpoints.

    Args:
        data: samples (see `Samples`); each epoch visits them in a new order of the seed tree, and the order at a step
            depends on `config.seed` and the step alone. Or a `Task`, of which each step takes a fresh batch,
            `task.sample(batch_size, seed=...)` with a seed of `config.seed` and the step alone. Or a list of `Stage`s,
            each with data, loss and config of its own, which are trained one after another.
        loss_fn: per-sample losses (see `ontogeny.core.losses`); their mean is minimised. None beside stages.
        config: how to train. None beside stages.
        directory: where `checkpoints/`, `metrics.jsonl` and the state to go on from are kept. A run that was killed
            at any moment and is started again with the same arguments ends with the same weights, bit for bit on the
            CPU with as many threads. Without it, checkpoints stay in memory.

    Returns:
        The checkpoints, by step; 0 is before the first update, and steps are counted on over stages. `.stages` has the
        first step of each stage, `.outcome` how training ended. A loss that is not finite ends it, with a warning:
        `.outcome.diverged` is true, also where the run is opened again, and the checkpoints are those before that step,
        with the one that its stage began with. `model` holds the last weights, of a run that diverged those whose loss
        is not finite, and its modules come back in the mode, train or eval, that they were passed in.

    Raises:
        InvalidArgument: if `directory` holds a run of other arguments, or `data` has fewer samples than a batch.
    """
    stages = prepared(as_stages(data, loss_fn, config))
    return run(Network(model), stages, [directory], directory, progress)[0]


def prepared(stages: Sequence[Stage]) -> list[Stage]:
    """The stages with their data as `Batches`, all of which are looked at before the first step."""
    firsts = first_steps(stages)
    return [replace(stage, data=Batches(stage.data, stage.config.batch_size, firsts[stage.name])) for stage in stages]


def run(
    trained: Trained,
    stages: Sequence[Stage],
    folders: Sequence[Path | None],
    directory: Path | None,
    progress: Progress | None,
) -> list[Checkpoints]:
    """Train what is there to be trained, a network or several, and keep a record of each.

    Args:
        trained: the networks.
        stages: with prepared data.
        folders: of the record of each network.
        directory: of the state to go on from.
        progress: told of every step.
    """
    records = [Record(folder, first_steps(stages)) for folder in folders]
    state = State(directory, fingerprint(stages, trained.models))
    loop = _Loop(trained, stages, records, state, progress or Silent())
    with _in_train_mode(trained.models):
        loop.run()
    return [record.checkpoints for record in records]


@dataclass(frozen=True)
class _Loop:
    trained: Trained
    stages: Sequence[Stage]
    records: Sequence[Record]
    state: State
    progress: Progress

    def run(self) -> None:
        saved, total, firsts = self._resumed(), num_steps(self.stages), first_steps(self.stages)
        begin = saved["step"] if saved else 0
        with reporting(self.progress, "training", total, begin):
            for stage in self.stages:
                first = firsts[stage.name]
                left = range(max(begin, first), first + stage.config.num_steps)
                if not left or not self._running().any():
                    continue
                self.trained.begin(stage, first)
                if saved:
                    self.trained.optimizer.load_state_dict(saved["optimizer"])
                    saved = None
                self._train(stage, first, left)
        if self._running().any():
            self._finish(total, saved_already=begin == total)

    def _train(self, stage: Stage, first: int, left: range) -> None:
        """One stage, until its end or until no network has a finite loss any more."""
        config, wanted = stage.config, steps_kept(self.stages)
        for step in left:
            due = (step - first) % config.state_every == 0
            weights = self.trained.weights() if step in wanted or (due and self.state.kept) else None
            if weights and due:
                self._save_state(step, weights)
            if weights and step == first:  # what a stage begins with is kept, whatever becomes of it
                self._save(step, weights)
            losses = self.trained.losses(step)
            self._stop(losses.detach(), stage, step)
            if weights and step in wanted and step != first:
                self._save(step, weights)
            running = self._running()
            if not running.any():
                return
            self.trained.update(losses, running, step)
            if (step - first) % config.log_every == 0:
                self._log(step, losses.detach(), min(config.log_every, left.stop - step))

    def _running(self) -> Tensor:
        return torch.tensor([record.outcome is None for record in self.records])

    def _stop(self, losses: Tensor, stage: Stage, step: int) -> None:
        """Networks whose loss is not finite come to their end."""
        for number, loss in enumerate(losses.tolist() if not losses.isfinite().all() else ()):
            if self.records[number].outcome is None and not math.isfinite(loss):
                outcome = _divergence(loss, stage, step, named=len(self.stages) > 1)
                self.records[number].end(outcome)
                which = f"Network {number}: " if len(self.records) > 1 else ""
                warnings.warn(f"{which}{outcome}", stacklevel=6)

    def _save(self, step: int, weights: list[Weights]) -> None:
        for record, own in zip(self.records, weights, strict=True):
            if record.outcome is None:
                record.checkpoints.save(step, own)

    def _log(self, step: int, losses: Tensor, steps: int) -> None:
        running = {number: loss for number, loss in enumerate(losses.tolist()) if self.records[number].outcome is None}
        for number, loss in running.items():
            self.records[number].log(step, loss)
        self.progress.advance("training", steps, f"loss {sum(running.values()) / len(running):.3f}")

    def _save_state(self, step: int, weights: list[Weights]) -> None:
        outcomes = [None if record.outcome is None else asdict(record.outcome) for record in self.records]
        optimizer = self.trained.optimizer.state_dict()
        self.state.save({"step": step, "weights": weights, "optimizer": optimizer, "outcomes": outcomes})

    def _resumed(self) -> dict[str, Any] | None:
        """The state to go on from, with the records as they were then; None to begin with what was passed in, also
        where a checkpoint before it is missing.
        """
        saved = self.state.read()
        told = saved["outcomes"] if saved else [None] * len(self.records)
        outcomes = [None if each is None else TrainingOutcome(**each) for each in told]
        wanted = steps_kept(self.stages)
        kept = zip(self.records, outcomes, strict=True)
        if saved and any(record.lacks(wanted, saved["step"], outcome) for record, outcome in kept):
            saved, outcomes = None, [None] * len(self.records)
        if saved:
            self.trained.load(saved["weights"])
        for record, outcome in zip(self.records, outcomes, strict=True):
            record.begin(saved["step"] if saved else 0, outcome)
        return saved

    def _finish(self, total: int, saved_already: bool) -> None:
        weights = self.trained.weights()
        self._save(total, weights)
        if not saved_already:
            self._save_state(total, weights)
        for record in self.records:
            if record.outcome is None:
                record.end(TrainingOutcome(diverged=False, step=total))


def _divergence(loss: float, stage: Stage, step: int, *, named: bool) -> TrainingOutcome:
    rate, norm = stage.config.learning_rate, stage.config.clip_norm
    clipped = f" or clip_norm (now {norm:g})" if norm else ", or set clip_norm"
    advice = f"Lower learning_rate (now {rate:g}){clipped}."
    return TrainingOutcome(True, step, stage.name if named else "", f"the loss is {loss}", advice)


@contextmanager
def _in_train_mode(models: Sequence[nn.Module]) -> Generator[None]:
    """Models in train mode, each of whose modules comes back in its own."""
    modes = {module: module.training for model in models for module in model.modules()}
    for model in models:
        model.train()
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training
