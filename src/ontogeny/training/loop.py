"""The one training loop: stage after stage, dense checkpoints, continued bit for bit after a kill."""

import math
import warnings
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ontogeny.core.fingerprint import fingerprint
from ontogeny.core.outcome import TrainingOutcome
from ontogeny.core.protocols import Progress, Silent, reporting
from ontogeny.stores import Checkpoints
from ontogeny.training.networks import Trained, Weights
from ontogeny.training.records import Record, State
from ontogeny.training.stages import Stage, first_steps, num_steps, steps_kept


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
        try:
            loop.run()
        finally:
            trained.settle()
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
        config, wanted, running = stage.config, steps_kept(self.stages), self._running()
        for step in left:
            due = (step - first) % config.state_every == 0
            weights = self.trained.weights() if step in wanted or (due and self.state.kept) else None
            if weights and due:
                self._save_state(step, weights)
            if weights and step == first:  # what a stage begins with is kept, whatever becomes of it
                self._save(step, weights)
            losses = self.trained.losses(step, running)
            if self._stop(losses.detach(), stage, step):
                running = self._running()
            if weights and step in wanted and step != first:
                self._save(step, weights)
            if not running.any():
                return
            self.trained.update(losses, running, step)
            if (step - first) % config.log_every == 0:
                self._log(step, losses.detach(), min(config.log_every, left.stop - step))

    def _running(self) -> Tensor:
        return torch.tensor([record.outcome is None for record in self.records])

    def _stop(self, losses: Tensor, stage: Stage, step: int) -> bool:
        """Networks whose loss is not finite come to their end; whether there are any."""
        if losses.isfinite().all():
            return False
        for number, loss in enumerate(losses.tolist()):
            if self.records[number].outcome is None and not math.isfinite(loss):
                outcome = _divergence(loss, stage, step, named=len(self.stages) > 1)
                self.records[number].end(outcome)
                which = f"Network {number}: " if len(self.records) > 1 else ""
                warnings.warn(f"{which}{outcome}", stacklevel=6)
        return True

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
