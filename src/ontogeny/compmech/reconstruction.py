"""A machine from sequences of symbols, and whether the process can have such a machine at all."""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from jaxtyping import Int

from ontogeny.compmech import chains, cssr, hankel, symbols
from ontogeny.compmech.bits import entropy
from ontogeny.compmech.hmm import HMM
from ontogeny.compmech.rank_test import table_rank
from ontogeny.compmech.symbols import Sequences, Symbol, Symbols
from ontogeny.core import arguments


class Finding(StrEnum):
    """What a reconstruction found. Only `UNIFILAR` is a machine to be taken for the process."""

    UNIFILAR = "unifilar"
    UNDECIDED = "undecided"
    GROWING = "growing"
    MIXTURES = "mixtures"
    NO_MACHINE = "no_machine"

    @property
    def advice(self) -> str:
        """What it means and what to do; empty for `UNIFILAR`."""
        return _ADVICE[self]


_ADVICE = {
    Finding.UNIFILAR: "",
    Finding.UNDECIDED: (
        "Too short to tell: the data show neither a machine nor that there is none. Give more tokens, ten times as "
        "many where they can be had."
    ),
    Finding.GROWING: (
        "Longer histories still give more states: the histories are too short, or the causal states infinitely many. "
        "The machine is an approximation."
    ),
    Finding.MIXTURES: (
        "The states' futures are mixtures of fewer: a process of that many dimensions that is not unifilar gives them "
        "all, and there is no end of such states. The machine is an approximation."
    ),
    Finding.NO_MACHINE: (
        "The states found have no transitions that the sequence obeys: it is too noisy, or the process has no finite "
        "unifilar machine."
    ),
}


@dataclass(frozen=True, eq=False)
class Reconstruction:
    """A machine found in data, with the verdict on it.

    Args:
        machine: unifilar HMM with transition probabilities counted along the data; None where there is none, and where
            the data are too short to look for one. Its token x is `alphabet[x]`.
        finding: only `Finding.UNIFILAR` says that the machine can be taken for the process.
        alphabet: the symbols that occur, sorted.
        num_states: number of causal states found; more of them need not exist where `finding` is another.
        dimension: rank of the table of pasts and futures, the fewest states of any generalised HMM.
        entropy_rate: of the machine, in bits, or NaN without one.
        method, level: as asked for.
    """

    machine: HMM | None
    finding: Finding
    alphabet: tuple[Symbol, ...]
    num_states: int
    dimension: int
    entropy_rate: float
    method: str
    level: float


