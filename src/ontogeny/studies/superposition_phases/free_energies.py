"""Free energies of phases as lines in n and ln n, with and without the constants of Laplace's approximation.

The posterior exp(-n L(w)) under the prior N(0, I) gives a phase around the minimum w* the weight exp(-F(n)), with
F(n) = n L(w*) + λ ln n + c and c = |w*|²/2 over the features that are on. Laplace's approximation adds -ln v(n), where
v collects the curvature, the rotations, the arrangements of the features and what is flat. A phase is all of the 6!/6
ways to put six features on a polygon, or the 6·5!/5 ways to put five.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from scipy.optimize import brentq

from ontogeny.core.errors import InvalidArgument
from ontogeny.core.seeds import generator
from ontogeny.studies.superposition_phases.polygons import FEATURES, HIDDEN, losses, polygon
from ontogeny.testing.curvature import FlatLoss
from ontogeny.testing.superposition import Autoencoder, expected_loss

MORSE_BOTT = ("5", "5+", "6")
"""Points off the kinks of the loss, where λ is half the rank of the Hessian and Laplace's approximation applies."""

_CURVED = 1e-7  # of the largest eigenvalue, above which a direction is curved
_PRIOR_DRAWS = 50_000
_ROUNDING = 1e-12
_SEARCHED = (20.0, 1e6)  # values of n


@dataclass(frozen=True)
class Phase:
    """A phase's weight in the posterior, exp(-F(n)).

    Attributes:
        name: of the polygon.
        loss, coefficient, prior_term: L(w*), λ and c of F(n) = n L(w*) + λ ln n + c.
        log_volume: what Laplace's approximation subtracts for curvature, rotations and arrangements.
        rises: L - L(w*) at draws of the prior for the feature that is off, infinite where L is lower; one zero if all
            features are on.
    """

    name: str
    loss: float
    coefficient: float
    prior_term: float
    log_volume: float
    rises: Float[np.ndarray, " draw"]

    def free_energy(self, n: Float[np.ndarray, " n"] | float, volumes: bool = False) -> Float[np.ndarray, " n"]:
        """At each n, without the common constant; `volumes` adds Laplace's, and ln p(n) of what is off."""
        line = n * self.loss + self.coefficient * np.log(n) + self.prior_term
        if not volumes:
            return line
        shares = np.exp(-np.multiply.outer(n, self.rises)).mean(axis=-1)
        return line - self.log_volume - np.log(shares)


def phase(name: str, seed: int = 0) -> Phase:
    """The phase of a polygon.

    With r the rank of the Hessian and a the number of weights of the features that are on, its volume is

        v(n) = arrangements · 2π|W| · (2π)^((r-a)/2) / √det₊ H · p(n),

    where 2π|W| is the length of the circle of rotations. p(n) is the mean of exp(-n (L - L(w*))) over the prior of the
    weights of the feature that is off, where L is not lower, by Monte Carlo over 50,000 draws; it falls to the share of
    the prior at which the loss is the same. v neglects how the prior and the cubic terms of L change across the phase,
    so it is the less exact the smaller n.

    Args:
        name: one of `MORSE_BOTT`.
        seed: of the draws.

    Raises:
        InvalidArgument: for others, which lie on a kink of the loss, so that neither λ nor v follows from a Hessian.
    """
    if name not in MORSE_BOTT:
        raise InvalidArgument("name", expected=" or ".join(MORSE_BOTT), found=repr(name), instead='phase("5")')
    weight, bias = polygon(name)
    corners, flat = int(name[0]), name == "5"
    curvatures = _curvatures(name)
    own = torch.cat([weight.flatten(), bias[: FEATURES - flat]])
    arrangements = math.comb(FEATURES, corners) * math.factorial(corners) / corners
    volume = math.log(arrangements) + math.log(2 * math.pi * float(weight.norm()))
    active = (HIDDEN + 1) * (FEATURES - flat)
    volume += (len(curvatures) - active) / 2 * math.log(2 * math.pi) - 0.5 * float(np.log(curvatures).sum())
    loss = float(expected_loss(weight, bias))
    return Phase(name, loss, len(curvatures) / 2, 0.5 * float(own.square().sum()), volume, _rises(name, seed))


def critical_n(first: Phase, second: Phase, volumes: bool = False) -> float:
    """The largest n at which both have the same free energy; beyond, the one of less loss is preferred.

    Raises:
        InvalidArgument: for phases that do not cross between n = 20 and a million.
    """

    def difference(log_n: Float[np.ndarray, " n"] | float) -> Float[np.ndarray, " n"]:
        n = np.exp(log_n)
        return first.free_energy(n, volumes) - second.free_energy(n, volumes)

    grid = np.log(np.geomspace(*_SEARCHED, num=400))
    signs = np.sign(difference(grid))
    changes = np.flatnonzero(np.diff(signs))
    if not len(changes):
        raise InvalidArgument(
            "first, second",
            expected="phases whose free energies cross between n = 20 and 10⁶",
            found=f"{first.name} and {second.name}",
            instead='critical_n(phase("5"), phase("6"))',
        )
    return math.exp(brentq(difference, grid[changes[-1]], grid[changes[-1] + 1]))


def _curvatures(name: str) -> np.ndarray:
    """The eigenvalues of the Hessian that are not zero."""
    weight, bias = polygon(name)
    loss = FlatLoss(Autoencoder(weight, bias), torch.zeros(1), lambda model, _: expected_loss(model.W, model.b)[None])
    eigenvalues = torch.linalg.eigvalsh(loss.hessian(loss.center)).numpy()
    return eigenvalues[eigenvalues > _CURVED * eigenvalues.max()]


def _rises(name: str, seed: int) -> np.ndarray:
    """L - L(w*) at draws of the prior for the last feature, infinite where it is negative; 0 if that feature is on."""
    if name != "5":
        return np.zeros(1)
    weight, bias = polygon(name)
    drawn = torch.randn(_PRIOR_DRAWS, HIDDEN + 1, generator=generator(seed, "prior"), dtype=torch.float64)
    weights, biases = weight.repeat(_PRIOR_DRAWS, 1, 1), bias.repeat(_PRIOR_DRAWS, 1)
    weights[:, :, -1], biases[:, -1] = drawn[:, :HIDDEN], drawn[:, HIDDEN]
    apart = (losses(weights, biases) - expected_loss(weight, bias)).numpy()
    return np.where(apart > -_ROUNDING, np.maximum(apart, 0), np.inf)
