"""Processes made of processes: unions, products, leaks, a first token that marks the beginning, and reversed time."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from ontogeny.compmech.hmm import GHMM, HMM
from ontogeny.compmech.matrices import require_process
from ontogeny.compmech.precision import as_law
from ontogeny.core import arguments
from ontogeny.core.arguments import Numbers
from ontogeny.core.errors import InvalidArgument
from ontogeny.core.seeds import derive


def union(
    processes: Sequence[GHMM], weights: Numbers, vocabularies: Sequence[Sequence[int]] | None = None
) -> GHMM | HMM:
    """One of several processes, chosen once with the given weights and kept for ever: a process that is not ergodic.

    T[x] is block diagonal and the initial state is (w₁ η₁, …, w_K η_K).

    Args:
        processes: the components.
        weights: their probabilities, at least 0, of sum 1.
        vocabularies: for each component the token of the union that each of its tokens becomes. Default: the token of
            the same number.

    Returns:
        An HMM where all components are, else a GHMM.

    Raises:
        InvalidArgument: for weights that are no law, or a vocabulary of wrong length or with repeated tokens.
    """
    processes = _require_processes(processes)
    law = as_law("weights", weights, len(processes))
    maps = _token_maps(processes, vocabularies)
    sizes = [p.num_states for p in processes]
    ends = np.cumsum(sizes)
    matrices = np.zeros((max(max(m) for m in maps) + 1, ends[-1], ends[-1]))
    for process, tokens, end in zip(processes, maps, ends, strict=True):
        block = slice(end - process.num_states, end)
        matrices[np.array(tokens), block, block] = process.transition_matrices
    initial = np.concatenate([w * p.initial for w, p in zip(law, processes, strict=True)])
    return _of_kind(processes, matrices, initial, np.concatenate([p.final for p in processes]))


def product(*processes: GHMM) -> GHMM | HMM:
    """Independent processes side by side: T[(x, y)] = T₁[x] ⊗ T₂[y].

    The joint token is x·V₂ + y, the last process counting fastest, and so is the joint state; entropy rates and
    excess entropies add. `Factored` keeps the factors apart, which is all that large products allow.
    """
    _require_processes(processes)
    matrices = reduce(_kron_tokens, [p.transition_matrices for p in processes])
    initial = reduce(np.kron, [p.initial for p in processes])
    return _of_kind(processes, matrices, initial, reduce(np.kron, [p.final for p in processes]))


@dataclass(frozen=True)
class Factored:
    """Independent processes behind one token, sampled and filtered factor by factor.

    The belief of the product is the Kronecker product of the factors' beliefs, Π Sᵢ numbers; the factors' own are
    Σ Sᵢ, and hold the same.

    Args:
        factors: the processes; the last one's token counts fastest, as in `product`.
    """

    factors: tuple[GHMM, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "factors", _require_processes(self.factors, "factors"))

    @property
    def num_tokens(self) -> int:
        return int(np.prod([factor.num_tokens for factor in self.factors]))

    def joint(self) -> GHMM | HMM:
        """The product as one process."""
        return product(*self.factors)

    def sample(
        self, num_sequences: int, length: int, seed: int = 0, device: str | torch.device = "cpu"
    ) -> Int[Tensor, "sequence position"]:
        """Joint tokens, shape (num_sequences, length); each factor has its own child of the seed."""
        seed = arguments.whole_number("seed", seed, least=None)
        factors = enumerate(self.factors)
        drawn = [f.sample(num_sequences, length, derive(seed, "factor", index), device) for index, f in factors]
        tokens = torch.zeros_like(drawn[0])
        for factor, own in zip(self.factors, drawn, strict=True):
            tokens = tokens * factor.num_tokens + own
        return tokens

    def split(self, tokens: Numbers) -> Int[np.ndarray, "*batch factor"]:
        """The factors' tokens behind joint tokens of any shape, along a last axis."""
        given = arguments.as_array("tokens", tokens)
        known = given.dtype.kind in "biuf" and bool(((given >= 0) & (given < self.num_tokens)).all())
        if not known or (given != np.floor(given)).any():
            found = arguments.describe(given, tokens)
            raise InvalidArgument("tokens", expected=f"whole numbers from 0 to {self.num_tokens - 1}", found=found)
        return np.stack(
            np.unravel_index(given.astype(np.int64), [factor.num_tokens for factor in self.factors]), axis=-1
        )

    def beliefs(self, tokens: Numbers) -> list[Float[np.ndarray, "sequence position _state"]]:
        """The exact beliefs of every factor, each (sequence, length + 1, states of the factor)."""
        split = self.split(tokens)
        return [factor.beliefs(split[..., index]) for index, factor in enumerate(self.factors)]


