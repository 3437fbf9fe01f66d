"""Classifiers at a genuine minimum of their training loss: softmax regression, and networks that fit noisy labels."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.func import functional_call, jacrev

from ontogeny.core import losses
from ontogeny.core.errors import InvalidArgument
from ontogeny.core.seeds import generator

Activation = Literal["tanh", "relu"]

_ROUNDS = 60  # of Newton's method, which needs about ten
_LEAST_CURVATURE = 1e-6  # of softmax regression, where inputs have unit variance


@dataclass(frozen=True)
class SoftmaxRegression:
    """Multinomial logistic regression at the minimum over its n rows, labels drawn from a planted teacher.

    One vector added to the weights of every class changes nothing, so the minimum is a flat space: Morse-Bott, with
    λ = (features + 1)(classes - 1)/2.

    Args:
        features, classes: of x ~ N(0, I) and of the labels.
        num_samples: n.
        signal: standard deviation of a teacher's logits over rows; few rows a parameter and a large signal let the
            classes be separated, and then there is no minimum.
        seed: of teacher, rows and labels.

    Raises:
        InvalidArgument: from `model`, if there is no minimum.
    """

    features: int
    classes: int
    num_samples: int = 2000
    signal: float = 1.0
    seed: int = 0

    def model(self) -> nn.Linear:
        """In float32, at the minimum."""
        model = nn.Linear(self.features, self.classes)
        with torch.no_grad():
            model.weight.copy_(self._minimum[:, :-1])
            model.bias.copy_(self._minimum[:, -1])
        return model

    def data(self) -> tuple[Float[Tensor, "row features"], Int[Tensor, " row"]]:
        x = torch.randn(self.num_samples, self.features, generator=generator(self.seed, "inputs"))
        teacher = torch.randn(self.classes, self.features, generator=generator(self.seed, "teacher"))
        logits = self.signal * x @ teacher.T / self.features**0.5
        return x, torch.multinomial(logits.softmax(dim=1), 1, generator=generator(self.seed, "labels"))[:, 0]

    loss = staticmethod(losses.cross_entropy)

    @property
    def num_parameters(self) -> int:
        return (self.features + 1) * self.classes

    @property
    def learning_coefficient(self) -> float:
        return (self.features + 1) * (self.classes - 1) / 2

    multiplicity = 1

    @cached_property
    def _minimum(self) -> Float[Tensor, "classes features_and_bias"]:
        """By Newton's method in float64, the last class held at zero; then centred, the shortest such weights."""
        x, labels = self.data()
        rows = torch.cat([x, torch.ones(len(x), 1)], dim=1).double()
        weights = torch.zeros(self.classes, rows.shape[1], dtype=torch.float64)
        for _ in range(_ROUNDS):
            probabilities = (rows @ weights.T).softmax(dim=1)
            slope = ((probabilities - F.one_hot(labels, self.classes)).T @ rows / len(rows))[:-1]
            hessian, wrong = torch.linalg.cholesky_ex(_softmax_hessian(rows, probabilities[:, :-1]))
            if wrong or hessian.diagonal().min() ** 2 < _LEAST_CURVATURE:
                break  # the classes are separated, and the weights on their way to infinity
            if slope.abs().max() < 1e-13:
                return weights - weights.mean(dim=0)
            weights[:-1] -= torch.cholesky_solve(slope.flatten()[:, None], hessian).view_as(slope)
        raise _no_minimum(f"a slope of {float(slope.abs().max()):.1e} after {_ROUNDS} rounds or fewer")


