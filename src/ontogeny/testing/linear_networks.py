"""Deep linear networks at a planted point whose learning coefficient is known, and their exact full-batch potential."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import accumulate, pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ontogeny.core import losses
from ontogeny.core.errors import InvalidArgument
from ontogeny.core.seeds import generator
from ontogeny.testing.aoyagi import Coefficient, deep_linear, two_layer_local

_ROWS = 65_536  # taken at a time through the data in float64


@dataclass(frozen=True)
class DeepLinear:
    """y = W_L ... W_1 x + σ ξ with x, ξ ~ N(0, I), sampled at the planted weights w*.

    K(w) = |W_L ... W_1 - T|² over the population; over n rows with noise w* is not the minimum of the loss, and below
    it the loss falls by about σ²/n a direction.

    Args:
        widths: units a layer, from the inputs to the outputs.
        rank: None for N(0, 1/inputs) weights, a generic point; r for layers that each have rank r exactly, an
            orthogonal r x r block beside zeros, the most degenerate point over its product; one r a layer for two
            layers, a point with a coefficient of its own.
        num_samples: n.
        noise: σ of each output.
        seed: of weights, inputs and noise.
        population: K itself in place of its mean over rows; the data are then n zeros, and have no noise.

    Raises:
        InvalidArgument: for ranks that the layers cannot have, or a point whose coefficient is not known.
    """

    widths: tuple[int, ...]
    rank: int | tuple[int, ...] | None = None
    num_samples: int = 10_000
    noise: float = 0.1
    seed: int = 0
    population: bool = False

    def __post_init__(self) -> None:
        if len(self.widths) < 2 or min(self.widths) < 1:
            raise InvalidArgument(
                "widths", expected="two or more integers ≥ 1", found=f"{self.widths}", instead="(5, 7)"
            )
        ranks, layers = self._planted_ranks, list(pairwise(self.widths))
        fit = len(ranks) == len(layers) and all(0 <= r <= min(layer) for r, layer in zip(ranks, layers, strict=True))
        if self.rank is not None and not fit:
            raise InvalidArgument(
                "rank",
                expected=f"None, an integer from 0 to {min(self.widths)}, or one a layer",
                found=str(self.rank),
                instead="rank=None",
            )
        self.coefficient  # noqa: B018 - a point of unknown coefficient is met here

    def model(self) -> nn.Sequential:
        """Linear layers without biases, in float32, at w*."""
        layers = [nn.Linear(fan_in, fan_out, bias=False) for fan_in, fan_out in pairwise(self.widths)]
        with torch.no_grad():
            for layer, weight in zip(layers, self.weights, strict=True):
                layer.weight.copy_(weight)
        return nn.Sequential(*layers)

    def data(self) -> Tensor | tuple[Tensor, Tensor]:
        """(x, y) in float32, made anew at each call; n zeros for the population."""
        if self.population:
            return torch.zeros(self.num_samples)
        x = torch.randn(self.num_samples, self.widths[0], generator=generator(self.seed, "inputs"))
        noise = torch.randn(self.num_samples, self.widths[-1], generator=generator(self.seed, "noise"))
        for rows, targets in zip(x.split(_ROWS), noise.split(_ROWS), strict=True):
            targets.copy_(rows.double() @ self.product.T + self.noise * targets)
        return x, noise

    def loss(self, model: nn.Sequential, batch: Tensor | tuple[Tensor, Tensor]) -> Float[Tensor, " batch"]:
        """`ontogeny.losses.mse`; K(w) of the population for every row."""
        if not self.population:
            return losses.mse(model, batch)
        product = _product(list(model.parameters()))
        rows = batch[0] if isinstance(batch, tuple) else batch
        return (product - self.product.to(product)).square().sum().expand(rows.shape[0])

    @cached_property
    def weights(self) -> list[Float[Tensor, "fan_out fan_in"]]:
        """w*, one matrix a layer, in float32."""
        source = generator(self.seed, "weights")
        return [_layer(fan_in, fan_out, rank, source) for fan_in, fan_out, rank in self._layers()]

    @cached_property
    def product(self) -> Float[Tensor, "outputs inputs"]:
        """T = W_L ... W_1 in float64."""
        return _product([weight.double() for weight in self.weights])

    @cached_property
    def jacobian_rank(self) -> int:
        """Rank of w -> W_L ... W_1 at w*, from the numerical ranks of the partial products.

        The image is the sum over layers of range(W_L ... W_{l+1}) ⊗ rows(W_{l-1} ... W_1). The ranges grow with l and
        the row spaces shrink, so its dimension is Σ_l (u_l - u_{l-1}) v_l of their dimensions u and v.
        """
        weights = [weight.double() for weight in self.weights]
        before = [self.widths[0], *(_rank(part) for part in accumulate(weights[:-1], lambda done, w: w @ done))]
        after = [self.widths[-1], *(_rank(part) for part in accumulate(weights[:0:-1], lambda done, w: done @ w))]
        ranges = [0, *after[::-1]]
        return sum((u - last) * v for last, u, v in zip(ranges[:-1], ranges[1:], before, strict=True))

    @cached_property
    def coefficient(self) -> Coefficient:
        """λ and m at w*: half the Jacobian's rank where that is the largest there is, else by Aoyagi's formulas.

        Where the Jacobian's rank is the largest, it is constant around w*, K is Morse-Bott and λ is half of it.

        Raises:
            InvalidArgument: if neither the point nor its formula is known: such a point may lie between the generic and
                the most degenerate one.
        """
        first, least, last = self.widths[0], min(self.widths), self.widths[-1]
        if self.jacobian_rank == least * (first + last - least):
            return Coefficient(Fraction(self.jacobian_rank, 2), 1)
        ranks, product_rank = [_rank(weight.double()) for weight in self.weights], _rank(self.product)
        if len(ranks) == 2:
            first, hidden, last = self.widths
            return two_layer_local((first, hidden, last), (ranks[0], ranks[1]), product_rank)
        if set(ranks) == {product_rank}:
            return deep_linear(self.widths, product_rank)
        raise InvalidArgument(
            "rank",
            expected="a generic point, two layers, or layers that all have the rank of their product",
            found=f"layers of ranks {ranks} and a product of rank {product_rank}",
            instead=f"rank={product_rank}, or rank=None",
        )

    @property
    def learning_coefficient(self) -> float:
        """λ at w*, reached as nβ grows and γ falls."""
        return float(self.coefficient.learning_coefficient)

    @property
    def multiplicity(self) -> int:
        return self.coefficient.multiplicity

    def potential(self, nbeta: float) -> "MatrixProductPotential":
        """nβ (L(w) - L(w*)) and its gradient over all data, exactly and in float64."""
        inputs, outputs = self.widths[0], self.widths[-1]
        second, cross = torch.eye(inputs, dtype=torch.float64), torch.zeros(outputs, inputs, dtype=torch.float64)
        data = self.data()
        if isinstance(data, tuple):
            second, cross = torch.zeros_like(second), torch.zeros_like(cross)
            for rows, targets in zip(*(part.split(_ROWS) for part in data), strict=True):
                x = rows.double()
                second += x.T @ x / self.num_samples
                cross += (targets.double() - x @ self.product.T).T @ x / self.num_samples
        return MatrixProductPotential(self.widths, self.product, second, cross, nbeta)

    @property
    def _planted_ranks(self) -> tuple[int, ...]:
        if self.rank is None:
            return ()
        return self.rank if isinstance(self.rank, tuple) else (self.rank,) * (len(self.widths) - 1)

    def _layers(self) -> Iterator[tuple[int, int, int | None]]:
        ranks = self._planted_ranks or (None,) * (len(self.widths) - 1)
        yield from zip(self.widths, self.widths[1:], ranks, strict=False)


@dataclass(frozen=True)
class MatrixProductPotential:
    """nβ (tr D S Dᵀ - 2 tr D Cᵀ) with D = W_L ... W_1 - T: the mean squared error over rows, less that at T.

    Attributes:
        widths: of the layers.
        target: T.
        second: S, the mean of x xᵀ.
        cross: C, the mean of (y - T x) xᵀ.
        nbeta: n·β.
    """

    widths: tuple[int, ...]
    target: Float[Tensor, "outputs inputs"]
    second: Float[Tensor, "inputs inputs"]
    cross: Float[Tensor, "outputs inputs"]
    nbeta: float

    def __call__(
        self, positions: Float[Tensor, "chain parameters"]
    ) -> tuple[Float[Tensor, " chain"], Float[Tensor, "chain parameters"]]:
        """Value and gradient at each row of `positions`, the layers' weights one after another."""
        shapes = list(zip(self.widths[1:], self.widths, strict=False))
        parts = positions.split([rows * columns for rows, columns in shapes], dim=1)
        weights = [part.unflatten(1, shape) for part, shape in zip(parts, shapes, strict=True)]
        before = list(accumulate(weights, lambda done, weight: weight @ done))
        gap = before[-1] - self.target
        spread = gap @ self.second
        values = self.nbeta * ((spread - 2 * self.cross) * gap).sum(dim=(1, 2))
        backward = 2 * self.nbeta * (spread - self.cross)
        gradients: list[Tensor] = []
        for index in range(len(weights) - 1, 0, -1):
            gradients.append((backward @ before[index - 1].mT).flatten(1))
            backward = weights[index].mT @ backward
        return values, torch.cat([backward.flatten(1), *reversed(gradients)], dim=1)


def _layer(fan_in: int, fan_out: int, rank: int | None, source: torch.Generator) -> Float[Tensor, "fan_out fan_in"]:
    if rank is None:
        return torch.randn(fan_out, fan_in, generator=source) / math.sqrt(fan_in)
    weight = torch.zeros(fan_out, fan_in)
    block = torch.randn(rank, rank, generator=source, dtype=torch.float64)
    weight[:rank, :rank] = torch.linalg.qr(block)[0].float()
    return weight


def _product(weights: list[Tensor]) -> Tensor:
    *_, product = accumulate(weights, lambda done, weight: weight @ done)
    return product


def _rank(matrix: Tensor) -> int:
    return int(torch.linalg.matrix_rank(matrix))
