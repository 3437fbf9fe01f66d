"""How alike two representations of the same samples are, whatever the basis: CKA, SVCCA and Procrustes."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float

from ontogeny.circuits.low_rank import LowRank
from ontogeny.core.errors import InvalidArgument

Activations = Float[np.ndarray, "sample unit"]
_LEAST = 4  # samples, of which the unbiased estimate takes quadruples


def debiased_cka(first: Activations, second: Activations) -> float:
    """Linear CKA from unbiased estimates: HSIC(X, Y) / √(HSIC(X, X) HSIC(Y, Y)), in (-1, 1].

    With K = X Xᵀ and L = Y Yᵀ without their diagonals, HSIC is the mean of (K L) over quadruples of distinct samples;
    it is computed from XᵀY, without any sample by sample matrix. Near 0 for independent activations even with fewer
    samples than units, where plain CKA is near 1. Invariant to rotations and to a common scale, not to other maps.

    Args:
        first, second: activations of the same samples, of any widths.

    Returns:
        NaN if one of them does not vary.

    Raises:
        InvalidArgument: for other shapes, fewer than 4 samples, or values that are not finite.

    References:
        Kornblith et al. 2019 (1905.00414); Song et al. 2012 (JMLR 13) for the estimator.
    """
    one, other = checked(first, second)
    across, within = _hsic(one, other), _hsic(one, one) * _hsic(other, other)
    return across / within**0.5 if within > 0 else np.nan


def svcca(first: Activations, second: Activations, kept: float = 0.99) -> float:
    """Mean canonical correlation of the leading principal components, in [0, 1].

    Invariant to rotations and to a common scale; with `kept=1`, to every invertible linear map.

    Args:
        first, second: as for `debiased_cka`. With as many samples as components the value is 1 whatever they are: use
            many more.
        kept: share of the variance that the components hold.

    Raises:
        InvalidArgument: as for `debiased_cka`, or for a share outside (0, 1].

    References:
        Raghu et al. 2017 (1706.05806).
    """
    if not 0 < kept <= 1:
        raise InvalidArgument("kept", expected="a share in (0, 1]", found=str(kept), instead="kept=0.99")
    one, other = (_leading(each, kept) for each in checked(first, second))
    if 0 in (one.shape[1], other.shape[1]):
        return np.nan
    return float(np.linalg.svd(one.T @ other, compute_uv=False).clip(0, 1).mean())


def procrustes(first: Activations, second: Activations) -> float:
    """Similarity after the best rotation, |XᵀY|₁ / (|X| |Y|) with the sum of singular values above, in [0, 1].

    Of activations without their means. 2 - 2 of it is the squared Procrustes distance of X / |X| and Y / |Y|.
    Invariant to rotations and to a common scale. Not 0 for independent ones: compare with shuffled samples.

    Args:
        first, second: as for `debiased_cka`.

    Raises:
        InvalidArgument: as for `debiased_cka`.

    References:
        Ding, Denain and Steinhardt 2021 (2108.01661).
    """
    one, other = (each - each.mean(0) for each in checked(first, second))
    size = np.linalg.norm(one) * np.linalg.norm(other)
    return float(np.linalg.norm(one.T @ other, ord="nuc") / size) if size > 0 else np.nan


def circuit_cosine(first: LowRank, second: LowRank) -> float:
    """⟨A, B⟩ / (|A| |B|) of two circuits of equal shape, neither of which is formed.

    Full circuits, from token to token, compare heads of networks that share a vocabulary and no basis of the stream.

    Raises:
        InvalidArgument: for other shapes.
    """
    if first.shape != second.shape:
        raise InvalidArgument(
            "second",
            expected=f"a circuit of shape {first.shape}",
            found=str(second.shape),
            instead="full circuits (full=True) of networks with one vocabulary",
        )
    inner = torch.sum((first.left.mT @ second.left) * (first.right @ second.right.mT))
    return float(inner / (first.norm() * second.norm()))


def similarities(
    first: Sequence[Activations],
    second: Sequence[Activations],
    measure: Callable[[Activations, Activations], float] = debiased_cka,
) -> xr.DataArray:
    """The measure between each of the first and each of the second, (first, second), such as heads by their outputs."""
    values = [[measure(one, other) for other in second] for one in first]
    return xr.DataArray(np.array(values), dims=("first", "second"))


def checked(*given: Activations) -> list[np.ndarray]:
    """Two sets of activations in double precision, refused unless they are of the same samples."""
    arrays = [np.asarray(each, dtype=np.float64) for each in given]
    for name, each in zip(("first", "second"), arrays, strict=True):
        if each.ndim != 2 or len(each) < _LEAST or len(each) != len(arrays[0]) or not np.isfinite(each).all():
            raise InvalidArgument(
                name,
                expected=f"finite activations (sample, unit) of the same samples, at least {_LEAST}",
                found=f"shape {each.shape}" + ("" if np.isfinite(each).all() else ", not all finite"),
                instead="activations.reshape(-1, width), of one set of tokens for both",
            )
    return arrays


def _hsic(one: np.ndarray, other: np.ndarray) -> float:
    """The unbiased estimate from Gram matrices without their diagonals."""
    count = len(one)
    own, others = (one**2).sum(1), (other**2).sum(1)
    trace = ((one.T @ other) ** 2).sum() - own @ others
    rows, columns = one @ one.sum(0) - own, other @ other.sum(0) - others
    whole = rows.sum() * columns.sum() / ((count - 1) * (count - 2))
    return float(trace + whole - 2 / (count - 2) * rows @ columns) / (count * (count - 3))


def _leading(activations: np.ndarray, kept: float) -> np.ndarray:
    """Orthonormal principal components over samples that hold this share of the variance."""
    left, sizes, _ = np.linalg.svd(activations - activations.mean(0), full_matrices=False)
    left = left[:, sizes > sizes[0] * 1e-10] if sizes[0] > 0 else left[:, :0]
    share = np.cumsum(sizes[: left.shape[1]] ** 2) / (sizes**2).sum() if left.shape[1] else np.zeros(0)
    return left[:, : int(np.searchsorted(share, kept - 1e-12)) + 1]
