"""The toy model of superposition at symmetric minima: Morse-Bott points of a closed-form loss, away from its kinks."""

import itertools
import math
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float
from scipy.optimize import minimize
from torch import Tensor, nn
from torch.func import grad, jacrev

from ontogeny.core.errors import InvalidArgument
from ontogeny.core.seeds import generator
from ontogeny.testing.curvature import FlatLoss, hessian_rank

_FIRST = (1.2, -0.4)  # length and bias from which every arrangement is reached
_NEWTON = 5  # steps, after a search without derivatives


class Autoencoder(nn.Module):
    """f(x) = ReLU(Wᵀ W x + b)."""

    def __init__(self, weight: Float[Tensor, "hidden features"], bias: Float[Tensor, " features"]) -> None:
        super().__init__()
        self.W = nn.Parameter(weight)
        self.b = nn.Parameter(bias)

    def forward(self, x: Float[Tensor, "*batch features"]) -> Float[Tensor, "*batch features"]:
        return torch.relu(x @ self.W.mT @ self.W + self.b)


@dataclass(frozen=True)
class Superposition:
    """x = μ e_i, i uniform and μ ~ U[0, 1], squeezed through r hidden units onto which features point symmetrically.

    The features point to the corners of a regular polygon (r = 2), of the icosahedron (r = 3), or to the 2r(r-1) roots
    of the lattice D_r (r ≥ 4), all at one length l* and bias b* < 0. A free feature has no weight and the best constant
    bias, 1/(2c). A rotation of all features changes nothing and the loss curves in every other direction, so with
    P = r c + c parameters λ = (P - r(r-1)/2)/2, computed here from the Hessian.

    Args:
        hidden: r.
        corners: of the polygon, from 5 to 8; for r ≥ 3 there is no choice.
        free: features besides.
        num_samples: n.
        seed: of the rows.
        population: E |x - f(x)|² itself in place of its mean over rows. Of it w* is the minimum; over rows it is only
            near. The data are then n zeros.

    Raises:
        InvalidArgument: for an arrangement that there is not (that of a square has its bias on the kink).

    References:
        Chen, Lau, Mendel, Wei and Murfet, "Dynamical versus Bayesian phase transitions in a toy model of
        superposition", arXiv 2310.06301: polygons, loss and λ (7 and 8.5 for five and six corners of six features with
        no free one, 8.5 for five and one free).
    """

    hidden: int = 2
    corners: int | None = None
    free: int = 0
    num_samples: int = 10_000
    seed: int = 0
    population: bool = True

    multiplicity = 1

    def __post_init__(self) -> None:
        if self.hidden < 2 or self.corners not in (None, *(range(5, 9) if self.hidden == 2 else ())):
            raise InvalidArgument(
                "hidden, corners",
                expected="two hidden units with 5 to 8 corners, or more with corners=None",
                found=f"{self.hidden}, {self.corners}",
                instead="hidden=2, corners=6",
            )

    @property
    def features(self) -> int:
        """All c of them, free ones too."""
        return directions(self.hidden, self.corners).shape[1] + self.free

    @property
    def num_parameters(self) -> int:
        return (self.hidden + 1) * self.features

    def model(self) -> Autoencoder:
        """In float32, at w*."""
        weight, bias = self._minimum
        return Autoencoder(weight.float(), bias.float())

    def data(self) -> Float[Tensor, "row features"] | Float[Tensor, " row"]:
        if self.population:
            return torch.zeros(self.num_samples)
        source = generator(self.seed, "inputs")
        active = torch.randint(self.features, (self.num_samples,), generator=source)
        x = torch.zeros(self.num_samples, self.features)
        return x.scatter_(1, active[:, None], torch.rand(self.num_samples, 1, generator=source))

    def condensed(self) -> Tensor:
        """Fewer rows whose mean loss is that of all: one, for the population."""
        return self.data()[:1] if self.population else self.data()

    def loss(self, model: Autoencoder, batch: Tensor) -> Float[Tensor, " batch"]:
        """|x - f(x)|², or its expectation for every row."""
        if self.population:
            return expected_loss(model.W, model.b).expand(batch.shape[0])
        return (batch - model(batch)).square().sum(dim=-1)

    @cached_property
    def learning_coefficient(self) -> float:
        """λ of the population's loss.

        Raises:
            InvalidArgument: if w* is no minimum.
        """
        model = Autoencoder(*self._minimum)
        return hessian_rank(FlatLoss(model, torch.zeros(1), lambda m, _: expected_loss(m.W, m.b)[None])) / 2

    @cached_property
    def _minimum(self) -> tuple[Tensor, Tensor]:
        """W and b in float64."""
        corners = directions(self.hidden, self.corners)
        length, offset = best_size(corners)
        weight = torch.cat([length * corners, torch.zeros(self.hidden, self.free, dtype=torch.float64)], dim=1)
        bias = torch.full((self.features,), 1 / (2 * self.features), dtype=torch.float64)
        bias[: corners.shape[1]] = offset
        return weight, bias


