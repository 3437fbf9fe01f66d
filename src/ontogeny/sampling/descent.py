"""A short descent from the center: what it lacks to be a minimum of the loss."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from ontogeny.core.seeds import generator
from ontogeny.sampling.curvature import Curvature
from ontogeny.sampling.posterior import LocalPosterior

STEPS = 30


def descend(
    posterior: LocalPosterior, scale: Float[Tensor, " parameters"], curvature: Curvature, seed: int
) -> tuple[float, int]:
    """nβ (L(w*) - L) after some steps of descent with momentum from w*, and the per-sample gradients they took.

    On one batch, which ought to be large, whose gradient is corrected at w* by that on all samples.

    Args:
        posterior: gives the gradients, on one batch of its size.
        scale: coordinates in which steps are taken, curvature to the -½.
        curvature: bounds the step.
        seed: root of the seed tree.
    """
    center, spent = posterior.center, 0
    indices = posterior.batch_indices(generator(seed, "descent"))
    size = posterior.samples.stored if indices is None else len(indices)
    control = torch.zeros_like(center)
    if indices is not None:
        control = posterior.center_gradient() - posterior.center_gradient(indices)
        spent += posterior.samples.stored + size
    step = 0.5 / math.sqrt(max(curvature.largest(center, scale, iterations=10), 1e-12))
    position, momentum, lowest = center.clone(), torch.zeros_like(center), 0.0
    gradient = torch.empty_like(center)[None]
    for _ in range(STEPS):
        loss = float(posterior.gradients(position[None], indices, gradient)) * posterior.nbeta
        loss += float((position - center) @ control)
        spent += size
        if not math.isfinite(loss):
            break
        lowest = min(lowest, loss)
        momentum = 0.9 * (momentum - step * scale * (gradient[0] + control))
        position = position + step * scale * momentum
    return -lowest, spent
