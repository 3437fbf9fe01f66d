"""In-context linear regression: sequences of inputs and labels of one linear task each, and the Bayesian predictors.

Raventós et al. (2306.15063); Carroll et al. (2501.17745).
"""

from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float
from pydantic import Field, PositiveInt
from torch import Tensor

from ontogeny.core.errors import InvalidArgument
from ontogeny.core.seeds import derive, generator
from ontogeny.core.settings import Settings

_BLOCK = 2**24  # squared residuals held at once by dMMSE, of sequences times pairs times tasks

Inputs = Float[Tensor, "sequence pair dimension"]
Labels = Float[Tensor, "sequence pair"]


class LinearRegressionTask(Settings):
    """Sequences of K pairs (x, y) with y = t·x + ε, one task vector t a sequence.

    Inputs are x ~ N(0, input_scale² I), the noise is ε ~ N(0, σ²). With a finite task diversity M, t is one of
    t₁, …, t_M with equal probability; with None it is drawn from N(0, task_scale² I) for each sequence. The sets are
    nested: at equal seed, dimension and scale a smaller set is the beginning of a larger one, and all share t₁.

    Every predictor gives ŷₖ from xₖ and the first k − 1 pairs, as a network with causal attention must.

    Attributes:
        dimension: D.
        num_pairs: K.
        noise_variance: σ².
        task_diversity: M; None for tasks without end.
        seed: of the task set.
        input_scale, task_scale: standard deviations of the entries of x and of t.
    """

    dimension: PositiveInt
    num_pairs: PositiveInt
    noise_variance: float = Field(ge=0, allow_inf_nan=False)
    task_diversity: PositiveInt | None = None
    seed: int = 0
    input_scale: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    task_scale: float = Field(default=1.0, gt=0, allow_inf_nan=False)

    @property
    def tasks(self) -> Float[Tensor, "task dimension"] | None:
        """The task set, (M, D); None if the diversity is infinite."""
        if self.task_diversity is None:
            return None
        return self.task_scale * _unit_tasks(self.task_diversity, self.dimension, self.seed)

    def sample(self, num_samples: int, seed: int) -> tuple[Inputs, Labels]:
        """Sequences x (n, K, D) and y (n, K), a function of the seed alone."""
        source = generator(seed, "linear regression")
        shape = (num_samples, self.num_pairs)
        x = self.input_scale * torch.randn(*shape, self.dimension, generator=source)
        noise = self.noise_variance**0.5 * torch.randn(shape, generator=source)
        if self.tasks is None:
            vectors = self.task_scale * torch.randn(num_samples, self.dimension, generator=source)
        else:
            vectors = self.tasks[torch.randint(len(self.tasks), (num_samples,), generator=source)]
        return x, torch.einsum("skd,sd->sk", x, vectors) + noise

    def ridge(self, x: Inputs, y: Labels) -> Labels:
        """The posterior mean under Gaussian tasks: ŷₖ = xₖ·(XᵀX + σ²/s² I)⁻¹Xᵀy, with X and y of the first k − 1 pairs
        and the task scale s.

        It is the best predictor of infinite diversity, in mean squared error. Without noise it is the interpolator of
        smallest norm. In double precision inside.
        """
        wide, labels = self._checked(x, y)
        gram = _before(wide[..., :, None] * wide[..., None, :])
        moment = _before(wide * labels[..., None])
        penalty = self.noise_variance / self.task_scale**2
        if penalty:
            solved = torch.linalg.solve(gram + penalty * torch.eye(self.dimension).to(gram), moment[..., None])
        else:
            solved = torch.linalg.pinv(gram, hermitian=True) @ moment[..., None]
        return (wide * solved[..., 0]).sum(-1).to(y.dtype)

    def dmmse(self, x: Inputs, y: Labels) -> Labels:
        """The posterior mean under the task set: ŷₖ = Σₘ pₘ tₘ·xₖ, pₘ ∝ exp(−Σ_{j<k} (yⱼ − tₘ·xⱼ)²/2σ²).

        It is the best predictor of diversity M (the discrete minimum mean squared error), and tends to `ridge` as M
        grows. Without noise it is the mean of the tasks that fit best. In double precision inside.

        Raises:
            InvalidArgument: for infinite diversity, whose posterior mean is `ridge`.
        """
        if self.tasks is None:
            raise InvalidArgument(
                "task_diversity", expected="a finite number for dmmse", found="None", instead="ridge(x, y)"
            )
        wide, labels = self._checked(x, y)
        size = max(_BLOCK // (self.num_pairs * len(self.tasks)), 1)
        parts = zip(wide.split(size), labels.split(size), strict=True)
        return torch.cat([self._posterior_mean(*part) for part in parts]).to(y.dtype)

    def task_prior(self, x: Inputs) -> Labels:
        """What is best without any pair: x·t̄, t̄ the mean of the task set; 0 if the diversity is infinite."""
        wide, _ = self._checked(x, x[..., 0])
        mean = torch.zeros(self.dimension) if self.tasks is None else self.tasks.double().mean(0)
        return (wide @ mean.to(wide)).to(x.dtype)

    def _posterior_mean(self, x: Tensor, y: Tensor) -> Tensor:
        assert self.tasks is not None
        predicted = x @ self.tasks.to(x).T
        excess = _before((y[..., None] - predicted).square())
        excess = excess - excess.amin(-1, keepdim=True)
        if self.noise_variance:
            weights = torch.softmax(-excess / (2 * self.noise_variance), -1)
        else:
            fits = (excess <= 1e-9 * self.dimension).to(x)
            weights = fits / fits.sum(-1, keepdim=True)
        return (weights * predicted).sum(-1)

    def _checked(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        if x.ndim != 3 or x.shape[2] != self.dimension:
            raise InvalidArgument(
                "x", expected=f"inputs (sequence, pair, {self.dimension}), as sample gives", found=f"{tuple(x.shape)}"
            )
        if y.shape != x.shape[:2]:
            raise InvalidArgument("y", expected=f"labels {tuple(x.shape[:2])} for these x", found=f"{tuple(y.shape)}")
        return x.double(), y.double()


@lru_cache(maxsize=32)
def _unit_tasks(number: int, dimension: int, seed: int) -> Tensor:
    """Drawn one number after the other, so that a smaller set is the beginning of a larger one."""
    source = np.random.default_rng(derive(seed, "tasks", dimension))
    return torch.from_numpy(source.standard_normal((number, dimension))).float()


def _before(terms: Tensor) -> Tensor:
    """Sums over the pairs before each one: 0 at the first."""
    return torch.cat([torch.zeros_like(terms[:, :1]), terms.cumsum(1)[:, :-1]], 1)
