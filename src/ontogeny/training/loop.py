"""The one training loop: any module, any per-sample loss, dense checkpoints, continued bit for bit after a kill."""

import json
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from ontogeny.core.errors import InvalidArgument, OntogenyError
from ontogeny.core.fingerprint import fingerprint
from ontogeny.core.losses import LossFn, per_sample
from ontogeny.core.protocols import Progress, Silent, reporting
from ontogeny.core.samples import Samples
from ontogeny.core.seeds import derive, generator
from ontogeny.core.settings import Settings
from ontogeny.stores import Checkpoints, DirectoryCheckpoints, MemoryCheckpoints, write_atomically
from ontogeny.training.schedule import Schedule, checkpoint_steps, learning_rate_factor


class TrainingDiverged(OntogenyError):
    """A loss in training is not finite."""


class TrainingConfig(Settings):
    """How to train.

    Attributes:
        optimizer: AdamW, Adam or SGD (with `betas[0]` as its momentum).
        clip_norm: largest norm of the gradient; 0 leaves it alone.
        checkpoints_log, checkpoints_linear: how many checkpoints spaced evenly in log step and in step (see
            `checkpoint_steps`).
        state_every: steps between saves of the optimizer's state, from which a killed run goes on.
    """

    num_steps: PositiveInt
    batch_size: PositiveInt = 32
    optimizer: Literal["adamw", "adam", "sgd"] = "adamw"
    learning_rate: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 0.0
    clip_norm: float = 0.0
    schedule: Schedule = "constant"
    warmup_steps: int = 0
    checkpoints_log: int = 40
    checkpoints_linear: int = 20
    state_every: PositiveInt = 200
    log_every: PositiveInt = 10
    seed: int = 0


def train(
    model: nn.Module,
    data: Any,
    loss_fn: LossFn,
    config: TrainingConfig,
    directory: Path | None = None,
    progress: Progress | None = None,
) -> Checkpoints:
    """Train `model` in place from its present weights and keep checkpoints.

    Args:
        data: samples (see `Samples`); each epoch visits them in a new order of the seed tree, and the order at a step
            depends on `config.seed` and the step alone.
        loss_fn: per-sample losses (see `ontogeny.core.losses`); their mean is minimised.
        directory: where `checkpoints/`, `metrics.jsonl` and the state to go on from are kept. A run that was killed
            at any moment and is started again with the
            same arguments ends with the same weights, bit for bit on the CPU with as many threads. Without it,
            checkpoints stay in memory.

    Returns:
        The checkpoints, by step; 0 is before the first update. `model` holds the last weights, and its modules come
        back in the mode, train or eval, that they were passed in.

    Raises:
        InvalidArgument: if `directory` holds a run of other arguments, or `data` has fewer samples than a batch.
        TrainingDiverged: at the first step whose loss is not finite. Checkpoints before it are kept.
    """
    samples, progress = Samples.of(data), progress or Silent()
    if len(samples) < config.batch_size:
        raise InvalidArgument(
            "data", expected=f"at least batch_size={config.batch_size} samples", found=str(len(samples))
        )
    store = DirectoryCheckpoints(directory / "checkpoints") if directory else MemoryCheckpoints()
    optimizer = _optimizer(model, config)
    state = _State(directory, fingerprint(config, model, samples, loss_fn)) if directory else None
    wanted = set(checkpoint_steps(config.num_steps, config.checkpoints_log, config.checkpoints_linear))
    first = state.restore(model, optimizer, wanted - set(store.steps)) if state else 0
    device = next(model.parameters()).device

    modes = {module: module.training for module in model.modules()}
    model.train()
    try:
        with reporting(progress, "training", config.num_steps, first):
            for step in range(first, config.num_steps):
                if step in wanted:
                    store.save(step, model.state_dict())
                if state and step % config.state_every == 0:
                    state.save(step, model, optimizer)
                batch = samples.take(_batch_indices(len(samples), config, step), device)
                with torch.random.fork_rng(enabled=True):  # dropout at a step depends on seed and step, not on the past
                    torch.manual_seed(derive(config.seed, "dropout", step))
                    loss = _update(model, loss_fn, batch, optimizer, config, step)
                if step % config.log_every == 0:
                    value = float(loss)
                    if state:
                        state.log({"step": step, "loss": value})
                    progress.advance("training", min(config.log_every, config.num_steps - step), f"loss {value:.3f}")
    finally:
        for module, training in modes.items():
            module.training = training
    store.save(config.num_steps, model.state_dict())
    if state:
        state.save(config.num_steps, model, optimizer)
    return store


