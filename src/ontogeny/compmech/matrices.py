"""What is asked of a process: its labelled matrices, and what follows from them."""

from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from ontogeny.core import arguments
from ontogeny.core.errors import InvalidArgument


@runtime_checkable
class Labelled(Protocol):
    """A process as its labelled matrices T[x], initial state η₀ and final vector w; `GHMM` and `HMM` are."""

    @property
    def transition_matrices(self) -> Float[np.ndarray, "token state state"]: ...
    @property
    def initial(self) -> Float[np.ndarray, " state"]: ...
    @property
    def final(self) -> Float[np.ndarray, " state"]: ...
    @property
    def num_tokens(self) -> int: ...
    @property
    def num_states(self) -> int: ...
    @property
    def readout(self) -> Float[np.ndarray, "state token"]: ...
    @property
    def side_by_side(self) -> Float[np.ndarray, "state token_state"]: ...
    @property
    def is_signed(self) -> bool: ...


def require_process(given: object) -> None:
    """Raise for what is no process, such as its bare matrices."""
    if not isinstance(given, Labelled):
        raise InvalidArgument(
            "process",
            expected="an HMM or a GHMM",
            found=arguments.show(given),
            instead="cm.HMM(T) for labelled matrices T of shape (token, state, state), or cm.process('even').",
        )