def leaky(process: GHMM, epsilon: float) -> HMM:
    """(1 - ε) T[x] + ε/(V S): with probability ε any token and any state, so that no word is impossible."""
    if not isinstance(process, HMM):
        raise InvalidArgument("process", expected="an HMM", found=arguments.show(process))
    epsilon = arguments.probability("epsilon", epsilon)
    matrices = process.transition_matrices
    leak = epsilon / (process.num_tokens * process.num_states)
    return HMM((1 - epsilon) * matrices + leak, None if epsilon else process.initial)


def with_bos(process: GHMM) -> GHMM | HMM:
    """The process behind a token that marks the beginning: one more token, V, and one more state, S, where it starts.

    The first token is V and then the process starts in its initial state. The result is not stationary.
    """
    require_process(process)
    tokens, states = process.num_tokens, process.num_states
    matrices = np.zeros((tokens + 1, states + 1, states + 1))
    matrices[:tokens, :states, :states] = process.transition_matrices
    matrices[tokens, states, :states] = process.initial
    return _of_kind([process], matrices, np.eye(states + 1)[states], np.append(process.final, 1.0))


def reverse(process: GHMM) -> GHMM | HMM:
    """The same process read backwards: Pr(x₁…x_L) = Pr_reverse(x_L…x₁).

    Of an HMM, `T_rev[x][j, i] = πᵢ T[x][i, j] / πⱼ` over the states that the stationary law visits; of a GHMM, T[x]ᵀ
    with η₀ and w exchanged.

    Raises:
        InvalidArgument: for a process that does not start in its stationary state: read backwards it has no
            initial state.
    """
    require_stationary(process)
    if not isinstance(process, HMM):
        return GHMM(process.transition_matrices.transpose(0, 2, 1), process.final, process.initial)
    visited = process.initial > 0
    law = process.initial[visited]
    matrices = process.transition_matrices[:, visited][:, :, visited].transpose(0, 2, 1)
    return HMM(matrices * law / law[:, None], law)


def require_stationary(process: GHMM) -> None:
    """Raise for a process that starts elsewhere than in its stationary state, as one behind a BOS token does."""
    require_process(process)
    if not process.is_stationary:
        raise InvalidArgument(
            "process",
            expected="one that starts in its stationary state",
            found="an initial state that is not stationary",
            instead="the process without its beginning-of-sequence token, or cm.HMM(T) without `initial`.",
        )


def _require_processes(given: object, name: str = "processes") -> tuple[GHMM, ...]:
    processes = tuple(given) if isinstance(given, (list, tuple)) else ()
    if not processes:
        raise InvalidArgument(name, expected="a list of at least one process", found=arguments.show(given))
    for process in processes:
        require_process(process)
    return processes


def _token_maps(processes: Sequence[GHMM], vocabularies: object) -> list[list[int]]:
    """The token of the union for each token of each component."""
    if vocabularies is None:
        return [list(range(process.num_tokens)) for process in processes]
    expected = "for each component as many different tokens (whole numbers ≥ 0) as it has"
    wrong = InvalidArgument("vocabularies", expected=expected, found=arguments.show(vocabularies))
    if not isinstance(vocabularies, (list, tuple)) or len(vocabularies) != len(processes):
        raise wrong
    maps = []
    for given, process in zip(vocabularies, processes, strict=True):
        tokens = arguments.as_array("vocabularies", given)
        if tokens.dtype.kind not in "iu" or tokens.shape != (process.num_tokens,) or tokens.min() < 0:
            raise wrong
        maps.append(tokens.tolist())
    if any(len(set(tokens)) != len(tokens) for tokens in maps):
        raise wrong
    return maps


def _kron_tokens(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return np.stack([np.kron(a, b) for a in first for b in second])


def _of_kind(processes: Sequence[GHMM], matrices: np.ndarray, initial: np.ndarray, final: np.ndarray) -> GHMM | HMM:
    """An HMM where every part is one."""
    if all(isinstance(process, HMM) for process in processes):
        return HMM(matrices, initial)
    return GHMM(matrices, initial, final)
