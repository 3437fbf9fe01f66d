"""Named generalised processes: of a measured qubit, and of memories that no finite classical or quantum one equals."""

import numpy as np

from ontogeny.compmech.hmm import GHMM
from ontogeny.core import arguments
from ontogeny.core.errors import InvalidArgument


def tom_quantum(alpha: float = 1.0, beta: float = 3.0) -> GHMM:
    """The Bloch walk: a qubit measured weakly along z or x, four tokens; states are (trace, x, z) of its Bloch vector.

    With g = 1/(4(α² + β²)): 1/4 and o = ±2αβg where the measured axis and the trace meet, m = (α² - β²)g across it.
    T has the eigenvalues 1 and, twice, 1/2 + 2m.

    Raises:
        InvalidArgument: for α = β = 0, and where a measurement is so strong that a second eigenvalue reaches 1 (β = 0).

    Source: arXiv 2507.07432.
    """
    alpha, beta = _numbers(alpha=alpha, beta=beta)
    if beta == 0:
        raise InvalidArgument("beta", expected="a number other than 0", found="0, with which nothing is measured")
    gain = 1 / (4 * (alpha**2 + beta**2))
    middle, off = (alpha**2 - beta**2) * gain, 2 * alpha * beta * gain
    along_z = [np.array([[0.25, 0, o], [0, middle, 0], [o, 0, 0.25]]) for o in (off, -off)]
    along_x = [np.array([[0.25, o, 0], [o, 0.25, 0], [0, 0, middle]]) for o in (off, -off)]
    return GHMM(np.stack(along_z + along_x))


def post_quantum(log_alpha: float = 1.0, beta: float = 0.5) -> GHMM:
    """The Moon process: three tokens and three dimensions, which no finite quantum memory generates.

    T[0] ∝ (1, 1, 0)ᵀ(1, -1, -1); T[1], T[2] ∝ [[v, 0, 0], [0, 1, 0], [0, ln v, 1]] for v = α, β; all divided by the
    largest modulus of an eigenvalue of their sum.

    Args:
        log_alpha: ln α > 0.
        beta: in (0, 1), with α + β ≠ 2 and ln α / ln β irrational; of the latter only whole numbers are refused.

    Source: arXiv 2507.07432.
    """
    log_alpha, beta = _numbers(log_alpha=log_alpha, beta=beta)
    if not (log_alpha > 0 and 0 < beta < 1):
        raise InvalidArgument("log_alpha, beta", expected="ln α > 0 and 0 < β < 1", found=f"{log_alpha}, {beta}")
    ratio = log_alpha / np.log(beta)
    if np.isclose(np.exp(log_alpha) + beta, 2) or np.isclose(ratio, np.round(ratio)):
        raise InvalidArgument(
            "log_alpha, beta", expected="α + β ≠ 2 and ln α / ln β irrational", found=f"{log_alpha}, {beta}"
        )
    reset = np.outer([1, 1, 0], [1, -1, -1])
    moves = [np.array([[np.exp(v), 0, 0], [0, 1, 0], [0, v, 1]]) for v in (log_alpha, np.log(beta))]
    matrices = np.stack([reset, *moves])
    return GHMM(matrices / np.abs(np.linalg.eigvals(matrices.sum(axis=0))).max())


def fanizza(alpha: float = 2000.0, lam: float = 0.49) -> GHMM:
    """The FRDN process: a rotation by α that shrinks by λ, and a reset; two tokens, four dimensions, w = 1.

    Args:
        alpha: angle in radians; an irrational multiple of π makes the memory infinite for any HMM.
        lam: λ in (0, 1/2]; above, the reset has negative entries that give words of negative probability.

    Source: Fanizza, Lumbreras and Winter, Quantum theory in finite dimension cannot explain every general process with
    finite memory; arXiv 2507.07432.
    """
    alpha, lam = _numbers(alpha=alpha, lam=lam)
    if not 0 < lam <= 0.5:
        raise InvalidArgument("lam", expected="a number in (0, 1/2]", found=f"{lam}")
    cos, sin = lam * np.cos(alpha), lam * np.sin(alpha)
    scale = 1 - 2 * cos + lam**2
    a, b = (1 - cos + sin) / scale, (1 - cos - sin) / scale
    start = np.array([1 - (2 / (1 - lam) - a - b) / 4, 1 / (2 * (1 - lam)), -a / 4, -b / 4])
    reset = np.outer([1, 1 - lam, 1 + sin - cos, 1 - sin - cos], start)
    turn = np.array([[0, 0, 0, 0], [0, lam, 0, 0], [0, 0, cos, -sin], [0, 0, sin, cos]])
    return GHMM(np.stack([reset, turn]))


def quantum_rrxor(phi: float = 0.7, theta: float = 1.1) -> GHMM:
    """A qubit turned by φ about y and then read by an ancilla turned by θ: two tokens, four Bloch dimensions.

    Kraus operators K_x = D_x R_y(φ) with D₀ = diag(cos θ/2, -i sin θ/2), D₁ = diag(-i sin θ/2, cos θ/2). States are
    (trace, x, y, z) of the density matrix; T[x][a, b] = Tr(σ_b K_x σ_a K_x†)/2.

    Raises:
        InvalidArgument: for angles at which the long-run state is not unique.
    """
    phi, theta = _numbers(phi=phi, theta=theta)
    c, s = np.cos(theta / 2), np.sin(theta / 2)
    turn = np.array([[np.cos(phi / 2), -np.sin(phi / 2)], [np.sin(phi / 2), np.cos(phi / 2)]])
    kraus = np.stack([np.diag([c, -1j * s]), np.diag([-1j * s, c])]) @ turn
    pauli = np.array([[[1, 0], [0, 1]], [[0, 1], [1, 0]], [[0, -1j], [1j, 0]], [[1, 0], [0, -1]]])
    return GHMM(np.einsum("bij,xjk,akl,xil->xab", pauli, kraus, pauli, kraus.conj()).real / 2)


def _numbers(**values: float) -> list[float]:
    return [arguments.real_number(name, value) for name, value in values.items()]
