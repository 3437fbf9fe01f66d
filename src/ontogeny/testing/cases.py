"""Named cases of known truth: a network at a minimum, its data and loss, and the value that a sampler ought to find."""

import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cache, cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

from torch import nn

from ontogeny.core.errors import InvalidArgument
from ontogeny.core.losses import LossFn
from ontogeny.testing.classification import Interpolator, SoftmaxRegression
from ontogeny.testing.linear_networks import DeepLinear
from ontogeny.testing.regression import LinearRegression, Planted
from ontogeny.testing.superposition import Superposition

STORED = Path(__file__).with_name("reference_values.json")

# Regular: the minimum is a point with full curvature. Morse-Bott: a manifold with full curvature across it.
# Rank-deficient: neither, the loss rises slower than quadratically in some direction.
Geometry = Literal["regular", "morse-bott", "rank-deficient"]
Task = Literal["regression", "classification"]


# Each has `model()` at w*, `data()` and `loss`, equal at every call, and there λ and m as `learning_coefficient` and
# `multiplicity`.
Target = DeepLinear | LinearRegression | Planted | SoftmaxRegression | Interpolator | Superposition


@dataclass(frozen=True)
class Reference:
    """nβ (E[L(w)] - L(w*)) by long runs of an exact sampler, over all data and in float64.

    Attributes:
        value: mean of two runs with seeds of their own; values: of each.
        standard_error: Monte Carlo error of `value`, and at least half the distance between the two.
        rhat: the larger of the two.
        nbeta, localization: n·β and γ.
        loss_at_center: L(w*), by which a case that is not built as it was is known.
        sampler: what drew them.
    """

    value: float
    standard_error: float
    values: tuple[float, ...]
    rhat: float
    nbeta: float
    localization: float
    loss_at_center: float
    sampler: str


@dataclass(frozen=True)
class Case:
    """One case.

    Attributes:
        name: unique.
        make: gives its target; nothing is made before.
        geometry, task: what kind it is.
        num_parameters, num_samples: P and n.
    """

    name: str
    make: Callable[[], Target]
    geometry: Geometry
    task: Task
    num_parameters: int
    num_samples: int
    localization: float = 1.0

    @cached_property
    def target(self) -> Target:
        """Made once, and with it what it takes time to find."""
        return self.make()

    def build(self) -> tuple[nn.Module, Any, LossFn]:
        """Model at w*, data and loss, as `ontogeny.estimate_llc` takes them; new ones at each call."""
        return self.target.model(), self.target.data(), self.target.loss

    @property
    def nbeta(self) -> float:
        """nβ = n / log n, the default of every sampler here."""
        return self.num_samples / math.log(self.num_samples)

    @property
    def reference(self) -> Reference:
        """The stored value at this nβ and γ.

        Raises:
            InvalidArgument: if there is none.
        """
        stored = stored_references()
        if self.name not in stored:
            raise InvalidArgument(
                "case",
                expected="a case with a stored value",
                found=self.name,
                instead=f"python -m ontogeny.testing.reference {self.name}",
            )
        return stored[self.name]


@cache
def stored_references() -> dict[str, Reference]:
    """Name -> value, from the file that `python -m ontogeny.testing.reference` writes."""
    if not STORED.exists():
        return {}
    stored = json.loads(STORED.read_text(encoding="utf-8"))
    return {name: Reference(**entry | {"values": tuple(entry["values"])}) for name, entry in stored.items()}


def store_references(references: dict[str, Reference]) -> None:
    """Write all values, sorted by name."""
    entries = {name: asdict(reference) for name, reference in sorted(references.items())}
    STORED.write_text(json.dumps(entries, indent=1) + "\n", encoding="utf-8")
    stored_references.cache_clear()


def _linear(geometry: Geometry, widths: tuple[int, ...], rank: Any, num_samples: int, noise: float | None) -> Case:
    """A deep linear network; without noise given, the population's own loss."""
    population = noise is None
    point = f"ranks{'x'.join(map(str, rank))}" if isinstance(rank, tuple) else f"rank{rank}"
    point = "generic" if rank is None else point
    rows = f"n1e{round(math.log10(num_samples))}"
    name = f"linear-{'x'.join(map(str, widths))}-{point}-{rows}-{'population' if population else f'noise{noise:g}'}"
    size = sum(fan_in * fan_out for fan_in, fan_out in pairwise(widths))

    def make() -> DeepLinear:
        return DeepLinear(widths, rank, num_samples, noise or 0.0, population=population)

    return Case(name, make, geometry, "regression", size, num_samples)


