"""How an estimate ended: one type for numerical trouble, each member with a sentence of advice."""

from enum import StrEnum


class Outcome(StrEnum):
    """The verdict that every estimate carries. Only `CONVERGED` is to be trusted as it stands.

    In order of gravity, so that of two verdicts the later is the worse.
    """

    CONVERGED = "converged"
    LOCALIZED = "localized"
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
    Outcome.LOCALIZED: (
        "Localisation takes much of the value (15 to 20 % or more): lower localization, raise nbeta, or read the value "
        "as that of the pinned posterior."
    ),
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
        "The chains found lower loss than the center, which is therefore not a minimum: train on, center the posterior "
        "where the loss is lowest, raise localization, or read the value as a slope and not as a learning coefficient."
    ),
    Outcome.DIVERGED: "A chain left the finite numbers: divide step_size by ten, or lower nbeta.",
}