def _update(
    model: nn.Module, loss_fn: LossFn, batch: Any, optimizer: torch.optim.Optimizer, config: TrainingConfig, step: int
) -> Tensor:
    factor = learning_rate_factor(config.schedule, step, config.num_steps, config.warmup_steps)
    for group in optimizer.param_groups:
        group["lr"] = config.learning_rate * factor
    loss = per_sample(loss_fn, model, batch, config.batch_size).mean()
    if not torch.isfinite(loss):
        raise TrainingDiverged(
            f"Training left the finite numbers: the loss of step {step} is {float(loss.detach())}. Lower learning_rate "
            f"(now {config.learning_rate:g}), or set clip_norm."
        )
    optimizer.zero_grad()
    loss.backward()
    if config.clip_norm:
        nn.utils.clip_grad_norm_(model.parameters(), config.clip_norm)
    optimizer.step()
    return loss.detach()


def _optimizer(model: nn.Module, config: TrainingConfig) -> torch.optim.Optimizer:
    shared: dict[str, Any] = {"lr": config.learning_rate, "weight_decay": config.weight_decay}
    match config.optimizer:
        case "adamw":
            return torch.optim.AdamW(model.parameters(), betas=config.betas, **shared)
        case "adam":
            return torch.optim.Adam(model.parameters(), betas=config.betas, **shared)
        case "sgd":
            return torch.optim.SGD(model.parameters(), momentum=config.betas[0], **shared)


def _batch_indices(num_samples: int, config: TrainingConfig, step: int) -> Tensor:
    """The samples of the batch at `step`: a function of seed and step alone, so that a resumed run needs no state for
    it.
    """
    epoch, place = divmod(step, num_samples // config.batch_size)
    return _epoch(num_samples, config.seed, epoch)[place * config.batch_size : (place + 1) * config.batch_size]


@lru_cache(maxsize=1)
def _epoch(num_samples: int, seed: int, epoch: int) -> Tensor:
    return torch.randperm(num_samples, generator=generator(seed, "epoch", epoch))


class _State:
    """What a killed run goes on from: weights, optimizer and step in one file, and the metrics up to there."""

    def __init__(self, directory: Path, key: str) -> None:
        self.path, self.metrics, self.key = directory / "training-state.pt", directory / "metrics.jsonl", key
        directory.mkdir(parents=True, exist_ok=True)

    def restore(self, model: nn.Module, optimizer: torch.optim.Optimizer, missing: set[int]) -> int:
        """The step to go on from; 0, with everything as it was passed in, where a checkpoint before it is missing."""
        if not self.path.exists():
            self.metrics.unlink(missing_ok=True)
            return 0
        state = torch.load(self.path, weights_only=True)
        if state["key"] != self.key:
            raise InvalidArgument(
                "directory",
                expected="an empty folder, or one with a run of the same model, data, loss and config",
                found=f"{self.path.parent} with another run",
                instead="another folder, or delete that one",
            )
        if any(step < state["step"] for step in missing):
            self._forget_after(0)
            return 0
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        self._forget_after(state["step"])
        return state["step"]

    def save(self, step: int, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        content = {"key": self.key, "step": step, "model": model.state_dict(), "optimizer": optimizer.state_dict()}
        write_atomically(self.path, lambda temporary: torch.save(content, temporary))

    def log(self, record: dict[str, int | float]) -> None:
        with self.metrics.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(record) + "\n")

    def _forget_after(self, step: int) -> None:
        if not self.metrics.exists():
            return
        complete = [
            line for line in self.metrics.read_text(encoding="utf-8").splitlines(keepends=True) if line.endswith("\n")
        ]
        kept = "".join(line for line in complete if json.loads(line)["step"] < step)
        write_atomically(self.metrics, lambda temporary: temporary.write_text(kept, encoding="utf-8"))