LINEAR: tuple[Case, ...] = (
    _linear("morse-bott", (5, 10, 5), None, 10**3, 1.0),
    _linear("morse-bott", (5, 10, 5), None, 10**4, 0.1),
    _linear("morse-bott", (5, 10, 5), None, 10**6, 0.0),
    _linear("morse-bott", (10, 5, 10), None, 10**4, 1.0),
    _linear("morse-bott", (10, 10, 10, 10), None, 10**5, 1.0),
    _linear("morse-bott", (16, 20, 20, 16), None, 10**4, 0.1),
    _linear("morse-bott", (16, 20, 20, 16), None, 10**5, 0.0),
    _linear("morse-bott", (16, 20, 20, 16), None, 10**6, 1.0),
    _linear("morse-bott", (16, 20, 20, 16), None, 10**6, None),
    _linear("morse-bott", (25, 30, 25), None, 10**4, 1.0),
    _linear("morse-bott", (50, 60, 60, 50), None, 10**4, 0.1),
    _linear("morse-bott", (50, 60, 60, 50), None, 10**5, 0.1),
    _linear("morse-bott", (160, 200, 200, 160), None, 10**4, 0.1),
    _linear("morse-bott", (160, 200, 200, 160), None, 10**5, None),
    _linear("rank-deficient", (7, 7, 7), 1, 10**4, 0.1),
    _linear("rank-deficient", (7, 7, 7), 1, 10**5, 0.0),
    _linear("rank-deficient", (7, 7, 7), 1, 10**6, None),
    _linear("rank-deficient", (10, 5, 10), 3, 10**5, 0.1),
    _linear("rank-deficient", (6, 9, 6), (2, 6), 10**5, 0.1),
    _linear("rank-deficient", (10, 10, 10, 10), 5, 10**4, 0.1),
    _linear("rank-deficient", (10, 10, 10, 10, 10, 10), 4, 10**5, 0.1),
    _linear("rank-deficient", (5, 8, 8, 8, 5), 0, 10**6, 0.0),
    _linear("rank-deficient", (6, 10, 10, 10, 10, 6), 2, 10**3, 0.1),
    _linear("rank-deficient", (18, 18, 18, 18), 4, 10**4, 0.1),
    _linear("rank-deficient", (18, 18, 18, 18), 4, 10**6, 0.1),
    _linear("rank-deficient", (20, 20, 20, 20, 20), 6, 10**5, 0.0),
    _linear("rank-deficient", (57, 57, 57, 57), 14, 10**4, 0.1),
    _linear("rank-deficient", (57, 57, 57, 57), 14, 10**6, None),
    _linear("rank-deficient", (182, 182, 182, 182), 45, 10**4, 0.1),
)

_REGULAR: dict[str, LinearRegression | Planted] = {
    "least-squares-100": LinearRegression(10, 10, num_samples=10**6, noise=1.0),
    "least-squares-200": LinearRegression(20, 10, num_samples=10**4, noise=0.1, spread=30.0),
    "least-squares-1000": LinearRegression(1000, 1, num_samples=10**4, noise=0.1, spread=100.0),
    "planted-tanh-5x15x2": Planted((5, 15, 2), "tanh", "regression", 1000, 0.1),
    "planted-tanh-5x15x2-exact": Planted((5, 15, 2), "tanh", "regression", 2000, 0.0),
    "planted-tanh-8x12x12x2": Planted((8, 12, 12, 2), "tanh", "regression", 1000, 0.1),
}

# Regular but for weights that move nothing.
_EMBEDDED: dict[str, LinearRegression] = {
    "least-squares-150-embedded": LinearRegression(100, 1, 50, 10**3, 1.0, spread=10.0),
    "least-squares-400-embedded": LinearRegression(50, 4, 50, 10**5, 0.0, spread=3.0),
}

_PLANTED: dict[str, Planted] = {
    "planted-relu-5x15x2": Planted((5, 15, 2), "relu", "regression", 1000, 1.0),
    "distilled-tanh-5x15x4": Planted((5, 15, 4), "tanh", "classification", 1000),
    "distilled-relu-5x15x4": Planted((5, 15, 4), "relu", "classification", 2000),
    "distilled-relu-8x20x10x5": Planted((8, 20, 10, 5), "relu", "classification", 1000),
}

_SOFTMAX: dict[str, SoftmaxRegression] = {
    "softmax-10x10": SoftmaxRegression(10, 10, 1000),
    "softmax-20x10": SoftmaxRegression(20, 10, 2000),
    "softmax-40x3": SoftmaxRegression(40, 3, 500),
    "softmax-50x10": SoftmaxRegression(50, 10, 4000),
}


def _case(name: str, target: Any, task: Task, geometry: Geometry = "morse-bott") -> Case:
    """A case of a target that costs nothing until its model or data are asked for."""
    return Case(name, lambda: target, geometry, task, target.num_parameters, target.num_samples)


CASES: tuple[Case, ...] = (
    *LINEAR,
    *(_case(name, target, "regression", "regular") for name, target in _REGULAR.items()),
    *(_case(name, target, "regression") for name, target in _EMBEDDED.items()),
    *(_case(name, target, target.task) for name, target in _PLANTED.items()),
    *(_case(name, target, "classification") for name, target in _SOFTMAX.items()),
)
