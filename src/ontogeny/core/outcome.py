"""How an estimate ended: one type for numerical trouble, each member with a sentence of advice."""

from enum import StrEnum


class Outcome(StrEnum):
    """The verdict that every estimate carries. Only `CONVERGED` is to be trusted as it stands."""

    CONVERGED = "converged"
    NOT_CONVERGED = "not_converged"
    TOO_FEW_DRAWS = "too_few_draws"
    BELOW_CENTER = "below_center"
    DIVERGED = "diverged"

    @property
    def advice(self) -> str:
        """What to do next; empty for `CONVERGED`."""
        return _ADVICE[self]


_ADVICE = {
    Outcome.CONVERGED: "",
    Outcome.NOT_CONVERGED: (
        "The chains disagree or are still drifting: raise num_warmup and num_draws, or raise localization to hold them."
    ),
    Outcome.TOO_FEW_DRAWS: "The draws are too few to judge convergence: raise num_draws or num_chains.",
    Outcome.BELOW_CENTER: (
        "The chains found lower loss than the center, which is therefore not a minimum: train on, raise localization, "
        "or read the value as a slope and not as a learning coefficient."
    ),
    Outcome.DIVERGED: "A chain left the finite numbers: divide step_size by ten, or lower nbeta.",
}
