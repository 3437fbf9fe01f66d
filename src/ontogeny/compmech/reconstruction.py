"""A machine from one sequence of tokens, and whether the process can have such a machine at all."""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from jaxtyping import Int
from numpy.typing import ArrayLike

from ontogeny.compmech import chains, cssr, hankel
from ontogeny.compmech.bits import entropy
from ontogeny.compmech.entropy_estimates import as_sequence
from ontogeny.compmech.hmm import HMM
from ontogeny.compmech.rank_test import table_rank
from ontogeny.core.errors import InvalidArgument


class Finding(StrEnum):
    """What a reconstruction found. Only `UNIFILAR` is a machine to be taken for the process."""

    UNIFILAR = "unifilar"
    GROWING = "growing"
    MIXTURES = "mixtures"
    NO_MACHINE = "no_machine"

    @property
    def advice(self) -> str:
        """What it means; empty for `UNIFILAR`."""
        return _ADVICE[self]


_ADVICE = {
    Finding.UNIFILAR: "",
    Finding.GROWING: (
        "Longer histories still give more states: the histories are too short, or the causal states infinitely many. "
        "The machine is an approximation."
    ),
    Finding.MIXTURES: (
        "The states' futures are mixtures of fewer: a process of that many dimensions that is not unifilar gives them "
        "all, and there is no end of such states. The machine is an approximation."
    ),
    Finding.NO_MACHINE: (
        "The states found have no transitions that the sequence obeys: the sequence is too short or too noisy, or the "
        "process has no finite unifilar machine."
    ),
}


@dataclass(frozen=True, eq=False)
class Reconstruction:
    """A machine found in data, with the verdict on it.

    Args:
        machine: unifilar HMM with transition probabilities counted along the sequence; None where there is none.
        finding: only `Finding.UNIFILAR` says that the machine can be taken for the process.
        num_states: number of causal states found; more of them need not exist where `finding` is another.
        dimension: rank of the table of pasts and futures, the fewest states of any generalised HMM.
        entropy_rate: of the machine, in bits, or NaN without one.
        method, level: as asked for.
    """

    machine: HMM | None
    finding: Finding
    num_states: int
    dimension: int
    entropy_rate: float
    method: str
    level: float


def reconstruct(sequence: ArrayLike, method: str = "cssr", level: float = 0.001) -> Reconstruction:
    """Infer causal states from one long sequence, and refuse where the process has no finite unifilar machine.

    "cssr" splits and joins histories of growing length by a G-test of their next tokens (`ontogeny.compmech.cssr`);
    "spectral" factorises the table of pasts and futures and groups the filtered predictions
    (`ontogeny.compmech.hankel`). Both are then held against the rank of that table: with k states of a finite machine
    in general position the rank is k. Where k is larger than the rank, k states are mixtures of fewer, as are the
    beliefs of a process that is not unifilar, of which longer data show ever more.

    Args:
        sequence: tokens, shape (n,), integers from 0.
        method: "cssr" or "spectral".
        level: of the tests, as a whole (Bonferroni) for those of next tokens, and of each rank; default 0.001.

    Returns:
        `Reconstruction`; read `finding` before `machine`.

    Raises:
        InvalidArgument: for an unknown method, a level outside (0, 1), and fewer than 1000 tokens.

    When not to trust it: a state that is visited rarely, or a dimension that is weak for the sequence's length, is not
    seen. A finite machine whose states' futures are linearly dependent is called `MIXTURES` although it exists. The
    tests take what happens 2m tokens apart (m of `hankel.window`) as independent, and the process as stationary.

    Source: Shalizi and Klinkner, Blind construction of optimal nonlinear recursive predictors (2004); Hsu, Kakade and
    Zhang (arXiv 0811.4413) for the spectral method; the verdict by rank is this library's own.
    """
    if method not in ("cssr", "spectral"):
        raise InvalidArgument("method", expected="'cssr' or 'spectral'", found=repr(method))
    if not 0 < level < 1:
        raise InvalidArgument("level", expected="a number between 0 and 1", found=f"{level}")
    tokens = as_sequence(sequence)
    if len(tokens) < 1000:
        raise InvalidArgument("sequence", expected="at least 1000 tokens", found=f"{len(tokens)}")
    dimension = table_rank(hankel.past_future_counts(tokens), level)
    if method == "cssr":
        states, growing = cssr.causal_states(tokens, level)
    else:
        states, growing = hankel.predictive_clusters(tokens, dimension), False
    num_states = len(np.unique(states[states >= 0]))
    machine = _counted_machine(tokens, states)
    finding = Finding.UNIFILAR
    if machine is None:
        finding = Finding.NO_MACHINE
    if growing:
        finding = Finding.GROWING
    if num_states > dimension:
        finding = Finding.MIXTURES
    rate = float(machine.stationary @ entropy(machine.readout)) if machine is not None else float("nan")
    return Reconstruction(machine, finding, num_states, dimension, rate, method, level)


_OBEYED = 0.99


def _counted_machine(tokens: Int[np.ndarray, " position"], states: Int[np.ndarray, " position"]) -> HMM | None:
    """The unifilar machine whose transitions are those seen most often, and its probabilities by counting.

    `states[t]` is the state before token t, or -1 where none is known. None where the transitions taken most often do
    not account for 99 % of what was seen, or do not make one machine that never ends.
    """
    count, size = int(states.max(initial=-1)) + 1, int(tokens.max()) + 1
    known = (states[:-1] >= 0) & (states[1:] >= 0)
    if not known.any():
        return None
    seen = np.zeros((size, count, count))
    np.add.at(seen, (tokens[:-1][known], states[:-1][known], states[1:][known]), 1)
    most = np.where(np.arange(count) == seen.argmax(axis=2)[:, :, None], seen, 0)
    if most.sum() < _OBEYED * seen.sum():
        return None
    # A transition that few of a state's visits take, against the rule, is an error of the state, not of the process.
    recurrent = chains.classes(most.sum(axis=0)).recurrent
    if len(recurrent) != 1 or not (most[:, recurrent[0]].sum(axis=(0, 2)) > 0).all():
        return None
    inside = most[:, recurrent[0]][:, :, recurrent[0]]
    return HMM(inside / inside.sum(axis=(0, 2))[:, None])
