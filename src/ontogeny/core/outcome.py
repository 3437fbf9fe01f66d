"""How an estimate or a training run ended: numerical trouble as a value, with a sentence of advice."""

from dataclasses import dataclass
from enum import StrEnum


class Outcome(StrEnum):
    """The verdict that every estimate carries. Only `CONVERGED` is to be trusted as it stands.

    In order of gravity, so that of two verdicts the later is the worse.
    """

    CONVERGED = "converged"
    TOO_FEW_DRAWS = "too_few_draws"
    NOT_CONVERGED = "not_converged"
    STEP_TOO_LARGE = "step_too_large"
    NOT_A_MINIMUM = "not_a_minimum"
    DIVERGED = "diverged"

    @property
    def advice(self) -> str:
        """What to do next; empty for `CONVERGED`."""
        return _ADVICE[self]


_ADVICE = {
    Outcome.CONVERGED: "",
    Outcome.TOO_FEW_DRAWS: "The draws are too few to judge convergence: raise num_draws or num_chains, or the budget.",
    Outcome.NOT_CONVERGED: (
        "The chains disagree or are still drifting: raise num_warmup and num_draws (the budget of a calibrated run), "
        "take larger steps if the bias by the step allows it, or raise localization to hold them."
    ),
    Outcome.STEP_TOO_LARGE: (
        "Finite steps or minibatch noise make up too much of the value to be taken off: lower step_size, raise "
        "batch_size, or set control_variate=True."
    ),
    Outcome.NOT_A_MINIMUM: (
        "The center is not a minimum: descent below it is more than half of the complexity. Read the complexity, which "
        "holds all the same, and not the value; or train on, raise localization, or lower nbeta (og.measure chooses "
        "both for a run)."
    ),
    Outcome.DIVERGED: "A chain left the finite numbers: divide step_size by ten, or lower nbeta.",
}


@dataclass(frozen=True)
class TrainingOutcome:
    """How a training run ended: after all its steps, or at a loss that is not finite.

    Attributes:
        diverged: whether it stopped because a loss was not finite.
        step: updates that were made; of a run that diverged, the loss of the weights at this step is not finite, and
            its checkpoints are those before, and the one with which the stage began.
        stage: the name of the stage in which it ended.
        reason: what was not finite; empty for a run that has finished.
        advice: what to do next; empty likewise.
    """

    diverged: bool
    step: int
    stage: str = ""
    reason: str = ""
    advice: str = ""

    def __str__(self) -> str:
        if not self.diverged:
            return f"Training finished after step {self.step}."
        where = f" of stage {self.stage!r}" if self.stage else ""
        return f"Training diverged: {self.reason} at step {self.step}{where}. {self.advice}"
