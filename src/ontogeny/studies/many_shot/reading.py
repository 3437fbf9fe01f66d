"""The log-odds that a network gives a language, read from its next-token laws, and their slope and offset."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.special import expit

_FURTHEST = 15.0  # log-odds beyond which a law cannot be told from that of one language
_HALVINGS = 40
_STEPS = 60

Odds = Float[np.ndarray, "sequence length"]
Law = Float[np.ndarray, "sequence length token"]


def log_odds(seen: Law, language: Law, others: Law) -> Odds:
    """The logit of ρ for the mixture ρ p + (1 − ρ) p' that is nearest to a law, by relative entropy.

    It maximises Σ_x q(x) log(ρ p(x) + (1 − ρ) p'(x)), concave in ρ. For the exact mixture it is the exact log-odds.

    Args:
        seen: q, the network's next-token laws.
        language, others: p of the language and p' of the mixture of the others, after the same tokens.

    Returns:
        In nats, within ±15. It is noise where p and p' are nearly equal.
    """
    low, high = (np.full(seen.shape[:-1], side * _FURTHEST) for side in (-1.0, 1.0))
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        share = expit(middle)[..., None]
        rising = (seen * (language - others) / (share * language + (1 - share) * others)).sum(axis=-1) > 0
        low, high = np.where(rising, middle, low), np.where(rising, high, middle)
    return (low + high) / 2


@dataclass(frozen=True)
class Line:
    """Log-odds as offset + slope · evidence: 1 and the log-odds of the prior for an exact observer.

    Attributes:
        offset, slope: the fit.
        covariance: of both, clustered by sequence.
        kept: relative entropy that the fit leaves, as a share of that left by the best constant log-odds.
    """

    offset: float
    slope: float
    covariance: Float[np.ndarray, "2 2"]
    kept: float

    @property
    def errors(self) -> tuple[float, float]:
        """Standard errors of offset and slope."""
        first, second = np.sqrt(np.diag(self.covariance))
        return float(first), float(second)


def line(seen: Law, language: Law, others: Law, evidence: Odds, ridge: float = 0.0) -> Line:
    """Offset a and slope b of the log-odds over the evidence E, by maximum likelihood.

    Σ q log(σ(a + b E) p + (1 − σ(a + b E)) p') is maximised over all sequences and lengths at once, by Newton's method
    with Fisher's information. So a position counts by how much it says: log-odds far from 0, and tokens after
    which both laws agree, say nothing.

    Args:
        seen, language, others: as for `log_odds`.
        evidence: E of each position, `Laws.against`.
        ridge: precision of a prior around b = 1 and a = 0, for single sequences, which may say too little.
    """
    columns = np.stack([np.ones_like(evidence), evidence], axis=-1)
    at = np.array([0.0, 1.0])
    for _ in range(_STEPS):
        slopes, information = _derivatives(columns @ at, seen, language, others)
        gradient = np.einsum("sn,snc->c", slopes, columns) - ridge * (at - [0.0, 1.0])
        hessian = np.einsum("sn,snc,snd->cd", information, columns, columns) + (ridge + 1e-9) * np.eye(2)
        step = np.clip(np.linalg.solve(hessian, gradient), -1.0, 1.0)
        at = at + step
        if np.abs(step).max() < 1e-8:
            break
    scores = np.einsum("sn,snc->sc", slopes, columns)
    bread = np.linalg.inv(hessian)
    fitted = _excess(columns @ at, seen, language, others)
    constants = [_excess(np.full_like(evidence, each), seen, language, others) for each in np.linspace(-6, 6, 25)]
    return Line(float(at[0]), float(at[1]), bread @ (scores.T @ scores) @ bread, float(fitted / min(constants)))


def _derivatives(odds: Odds, seen: Law, language: Law, others: Law) -> tuple[Odds, Odds]:
    """Of the likelihood by the log-odds, and Fisher's information on them."""
    share = expit(odds)[..., None]
    mixed = share * language + (1 - share) * others
    along = share * (1 - share) * (language - others)
    return (seen * along / mixed).sum(axis=-1), (along**2 / mixed).sum(axis=-1)


def _excess(odds: Odds, seen: Law, language: Law, others: Law) -> float:
    """Mean relative entropy of the laws against mixtures of these log-odds."""
    share = expit(odds)[..., None]
    return float((seen * np.log(seen / (share * language + (1 - share) * others))).sum(axis=-1).mean())
