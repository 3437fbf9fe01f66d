"""A mixture of languages whose laws are known: one of several Markov chains is drawn once, and kept for a sequence."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product

import numpy as np
from jaxtyping import Float
from scipy.optimize import brentq
from scipy.special import log_softmax, logsumexp

from ontogeny.compmech import HMM, next_token_law, union
from ontogeny.compmech.chains import limit
from ontogeny.core.arguments import Numbers
from ontogeny.core.errors import InvalidArgument
from ontogeny.core.seeds import derive

Chain = Float[np.ndarray, "token token"]
_EXPONENTS = np.linspace(0, 6, 61)  # by which a chain is moved away from the first
_TRIES = 30  # more directions that are drawn where one does not reach its distance


@dataclass(frozen=True)
class Languages:
    """A first Markov chain of tokens and others at given distances from it, as hidden Markov processes.

    Rows of the first chain, and of a direction R_k for each of the others, are logits of N(0, 1). Chain k is
    proportional to A^(1-t) R_k^t, with the least t at which its relative entropy rate KL(k ‖ A) is `distances[k - 1]`.
    A direction that never reaches it is drawn again.

    Attributes:
        tokens: of the vocabulary.
        distances: d of each chain but the first, in nats a token: the evidence that a token of its own gives for it
            against the first, on average.
        seed: of the draw.

    Raises:
        InvalidArgument: for a distance that no direction reaches.
    """

    tokens: int
    distances: tuple[float, ...]
    seed: int = 0

    @cached_property
    def chains(self) -> list[Chain]:
        """Transition matrices, the first language first."""
        rng = np.random.default_rng(derive(self.seed, "languages"))
        shape = (self.tokens, self.tokens)
        first, *others = rng.normal(size=(len(self.distances) + 1, *shape))
        found = [np.exp(log_softmax(first, axis=1))]
        for distance, other in zip(self.distances, others, strict=True):
            tried = [other, *rng.normal(size=(_TRIES, *shape))]
            chains = (at_distance(distance, first, direction) for direction in tried)
            chain = next((chain for chain in chains if chain is not None), None)
            if chain is None:
                expected = f"relative entropy rates that one of {len(tried)} directions reaches"
                raise InvalidArgument(
                    "distances", expected=expected, found=str(distance), instead="distances=(0.1, 0.2)"
                )
            found.append(chain)
        return found

    @cached_property
    def processes(self) -> list[HMM]:
        """The chains as hidden Markov processes, whose state is the last token, from their stationary states on."""
        return [HMM(np.einsum("ij,zj->zij", chain, np.eye(self.tokens))) for chain in self.chains]

    def mixture(self, weights: Numbers) -> HMM:
        """The process that is one of them for ever, with these probabilities."""
        mixed = union(self.processes, weights)
        assert isinstance(mixed, HMM)
        return mixed


def at_distance(distance: float, first: Chain, direction: Chain) -> Chain | None:
    """The first chain on the way from one to another, both given by their logits, that is so far from the first."""

    def moved(share: float) -> Chain:
        return np.exp(log_softmax((1 - share) * first + share * direction, axis=1))

    def excess(share: float) -> float:
        return relative_entropy_rate(moved(share), moved(0.0)) - distance

    beyond = next((i for i, share in enumerate(_EXPONENTS) if excess(share) > 0), None)
    return moved(float(brentq(excess, *_EXPONENTS[beyond - 1 : beyond + 1]))) if beyond else None


def relative_entropy_rate(chain: Chain, other: Chain) -> float:
    """KL rate Σ π_i P_ij log(P_ij / Q_ij), in nats a token, of P against Q, π the stationary law of P."""
    return float(limit(chain)[0] @ (chain * np.log(chain / other)).sum(axis=1))


@dataclass(frozen=True)
class Laws:
    """What an observer who knows the languages knows after every token.

    Attributes:
        evidence: log P_k(x₁…x_n) of each language, (sequence, n = 0…L, language), in nats.
        next: Pr_k(x | x₁…x_n), (sequence, n, language, token).
    """

    evidence: Float[np.ndarray, "sequence length language"]
    next: Float[np.ndarray, "sequence length language token"]

    def log_posterior(self, weights: Numbers) -> Float[np.ndarray, "sequence length language"]:
        """The log of Pr(k | x₁…x_n), in log space throughout."""
        return log_softmax(self.evidence + np.log(np.asarray(weights)), axis=-1)

    def predictive(self, weights: Numbers) -> Float[np.ndarray, "sequence length token"]:
        """Pr(x | x₁…x_n) of the mixture."""
        return np.einsum("snk,snkx->snx", np.exp(self.log_posterior(weights)), self.next)

    def without(self, language: int, weights: Numbers) -> Float[np.ndarray, "sequence length token"]:
        """Pr(x | x₁…x_n) of the mixture of the other languages, in their proportions."""
        others = [k for k in range(self.evidence.shape[-1]) if k != language]
        return Laws(self.evidence[..., others], self.next[:, :, others]).predictive(_shares(weights, others))

    def against(self, language: int, weights: Numbers) -> Float[np.ndarray, "sequence length"]:
        """The evidence for one language against the mixture of the others, log P_k − log Σ_{j≠k} w_j P_j / (1 − w_k).

        The log-odds of the language are this and log w_k / (1 − w_k).
        """
        others = [k for k in range(self.evidence.shape[-1]) if k != language]
        rest = logsumexp(self.evidence[..., others] + np.log(_shares(weights, others)), axis=-1)
        return self.evidence[..., language] - rest


def _shares(weights: Numbers, some: list[int]) -> Float[np.ndarray, " some"]:
    """Their weights, made to sum to 1."""
    chosen = np.asarray(weights, dtype=float)[some]
    return chosen / chosen.sum()


def laws(languages: Languages, tokens: Numbers) -> Laws:
    """Exact laws along sequences (sequence, L), by filtering each language by itself."""
    words = np.asarray(tokens)
    each = [(process, process.beliefs(words)) for process in languages.processes]
    law = np.stack([next_token_law(process, beliefs) for process, beliefs in each], axis=2)
    seen = np.take_along_axis(law[:, :-1], words[:, :, None, None].repeat(law.shape[2], 2), axis=3)[..., 0]
    evidence = np.concatenate([np.zeros_like(seen[:, :1]), np.log(seen).cumsum(axis=1)], axis=1)
    return Laws(evidence, law)


def brute_force(languages: Languages, weights: Sequence[float], length: int) -> float:
    """The largest difference of `laws`, and of the filter of the mixture, from Bayes' rule on sums over all paths.

    The probability of a word is the sum over every path of hidden states of the products of its factors, written out.
    Posterior, predictive law and log-loss are ratios of these sums. All words of up to `length` tokens are compared.
    """
    words = np.array(list(product(range(languages.tokens), repeat=length)))
    paths = np.array(list(product(range(languages.tokens), repeat=length + 1)))
    joint = np.array([_path_sums(process, words, paths) for process in languages.processes])  # language, n, word
    found, mixed = laws(languages, words), languages.mixture(weights)
    posterior = np.asarray(weights)[:, None, None] * joint
    total = posterior.sum(axis=0)
    worst = np.abs(np.exp(found.log_posterior(weights)).transpose(2, 1, 0) - posterior / total).max()
    losses = -np.log(total[1:] / total[:-1])
    chosen = np.take_along_axis(found.predictive(weights)[:, :-1], words[..., None], axis=2)[..., 0]
    worst = max(worst, np.abs(-np.log(chosen).T - losses).max())
    filtered = next_token_law(mixed, mixed.beliefs(words)[:, :-1])
    chosen = np.take_along_axis(filtered, words[..., None], axis=2)[..., 0]
    return float(max(worst, np.abs(-np.log(chosen).T - losses).max()))


def _path_sums(process: HMM, words: np.ndarray, paths: np.ndarray) -> Float[np.ndarray, "length word"]:
    """Pr(x₁…x_n) for n = 0…L, path by path."""
    sums = np.zeros((words.shape[1] + 1, len(words)))
    for path in paths:
        weight = np.full(len(words), process.initial[path[0]])
        for n in range(words.shape[1]):
            weight = weight * process.transition_matrices[words[:, n], path[n], path[n + 1]]
        sums[-1] += weight
    sums[0] = 1.0
    # shorter words are prefixes: the sum over all words that continue them
    for n in range(1, words.shape[1]):
        block = words.max() + 1
        heads = sums[-1].reshape([block] * words.shape[1]).sum(axis=tuple(range(n, words.shape[1])), keepdims=True)
        sums[n] = np.broadcast_to(heads, [block] * words.shape[1]).reshape(-1)
    return sums
