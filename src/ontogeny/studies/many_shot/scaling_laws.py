"""Four laws of the loss over the number of shots, fitted side by side and judged on what they were not fitted to."""

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float
from scipy.optimize import least_squares
from scipy.special import expit

Curve = Float[np.ndarray, " shot"]
Parameters = Sequence[float] | Float[np.ndarray, " parameter"]
Law = Callable[[Curve, Parameters], Curve]
_SMALL = 1e-9


def power(n: Curve, p: Parameters) -> Curve:
    """C n^(-α) + K (Anil et al., 2024), with p = (log C, log α, K)."""
    return np.exp(p[0]) * n ** -np.exp(p[1]) + p[2]


def bounded_power(n: Curve, p: Parameters) -> Curve:
    """C (1 + n/n_c)^(-α) + K, with p = (log C, log α, K, log n_c)."""
    return np.exp(p[0]) * (1 + n / np.exp(p[3])) ** -np.exp(p[1]) + p[2]


def logistic(n: Curve, p: Parameters) -> Curve:
    """L / (1 + (n/x₀)^κ) + K, with p = (log L, log κ, K, log x₀)."""
    return np.exp(p[0]) / (1 + (n / np.exp(p[3])) ** np.exp(p[1])) + p[2]


def bayesian(n: Curve, p: Parameters) -> Curve:
    """-log of Σ_m ρ_m P_m^(κn+1) / Σ_m ρ_m P_m^(κn) over two hypotheses (Arora et al., 2410.16531).

    p = (loss under the hypothesis that wins, log of what the other loses beside it, log κ, log-odds of the first): the
    weight of the first is σ(p₃ + κ n gap), κ the efficiency of a shot.
    """
    gap = np.exp(p[1])
    weight = expit(p[3] + np.exp(p[2]) * n * gap)
    return p[0] - np.log(weight + (1 - weight) * np.exp(-gap))


LAWS: dict[str, tuple[Law, list[list[float]]]] = {
    "power": (power, [[-1.0, a, 0.8] for a in (-2.0, -0.5, 0.5)]),
    "bounded power": (bounded_power, [[-1.0, a, 0.8, s] for a in (-0.5, 1.0) for s in (0.0, 2.0)]),
    "logistic": (logistic, [[-1.0, a, 0.8, s] for a in (0.0, 1.0) for s in (0.5, 2.5)]),
    "Bayesian": (bayesian, [[0.8, -1.0, k, m] for k in (-1.0, 1.0) for m in (-1.0, -4.0)]),
}
"""Name -> the law, and the places from which fits begin."""

MOST_CALLS = 400
"""Evaluations of a law in one fit, at most."""


def fitted(name: str, n: Curve, losses: Curve) -> Curve:
    """The parameters of a law with the least squares; the best of several beginnings."""
    law, starts = LAWS[name]
    starts = [[start[0] if name != "Bayesian" else losses.min(), *start[1:]] for start in starts]
    if name != "Bayesian":
        starts = [[*start[:2], losses.min(), *start[3:]] for start in starts]
    fits = [
        least_squares(lambda p: law(n, p) - losses, start, bounds=(-12, 12), max_nfev=MOST_CALLS) for start in starts
    ]
    return min(fits, key=lambda fit: fit.cost).x


def held_out(name: str, n: Curve, losses: Curve, fresh: Curve, late: bool) -> float:
    """Root mean square error of a law in nats on shots and sequences that it was not fitted to.

    Args:
        n: numbers of shots.
        losses, fresh: mean loss at each, over the sequences that are fitted, and over others.
        late: whether the first half of the shots predicts the second; else every other shot predicts those between.
    """
    place = np.arange(len(n))
    used = place < len(n) // 2 if late else place % 2 == 0
    found = fitted(name, n[used], losses[used])
    return float(np.sqrt(np.mean((LAWS[name][0](n[~used], found) - fresh[~used]) ** 2)))
