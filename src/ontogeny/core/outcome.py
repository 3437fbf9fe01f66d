"""How an estimate or a training run ended: numerical trouble as a value, with a sentence of advice."""

from dataclasses import dataclass
from enum import StrEnum


class Outcome(StrEnum):
    """The verdict of every estimate. Only `CONVERGED` can be trusted as it stands.

    In order of severity: of two verdicts, the later is the worse.
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
    Outcome.TOO_FEW_DRAWS: (
        "The draws are too few to judge convergence: raise the budget (of og.Fixed: num_draws or num_chains)."
    ),
    Outcome.NOT_CONVERGED: (
        "The chains disagree or are still drifting: raise the budget if there is one (of og.Fixed: num_warmup and "
        "num_draws, or step_size if its bias allows it), or raise localization to confine the chains."
    ),
    Outcome.STEP_TOO_LARGE: (
        "The bias from finite steps or minibatch noise is too large to subtract: raise the budget, which pays for "
        "larger batches, or lower nbeta (of og.Fixed: lower step_size, raise batch_size, or set control_variate)."
    ),
    Outcome.NOT_A_MINIMUM: (
        "The center is not a minimum: descent exceeds half of the complexity. Read the complexity, which "
        "remains valid, not the value; or train on, raise localization, or lower nbeta (og.measure chooses "
        "both for a run)."
    ),
    Outcome.DIVERGED: "A chain diverged: raise localization, or lower nbeta (of og.Fixed: divide step_size by ten).",
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
