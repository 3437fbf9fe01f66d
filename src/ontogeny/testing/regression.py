"""Linear regression at its least squares, and networks at the weights that made their data."""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ontogeny.core import losses
from ontogeny.core.seeds import generator
from ontogeny.testing.classification import Activation, perceptron, perceptron_size
from ontogeny.testing.curvature import FlatLoss, hessian_rank


@dataclass(frozen=True)
class LinearRegression:
    """y = V x + σ ξ fitted without bias, at the least squares over its n rows: an exactly Gaussian posterior.

    Args:
        features, outputs: of x and y.
        absent: further features that are 0 in every row, so that their weights move nothing: a regular model
            embedded in more parameters.
        num_samples: n.
        noise: σ of each output.
        spread: standard deviation of the first feature over that of the last; those between are spaced geometrically.
        seed: of V, x and ξ.
    """

    features: int
    outputs: int = 1
    absent: int = 0
    num_samples: int = 2000
    noise: float = 0.1
    spread: float = 1.0
    seed: int = 0

    multiplicity = 1
    loss = staticmethod(losses.mse)

    def model(self) -> nn.Linear:
        """In float32, at the least squares; weights of absent features are 0."""
        model = nn.Linear(self.features + self.absent, self.outputs, bias=False)
        x, y = (part.double() for part in self.data())
        present = x[:, : self.features]
        with torch.no_grad():
            model.weight.zero_()
            model.weight[:, : self.features] = torch.linalg.solve(present.T @ present, present.T @ y).T
        return model

    def data(self) -> tuple[Float[Tensor, "row features"], Float[Tensor, "row outputs"]]:
        x = torch.zeros(self.num_samples, self.features + self.absent)
        scales = torch.logspace(0, -1, self.features, base=self.spread)
        x[:, : self.features] = scales * torch.randn(
            self.num_samples, self.features, generator=generator(self.seed, "inputs")
        )
        teacher = torch.randn(self.outputs, x.shape[1], generator=generator(self.seed, "weights"))
        noise = torch.randn(self.num_samples, self.outputs, generator=generator(self.seed, "noise"))
        return x, x @ teacher.T + self.noise * noise

    @property
    def num_parameters(self) -> int:
        return (self.features + self.absent) * self.outputs

    @property
    def learning_coefficient(self) -> float:
        return self.features * self.outputs / 2

    def llc(self, nbeta: float, localization: float) -> float:
        """Σᵢ ½ nβhᵢ/(nβhᵢ + γ) over the eigenvalues hᵢ of the Hessian 2 xᵀx/n, once for each output."""
        x = self.data()[0].double()
        curvatures = nbeta * torch.linalg.eigvalsh(2 * x.T @ x / len(x))
        return self.outputs * float((0.5 * curvatures / (curvatures + localization)).sum())


@dataclass(frozen=True)
class Planted:
    """A network at random weights w* that made its own targets.

    Regression: y = f(x; w*) + σ ξ with x, ξ ~ N(0, I), by `ontogeny.losses.mse`; with noise the minimum over the rows
    lies near w*, not at it. Classification: the target of a row is the vector of probabilities that f(x; w*) gives, by
    `ontogeny.losses.cross_entropy`; w* is the minimum exactly.

    λ is half the rank of the Hessian without noise: what the symmetries of the network leave (a shift of all logits,
    the scale of every ReLU unit).

    Args:
        widths: units a layer, from the features to the outputs.
        activation: between the layers.
        task: which of the two.
        num_samples: n.
        noise: σ of each output, of regression.
        seed: of weights, x and ξ.
    """

    widths: tuple[int, ...]
    activation: Activation = "tanh"
    task: Literal["regression", "classification"] = "regression"
    num_samples: int = 2000
    noise: float = 0.1
    seed: int = 0

    multiplicity = 1

    def model(self) -> nn.Sequential:
        """In float32, at w*."""
        return perceptron(self.widths, self.activation, generator(self.seed, "weights"))

    def data(self) -> tuple[Float[Tensor, "row features"], Float[Tensor, "row outputs"]]:
        x, clean = self._clean()
        if self.task == "classification":
            return x, clean.softmax(dim=1).float()
        noise = torch.randn(clean.shape, generator=generator(self.seed, "noise"))
        return x, (clean + self.noise * noise).float()

    def loss(self, model: nn.Module, batch: tuple[Tensor, Tensor]) -> Float[Tensor, " batch"]:
        return losses.mse(model, batch) if self.task == "regression" else losses.cross_entropy(model, batch)

    @property
    def num_parameters(self) -> int:
        return perceptron_size(self.widths)

    @cached_property
    def learning_coefficient(self) -> float:
        """Half the rank of the Hessian over the rows without noise.

        Raises:
            InvalidArgument: if the rank is not clear.
        """
        x, clean = self._clean()
        targets = clean if self.task == "regression" else clean.softmax(dim=1)
        return hessian_rank(FlatLoss(self.model(), (x, targets), self.loss)) / 2

    def _clean(self) -> tuple[Tensor, Tensor]:
        """Inputs in float32, and the outputs at w* in float64."""
        x = torch.randn(self.num_samples, self.widths[0], generator=generator(self.seed, "inputs"))
        with torch.no_grad():
            return x, self.model().double()(x.double())