@dataclass(frozen=True)
class Interpolator:
    """A network with more weights than its labels say, at a minimum over noisy labels of rows that repeat.

    Each of a few distinct inputs occurs many times, with labels that differ. The minimum gives every input the
    frequencies of its labels; all weights that do so are a manifold, across which the loss curves: λ is half of
    inputs x (classes - 1).

    Args:
        widths: units a layer, from the features to the classes.
        activation: between the layers.
        inputs: distinct ones; repeats: rows of each, so that n is the product.
        seed: of weights, rows and labels.

    Raises:
        InvalidArgument: from `model`, if the network does not reach the frequencies.
    """

    widths: tuple[int, ...]
    activation: Activation = "tanh"
    inputs: int = 20
    repeats: int = 50
    seed: int = 0

    @property
    def num_samples(self) -> int:
        return self.inputs * self.repeats

    def model(self) -> nn.Sequential:
        """In float32, at a minimum near random weights."""
        model = perceptron(self.widths, self.activation, generator(self.seed, "weights"))
        nn.utils.vector_to_parameters(self._minimum.float(), model.parameters())
        return model

    def data(self) -> tuple[Float[Tensor, "row features"], Int[Tensor, " row"]]:
        x, counts = self._inputs(), self._counts()
        labels = torch.repeat_interleave(torch.arange(self.widths[-1]).repeat(self.inputs), counts.flatten())
        return x.repeat_interleave(self.repeats, dim=0), labels

    def condensed(self) -> tuple[Float[Tensor, "input features"], Float[Tensor, "input classes"]]:
        """Each input once, with the frequencies of its labels: the mean loss is that over all rows."""
        return self._inputs(), self._counts().double() / self.repeats

    loss = staticmethod(losses.cross_entropy)

    @property
    def num_parameters(self) -> int:
        return perceptron_size(self.widths)

    @property
    def learning_coefficient(self) -> float:
        return self.inputs * (self.widths[-1] - 1) / 2

    multiplicity = 1

    @cached_property
    def _minimum(self) -> Float[Tensor, " parameters"]:
        """By Gauss-Newton in float64: each round takes the shortest step to the log-frequencies, or part of it."""
        model = perceptron(self.widths, self.activation, generator(self.seed, "weights")).double()
        logits, weights = flat_outputs(model, self._inputs().double())
        counts = self._counts().double()
        wanted = _centered((counts / self.repeats).log())
        gap = wanted - _centered(logits(weights))
        for _ in range(_ROUNDS):
            if gap.abs().max() < 1e-12:
                return weights
            jacobian = _centered(jacrev(logits)(weights)).flatten(0, 1)
            step = jacobian.T @ torch.linalg.pinv(jacobian @ jacobian.T, rtol=1e-12, hermitian=True) @ gap.flatten()
            share = 1.0
            while share > 1e-6 and _centered(logits(weights + share * step)).sub(wanted).norm() > gap.norm():
                share /= 2
            weights = weights + share * step
            gap = wanted - _centered(logits(weights))
        raise _no_minimum(f"logits {float(gap.abs().max()):.1e} from the frequencies after {_ROUNDS} rounds")

    def _inputs(self) -> Float[Tensor, "input features"]:
        return torch.randn(self.inputs, self.widths[0], generator=generator(self.seed, "inputs"))

    def _counts(self) -> Int[Tensor, "input classes"]:
        """How often each input has each label: once at least, or no finite logits would be right."""
        odds = torch.randn(self.inputs, self.widths[-1], generator=generator(self.seed, "odds")).softmax(dim=1)
        source = generator(self.seed, "labels")
        drawn = torch.multinomial(odds, self.repeats - self.widths[-1], replacement=True, generator=source)
        return 1 + F.one_hot(drawn, self.widths[-1]).sum(dim=1)


def perceptron(widths: tuple[int, ...], activation: Activation, source: torch.Generator) -> nn.Sequential:
    """Linear layers with biases, weights N(0, 1/inputs) and biases N(0, 0.1²), in float32."""
    if len(widths) < 3 or min(widths) < 1:
        raise InvalidArgument("widths", expected="three or more integers ≥ 1", found=f"{widths}", instead="(5, 20, 3)")
    parts: list[nn.Module] = []
    for fan_in, fan_out in pairwise(widths):
        layer = nn.Linear(fan_in, fan_out)
        with torch.no_grad():
            layer.weight.normal_(generator=source).div_(fan_in**0.5)
            layer.bias.normal_(generator=source).mul_(0.1)
        parts += [layer, nn.Tanh() if activation == "tanh" else nn.ReLU()]
    return nn.Sequential(*parts[:-1])


def perceptron_size(widths: tuple[int, ...]) -> int:
    """Weights and biases of `perceptron`."""
    return sum((fan_in + 1) * fan_out for fan_in, fan_out in pairwise(widths))


def flat_outputs(model: nn.Module, inputs: Tensor) -> tuple[Callable[[Tensor], Tensor], Tensor]:
    """The model's outputs on `inputs` as a function of one flat vector of weights, and the weights that it has."""
    parameters = {name: parameter.detach() for name, parameter in model.named_parameters()}
    sizes = [parameter.numel() for parameter in parameters.values()]

    def outputs(position: Tensor) -> Tensor:
        parts = zip(parameters.items(), position.split(sizes), strict=True)
        return functional_call(model, {name: part.view(old.shape) for (name, old), part in parts}, (inputs,))

    return outputs, torch.cat([parameter.flatten() for parameter in parameters.values()])


def _softmax_hessian(rows: Tensor, probabilities: Tensor) -> Tensor:
    """The mean over rows of (diag p - p pᵀ) ⊗ x xᵀ, over the classes whose probabilities are given."""
    classes, size = probabilities.shape[1], rows.shape[1]
    hessian = torch.zeros(classes, size, classes, size, dtype=torch.float64)
    for a in range(classes):
        for b in range(a, classes):
            weight = probabilities[:, a] * (float(a == b) - probabilities[:, b]) / len(rows)
            hessian[a, :, b] = hessian[b, :, a] = rows.T @ (weight[:, None] * rows)
    return hessian.reshape(classes * size, classes * size)


def _centered(logits: Tensor) -> Tensor:
    """Logits (or their derivatives, weights last) without what all classes share; classes are dimension 1."""
    return logits - logits.mean(dim=1, keepdim=True)


def _no_minimum(found: str) -> InvalidArgument:
    return InvalidArgument(
        "target", expected="data over which the loss has a minimum", found=found, instead="more samples or another seed"
    )
