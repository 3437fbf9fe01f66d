"""The spectrum of the loss at w*: the value under a quadratic approximation at any γ, and the share that γ removes."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from scipy.linalg import eigh_tridiagonal
from torch import Tensor

from ontogeny.core.seeds import generator
from ontogeny.sampling.layout import Divided
from ontogeny.sampling.posterior import LocalPosterior
from ontogeny.sampling.tuning import TUNING


@dataclass(frozen=True)
class Spectrum:
    """Curvatures of nβ L at w* and their weights, by stochastic Lanczos quadrature; exact for small models.

    Attributes:
        curvatures: Ritz values, or all eigenvalues.
        counts: how many of the P directions each represents.
        errors: norms of their residuals.
        gradient_evaluations: per-sample gradients spent.
        complete: whether these are all eigenvalues.
    """

    curvatures: Float[np.ndarray, " ritz"]
    counts: Float[np.ndarray, " ritz"]
    errors: Float[np.ndarray, " ritz"]
    gradient_evaluations: int
    complete: bool = False

    def quadratic(self, localization: float) -> float:
        """nβ E[ΔL] = Σ ½ c/(c + γ) in the quadratic approximation at w*, without negative curvatures."""
        rising = self.curvatures.clip(0)
        return float((self.counts * rising / (rising + localization)).sum() / 2)

    def withheld(self, localization: float) -> float:
        """The share that γ removes, relative to the value at a thousandth of γ.

        Ritz values smaller than the magnitude of the most negative one are treated as zero, as are those whose residual
        exceeds half their size: rounding and unconverged Lanczos vectors produce such values from flat directions. With
            many weights Lanczos does not resolve the low end of the spectrum, and the share is a lower bound.
        """
        downward = max(-float(self.curvatures.min(initial=0.0)), 0.0)
        resolved = self.curvatures > np.maximum(downward, 2 * self.errors)
        each = self.curvatures[resolved, None] / (
            self.curvatures[resolved, None] + localization * np.array([1.0, TUNING.freed])
        )
        held, freed = self.counts[resolved] @ each
        return float(1 - held / freed) if freed else 0.0


def spectrum(posterior: LocalPosterior, seed: int, samples: int = TUNING.spectrum_samples) -> Spectrum | None:
    """The spectrum at the center, in double precision.

    Returns None for large models, and for losses that cannot be differentiated twice.

    Args:
        posterior: its nβ scales the curvatures, which are those of its free coordinates.
        seed: sets the random vectors and the samples.
        samples: most samples for the Hessian; with fewer than P per output it has fewer directions.
    """
    if (
        isinstance(posterior.layout, Divided)
        or not posterior.num_parameters
        or posterior.model_size > TUNING.spectrum_largest
        or not posterior.localization
    ):
        return None
    order = generator(seed, "spectrum")
    try:
        products = _Products(posterior, min(samples, posterior.samples.stored, posterior.pass_size), order)
        if posterior.num_parameters <= TUNING.exact_size:
            return _exactly(products)
        found = [_lanczos(products, order) for _ in range(TUNING.lanczos_probes)]
    except (RuntimeError, TypeError):  # for example fused attention, or a loss with its own precision
        return None
    values, weights, errors = (np.concatenate(each) for each in zip(*found, strict=True))
    if not np.isfinite(values).all():
        return None
    return Spectrum(values, weights * posterior.num_parameters / TUNING.lanczos_probes, errors, products.spent)


class _Products:
    """Products with the Hessian of nβ L on some samples, through one retained graph."""

    def __init__(self, posterior: LocalPosterior, size: int, order: torch.Generator) -> None:
        self.size, self.count = size, 0
        stored = posterior.samples.stored
        chosen = torch.arange(stored) if size == stored else torch.randperm(stored, generator=order)[:size]
        self.weights, loss = posterior.differentiable(chosen)
        (self._gradient,) = torch.autograd.grad(loss * posterior.nbeta, self.weights, create_graph=True)

    def __call__(self, vector: Tensor) -> Tensor:
        self.count += 1
        (found,) = torch.autograd.grad(self._gradient @ vector, self.weights, retain_graph=True)
        return found

    @property
    def spent(self) -> int:
        return self.size * (1 + TUNING.product_cost * self.count)


def _exactly(products: _Products) -> Spectrum:
    matrix = torch.stack([products(column) for column in torch.eye(len(products.weights)).to(products.weights)])
    values = torch.linalg.eigvalsh((matrix + matrix.T) / 2).cpu().numpy()
    return Spectrum(values, np.ones(len(values)), np.zeros(len(values)), products.spent, complete=True)


def _lanczos(products: _Products, order: torch.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Ritz values from a random vector, its squared components along the Ritz vectors, and their residuals."""
    size = len(products.weights)
    vector = torch.randn(size, dtype=torch.float64, generator=order).to(products.weights.device)
    basis, diagonal, beside = [vector / vector.norm()], [], []
    for _ in range(min(TUNING.lanczos_steps, size)):
        product = products(basis[-1])
        diagonal.append(float(product @ basis[-1]))
        for _ in range(2):  # orthogonalise twice against all earlier vectors: rounding would bring directions back
            known = torch.stack(basis)
            product = product - known.T @ (known @ product)
        length = float(product.norm())
        if length <= 1e-12 * max(abs(value) for value in diagonal):
            break
        beside.append(length)
        basis.append(product / length)
    values, vectors = eigh_tridiagonal(np.array(diagonal), np.array(beside[: len(diagonal) - 1]))
    left = beside[-1] if len(beside) == len(diagonal) else 0.0
    return values, vectors[0] ** 2, np.abs(left * vectors[-1])
