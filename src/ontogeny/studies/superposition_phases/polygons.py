"""Critical points of the toy model of superposition, constructed exactly, and checkpoints recognised as one of them.

A point is named k, k+, k++, … : k of the c features point to the corners of a regular k-gon of length l* with bias b*;
the others have no weight. Each + is one of these with the best constant bias, 1/(2c); the biases of the rest are
negative, so that they are off. Chen, Lau, Mendel, Wei and Murfet, 2310.06301.
"""

from functools import cache

import numpy as np
import torch
from jaxtyping import Float
from scipy.spatial import ConvexHull, QhullError
from torch import Tensor
from torch.func import vmap

from ontogeny.core.errors import InvalidArgument
from ontogeny.testing.superposition import Autoencoder, best_size, directions, expected_loss

FEATURES = 6
HIDDEN = 2
LANDMARKS = ("4", "4+", "4++", "5", "5+", "6")
ORIGIN = "0++++++"  # no weights, every bias 1/(2c): a saddle, which training from small weights begins near
OFF = -1.0  # bias of a feature that is off; at 0 it would be on the boundary of another piece of the loss
NONE = "none"
_LEAST_NORM = 0.1  # of a column that points somewhere

Weights = Float[Tensor, "*point hidden features"]
Biases = Float[Tensor, "*point features"]


def polygon(name: str) -> tuple[Tensor, Tensor]:
    """W (2, 6) and b (6) of a critical point, in float64.

    Raises:
        InvalidArgument: for any other than `LANDMARKS` and `ORIGIN`.
    """
    if name not in (*LANDMARKS, ORIGIN):
        expected = " or ".join((*LANDMARKS, ORIGIN))
        raise InvalidArgument("name", expected=expected, found=repr(name), instead='polygon("5+")')
    corners, on = int(name[0]), name.count("+")
    if name == ORIGIN:
        return torch.zeros(HIDDEN, FEATURES).double(), torch.full((FEATURES,), 1 / (2 * FEATURES)).double()
    points = directions(HIDDEN, corners)
    # The length of a square's features is 1 exactly, and its bias 0, on a kink of the loss.
    length, offset = (torch.tensor(1.0), torch.tensor(0.0)) if corners == 4 else _size(corners)
    weight = torch.zeros(HIDDEN, FEATURES, dtype=torch.float64)
    weight[:, :corners] = length * points
    bias = torch.full((FEATURES,), OFF, dtype=torch.float64)
    bias[:corners] = offset
    bias[corners : corners + on] = 1 / (2 * FEATURES)
    return weight, bias


@cache
def _size(corners: int) -> tuple[Tensor, Tensor]:
    return best_size(directions(HIDDEN, corners))


def network_at(name: str) -> Autoencoder:
    """The network at a critical point, in float32."""
    weight, bias = polygon(name)
    return Autoencoder(weight.float(), bias.float())


def levels() -> dict[str, float]:
    """The exact loss of each critical point."""
    return {name: float(expected_loss(*polygon(name))) for name in (*LANDMARKS, ORIGIN)}


def losses(weights: Weights, biases: Biases) -> Float[Tensor, " point"]:
    """E |x - f(x)|² of each point, in float64."""
    return vmap(expected_loss)(weights.double(), biases.double())


def recognised(weights: Weights, biases: Biases, tolerance: float) -> np.ndarray:
    """The critical point that each network is near, or "none".

    It is near k+…+ if the columns longer than 0.1 have k on their convex hull, as many of the other features have a
    bias above 1/(4c), and its loss differs from the exact one by at most `tolerance` of it. Columns inside the hull do
    not count, as in the source: those of a feature that is off, and of one that shares a corner with a longer one.
    """
    exact, found = levels(), losses(weights, biases).numpy()
    names = [
        _name(weight, bias) for weight, bias in zip(weights.double().numpy(), biases.double().numpy(), strict=True)
    ]
    near = [name in exact and abs(loss / exact[name] - 1) <= tolerance for name, loss in zip(names, found, strict=True)]
    return np.where(near, names, NONE)


def _name(weight: np.ndarray, bias: np.ndarray) -> str:
    long = np.flatnonzero(np.linalg.norm(weight, axis=0) > _LEAST_NORM)
    try:
        corners = long[ConvexHull(weight[:, long].T).vertices] if len(long) else long
    except (QhullError, ValueError):  # too few columns, or all on one line
        return NONE
    on = int((np.delete(bias, corners) > 1 / (4 * FEATURES)).sum())
    return f"{len(corners)}{'+' * on}"
