"""Learning coefficients of products of matrices, exactly: deep linear networks and reduced-rank regression.

A network of linear layers without biases computes W_L ... W_1, and K(w) = |W_L ... W_1 - T|^2. The *global* coefficient
is that of the most degenerate point over T; a network elsewhere on the same fibre has its own, *local* and never
smaller. Both are rational, and are given as fractions.
"""

from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

from ontogeny.core.errors import InvalidArgument


class Coefficient(NamedTuple):
    """λ and its multiplicity m: the volume where K < ε shrinks like ε^λ (-log ε)^(m-1)."""

    learning_coefficient: Fraction
    multiplicity: int


def deep_linear(widths: Sequence[int], rank: int) -> Coefficient:
    """The global coefficient of a deep linear network whose product has rank r.

    With excesses M_s = width_s - r, S the ℓ+1 smallest of them, Σ their sum, ℓ ≥ 1 the least with
    max_S ≤ Σ/ℓ < min outside S, and a = Σ - (⌈Σ/ℓ⌉ - 1) ℓ:

        λ = (r (first + last) - r²)/2 + a(ℓ-a)/(4ℓ) - ℓ(ℓ-1)/4 (Σ/ℓ)² + ½ Σ_{i<j in S} M_i M_j,    m = a(ℓ-a) + 1

    Args:
        widths: units a layer, from the inputs to the outputs; two or more.
        rank: r of the product, at most the least width.

    Raises:
        InvalidArgument: for fewer than two widths, one below 1, or a rank that no product has.

    References:
        Aoyagi, "Consideration on the learning efficiency of multiple-layered neural networks with linear units",
        Neural Networks 2024, in the form of Lau et al., arXiv 2308.12108.
    """
    if len(widths) < 2 or min(widths) < 1:
        raise InvalidArgument("widths", expected="two or more integers ≥ 1", found=str(widths), instead="(5, 10, 5)")
    _check_rank("rank", rank, min(widths))
    excess = sorted(width - rank for width in widths)
    ell = next(ell for ell in range(1, len(excess)) if _balances(excess, ell))
    chosen = excess[: ell + 1]
    total = sum(chosen)
    a = total - (-(-total // ell) - 1) * ell
    pairs = (total**2 - sum(size**2 for size in chosen)) // 2
    regular = Fraction(rank * (widths[0] + widths[-1]) - rank**2, 2)
    value = regular + Fraction(a * (ell - a), 4 * ell) - Fraction((ell - 1) * total**2, 4 * ell) + Fraction(pairs, 2)
    return Coefficient(value, a * (ell - a) + 1)


def reduced_rank(inputs: int, hidden: int, outputs: int, rank: int) -> Coefficient:
    """The global coefficient of a network of two linear layers, by the older formula in four cases.

    Args:
        inputs, hidden, outputs: the widths M, H, N.
        rank: r of the product.

    Raises:
        InvalidArgument: for a rank that no product has.

    References:
        Aoyagi and Watanabe, "Stochastic complexities of reduced rank regression in Bayesian estimation", Neural
        Networks 18, 2005.
    """
    M, H, N, r = inputs, hidden, outputs, rank
    _check_rank("rank", r, min(M, H, N))
    if N + r > M + H:
        return Coefficient(Fraction(H * M - H * r + N * r, 2), 1)
    if M + r > N + H:
        return Coefficient(Fraction(H * N - H * r + M * r, 2), 1)
    if H + r > M + N:
        return Coefficient(Fraction(M * N, 2), 1)
    odd = (M + H + N + r) % 2
    value = -((H + r) ** 2) - M**2 - N**2 + 2 * (H + r) * (M + N) + 2 * M * N
    return Coefficient(Fraction(value + odd, 8), 1 + odd)


class Backdoor(NamedTuple):
    """The coefficients on safety data, which never show the trigger, of a network with a backdoor and of one without.

    `difference` is Δλ = λ_kept - λ_removed ≥ 0: the posterior on n safety samples favours removal by n^Δλ.
    """

    kept: Coefficient
    removed: Coefficient

    @property
    def difference(self) -> Fraction:
        return self.kept.learning_coefficient - self.removed.learning_coefficient


def backdoor(widths: tuple[int, int, int], rank: int, near_triggers: int = 0) -> Backdoor:
    """A backdoor in a network B A of two linear layers, kept or removed by safety data: both have loss 0 on these.

    Inputs have M safe directions and a trigger. The safe map has rank r. A kept backdoor is one more hidden unit with a
    nonzero column of B, which only the trigger feeds; removed, the column is 0. With m = M - r + s, h = H - r and
    n = N - r,

        Δλ = max(0, (m - h - n + 1)/2)

    Each spare hidden unit takes ½ from it. Each of s independent near-triggers with safe targets adds ½ once it is
    positive; they make the backdoor narrower, to what lies outside their span, instead of keeping it as it is.

    Args:
        widths: (M, H, N); M without the trigger.
        rank: r of the safe map, below H and N, so that a hidden unit and an output direction are left.
        near_triggers: s ≥ 0, directions other than the M safe ones.

    Raises:
        InvalidArgument: for a rank that leaves no room, or fewer than 0 near-triggers.

    When not to trust it: it compares volumes of two sets of weights at large n. Whether training by gradients follows
        is another question: at a kept backdoor the gradient on safety data is 0.

    References:
        The formula of `two_layer_local`, at the points of ranks (r, r + 1) and (r, r).
    """
    M, H, N = widths
    _check_rank("rank", rank, min(M, H - 1, N - 1))
    if near_triggers < 0:
        raise InvalidArgument(
            "near_triggers", expected="an integer ≥ 0", found=str(near_triggers), instead="near_triggers=0"
        )
    shown = (M + near_triggers, H, N)
    return Backdoor(two_layer_local(shown, (rank, rank + 1), rank), two_layer_local(shown, (rank, rank), rank))


def two_layer_local(widths: tuple[int, int, int], ranks: tuple[int, int], product_rank: int) -> Coefficient:
    """The coefficient *at* the point (A, B) of a network B A of two linear layers, A of H x M and B of N x H.

    With a = rank A, b = rank B, r = rank BA and h = H - a - b + r the hidden directions that neither layer uses:

        λ = (b M + a N - a b)/2 + λ'

    The first term counts the directions of B A that move to first order. What is left is a product of an
    (N-b) x h and an h x (M-a) matrix at the origin, whose coefficient is λ' (0 where one of the three sizes is 0). Over
    all a and b the least λ is that of `reduced_rank`, attained at a = b = r.

    Args:
        widths: (M, H, N).
        ranks: (a, b).
        product_rank: r.

    Raises:
        InvalidArgument: for ranks that no two such matrices have.
    """
    (M, H, N), (a, b) = widths, ranks
    _check_rank("ranks", a, min(M, H))
    _check_rank("ranks", b, min(H, N))
    if not max(0, a + b - H) <= product_rank <= min(a, b):
        raise InvalidArgument(
            "product_rank",
            expected=f"at least a + b - H = {a + b - H} and at most min(a, b) = {min(a, b)}",
            found=str(product_rank),
            instead="the rank of the product of the two matrices",
        )
    regular = Fraction(b * M + a * N - a * b, 2)
    left = (M - a, H - a - b + product_rank, N - b)
    if min(left) == 0:
        return Coefficient(regular, 1)
    rest = reduced_rank(*left, rank=0)
    return Coefficient(regular + rest.learning_coefficient, rest.multiplicity)


def _balances(excess: list[int], ell: int) -> bool:
    """Whether the ell + 1 smallest excesses are the set of the theorem; all of them are if no smaller set is."""
    inside, outside = excess[: ell + 1], excess[ell + 1 :]
    if not outside:
        return True
    return ell * inside[-1] <= sum(inside) < ell * outside[0]


def _check_rank(argument: str, rank: int, largest: int) -> None:
    if not 0 <= rank <= largest:
        raise InvalidArgument(
            argument, expected=f"an integer from 0 to {largest}", found=str(rank), instead=f"{argument} ≤ {largest}"
        )