def reconstruct(sequence: Sequences, method: str = "cssr", level: float = 0.001) -> Reconstruction:
    """Infer causal states from sequences, and refuse where the process has no finite unifilar machine.

    "cssr" splits and joins histories of growing length by a G-test of their next tokens (`ontogeny.compmech.cssr`);
    "spectral" factorises the table of pasts and futures and groups the filtered predictions
    (`ontogeny.compmech.hankel`). Both are then held against the rank of that table: with k states of a finite machine
    in general position the rank is k. Where k is larger than the rank, k states are mixtures of fewer, as are the
    beliefs of a process that is not unifilar, of which longer data show ever more. Where k is smaller, states were
    missed: the data are too short.

    Args:
        sequence: symbols (integers, strings or bools), of one long sequence or of many: a string, an array or tensor of
            shape (n,) or (sequence, n), a list of symbols, or a list of sequences of any lengths
            (`ontogeny.compmech.symbols`). Renamed symbols give the same result.
        method: "cssr" or "spectral".
        level: of the tests, as a whole (Bonferroni) for those of next tokens, and of each rank; default 0.001.

    Returns:
        `Reconstruction`; read `finding` before `machine`. It is `UNDECIDED` for fewer than 1000 tokens (1440 of two
        symbols), and for more as long as states, rank and machine do not agree and the table of pasts and futures has
        fewer than 50 pairs a cell: processes that have a machine look as if they had none.

    Raises:
        InvalidArgument: for an unknown method, a level outside (0, 1), and what is no sequence of symbols.

    When not to trust it: a state that is visited rarely, or a dimension that is weak for the data's length, is not
    seen. A finite machine whose states' futures are linearly dependent is called `MIXTURES` although it exists. The
    tests take what happens 2m tokens apart (m of `hankel.window`) as independent, and the process as stationary; short
    sequences must begin anywhere in it.

    Source: Shalizi and Klinkner, Blind construction of optimal nonlinear recursive predictors (2004); Hsu, Kakade and
    Zhang (arXiv 0811.4413) for the spectral method; the verdict by rank is this library's own.
    """
    method = arguments.choice("method", method, ("cssr", "spectral"))
    level = arguments.between_0_and_1("level", level)
    data = symbols.read(sequence)
    if not _is_long_enough(data):
        return Reconstruction(None, Finding.UNDECIDED, data.alphabet, 0, 0, float("nan"), method, level)
    counts = hankel.past_future_counts(data)
    dimension = table_rank(counts, level)
    if method == "cssr":
        states, growing = cssr.causal_states(data, level)
    else:
        states, growing = hankel.predictive_clusters(data, dimension), False
    num_states = len(np.unique(states[states >= 0]))
    machine = _counted_machine(data, states)
    if machine is not None and not growing and machine.num_states == num_states == dimension:
        finding = Finding.UNIFILAR
    elif num_states < dimension or not _is_long_enough_to_deny(data, counts):
        finding = Finding.UNDECIDED
    elif growing:
        finding = Finding.GROWING
    else:
        finding = Finding.MIXTURES if num_states > dimension else Finding.NO_MACHINE
    rate = float(machine.stationary @ entropy(machine.readout)) if machine is not None else float("nan")
    named = None if machine is None else HMM(machine.transition_matrices[data.numbers], machine.initial)
    return Reconstruction(named, finding, data.alphabet, num_states, dimension, rate, method, level)


_LEAST = 1000  # tokens
_TO_DENY = 50  # pairs a cell: with 46, RRXOR was seen to have one state too many


def _is_long_enough(data: Symbols) -> bool:
    """Whether pasts and futures of two tokens can be counted (of one, where there are too many symbols for two)."""
    shortest = min(2, hankel.widest_window(data.size))
    return len(data.tokens) >= _LEAST and hankel.is_filled(data, shortest)


def _is_long_enough_to_deny(data: Symbols, counts: Int[np.ndarray, "past future"]) -> bool:
    """Whether what speaks against a machine is more than a lack of data: the widest table, its words often seen."""
    cells = counts.any(axis=1).sum() * counts.any(axis=0).sum()
    return hankel.window(data) == hankel.widest_window(data.size) and counts.sum() >= _TO_DENY * cells


_OBEYED = 0.99


def _counted_machine(data: Symbols, states: Int[np.ndarray, " position"]) -> HMM | None:
    """The unifilar machine whose transitions are those seen most often, and its probabilities by counting.

    `states[t]` is the state before token t, or -1 where none is known. None where the transitions taken most often do
    not account for 99 % of what was seen, or do not make one machine that never ends.
    """
    before = data.words(2)
    before = before[(states[before] >= 0) & (states[before + 1] >= 0)]
    visited, ends = np.unique(np.stack([states[before], states[before + 1]]), return_inverse=True)
    if not (count := len(visited)):
        return None
    source, target = ends.reshape(2, -1)
    seen = np.zeros((data.size, count, count))
    np.add.at(seen, (data.tokens[before], source, target), 1)
    most = np.where(np.arange(count) == seen.argmax(axis=2)[:, :, None], seen, 0)
    if most.sum() < _OBEYED * seen.sum():
        return None
    # A transition that few of a state's visits take, against the rule, is an error of the state, not of the process.
    recurrent = chains.classes(most.sum(axis=0)).recurrent
    if len(recurrent) != 1 or not (most[:, recurrent[0]].sum(axis=(0, 2)) > 0).all():
        return None
    inside = most[:, recurrent[0]][:, :, recurrent[0]]
    return HMM(inside / inside.sum(axis=(0, 2))[:, None])