def expected_loss(weight: Float[Tensor, "hidden features"], bias: Float[Tensor, " features"]) -> Float[Tensor, ""]:
    """E |x - ReLU(WᵀW x + b)|² exactly: a cubic in μ on the part of [0, 1] where each output is on.

    Output j of x = μ e_i is on where μ g_ij + b_j > 0, g = WᵀW: above its root for g > 0, below it for g < 0.
    """
    gram = weight.mT @ weight
    offsets = bias.expand_as(gram)
    same = torch.eye(len(bias), dtype=weight.dtype, device=weight.device)
    flat = gram == 0
    root = (-offsets / torch.where(flat, torch.ones_like(gram), gram)).clamp(0, 1)
    lower = torch.where(gram > 0, root, torch.zeros_like(gram))
    upper = torch.where(gram < 0, root, torch.ones_like(gram))
    upper = torch.where(flat & (offsets <= 0), lower, upper)
    slope = gram - same
    on = _cubic(slope, offsets, upper) - _cubic(slope, offsets, lower)
    off = same * (1 - upper**3 + lower**3) / 3
    return (on + off).sum() / len(bias)


def _cubic(slope: Tensor, offset: Tensor, end: Tensor) -> Tensor:
    """∫ (slope μ + offset)² dμ from 0 to `end`."""
    return slope**2 * end**3 / 3 + slope * offset * end**2 + offset**2 * end


def directions(hidden: int, corners: int | None) -> Float[Tensor, "hidden corners"]:
    """Where the features point, at length 1."""
    if hidden == 2:
        angles = 2 * math.pi * torch.arange(corners or 6, dtype=torch.float64) / (corners or 6)
        return torch.stack([angles.cos(), angles.sin()])
    if hidden == 3:
        golden = (1 + 5**0.5) / 2
        rows = [[0.0, a, b * golden] for a, b in itertools.product((1, -1), repeat=2)]
        points = torch.tensor([row[turn:] + row[:turn] for turn in range(3) for row in rows], dtype=torch.float64)
    else:
        axes = torch.eye(hidden, dtype=torch.float64)
        pairs = itertools.product(itertools.combinations(axes, 2), (1, -1), (1, -1))
        points = torch.stack([a * first + b * second for (first, second), a, b in pairs])
    return (points / points.norm(dim=1, keepdim=True)).T.contiguous()


def best_size(corners: Float[Tensor, "hidden corners"]) -> tuple[Tensor, Tensor]:
    """l* and b* of features that point to these directions of length 1."""
    count = corners.shape[1]

    def loss(size: Tensor) -> Tensor:
        return expected_loss(size[0] * corners, size[1].expand(count))

    options = {"xatol": 1e-6, "fatol": 1e-12}
    found = minimize(lambda size: float(loss(torch.from_numpy(size))), _FIRST, method="Nelder-Mead", options=options)
    size = torch.tensor(found.x)
    for _ in range(_NEWTON):
        size = size - torch.linalg.solve(jacrev(grad(loss))(size), grad(loss)(size))
    return size[0], size[1]
