"""Descent from the center to the minimum of the localised loss, which splits the coefficient away from a minimum."""

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from scipy.optimize import minimize
from torch import Tensor

from ontogeny.core.batches import doubled
from ontogeny.core.seeds import generator
from ontogeny.sampling.posterior import LocalPosterior
from ontogeny.sampling.tuning import TUNING

_HUGE = 1e30  # stands in for a value that is not finite


@dataclass(frozen=True)
class Descent:
    """The minimum below the center, and how far the loss falls to it.

    Attributes:
        value: nβ (L(w*) - L(ŵ)), where ŵ is the local minimum of U = nβ L + (γ/2)|w - w*|² that descent from w*
            reaches. 0 at a minimum.
        error: its standard error. It covers the samples on which losses are compared and, after a descent on all
            samples, its unfinished part (see `_remaining`).
        position: ŵ.
        gradient_evaluations: per-sample gradients spent.
        residual: ∇U at ŵ, on blocks of samples that the descent did not use, or once on all samples. It is not zero
            where the descent fitted the noise of its batch or did not end. None after a descent on all samples.
    """

    value: float
    error: float
    position: Float[Tensor, " parameters"]
    gradient_evaluations: int
    residual: Float[Tensor, "fold parameters"] | None = None


def descend(
    posterior: LocalPosterior,
    scale: Float[Tensor, " parameters"],
    seed: int,
    iterations: int = TUNING.descent_iterations,
    whole: int = 0,
) -> Descent:
    """Minimise U from w* by L-BFGS (scipy) on one batch of the posterior's size.

    If the full-data gradient at w* is known, it corrects the batch gradient. The descent then does not fit the noise of
    the batch to first order. Losses at w* and ŵ are compared on all samples, or on samples that the descent did not
    use.

    Args:
        posterior: U, and the batch size.
        scale: coordinates of the descent: curvature of U to the power -½, one number per weight.
        seed: selects the samples.
        iterations: largest number of gradients.
        whole: full-data gradients that may always be taken if the descent on a batch fails.
    """
    order = generator(seed, "descent")
    indices = None if posterior.full_batch else _distinct(posterior, posterior.batch_size, order)
    corrected = indices is not None and posterior.center_gradient_known
    control = torch.zeros_like(posterior.center)
    size = posterior.samples.stored if indices is None else len(indices)
    spent = 0
    if corrected:
        control = posterior.center_gradient() - posterior.center_gradient(indices)
        spent += size
    objective = _Objective(posterior, scale, indices, control)
    result = minimize(
        objective,
        np.zeros(posterior.num_parameters),
        jac=True,
        method="L-BFGS-B",
        options={
            "maxfun": iterations,
            "maxcor": TUNING.descent_memory,
            "maxiter": iterations,
            "ftol": TUNING.descent_tolerance,
            "gtol": 0.0,
        },
    )
    spent += objective.calls * size
    value, position, slope, loss_slope = objective.best
    if indices is None:
        return Descent(value, _remaining(result.hess_inv @ slope, slope, loss_slope), position, spent)
    chosen = _unused(posterior, indices, order)
    value, noise = _compared(posterior, position, chosen, corrected)
    spent += len(chosen)
    away = doubled(position - posterior.center).square().sum()
    rise = posterior.localization / 2 * float(posterior.layout.summed(away)) - value
    # An error of one nat per weight is uninformative: the descent followed batch noise along flat directions.
    if rise > 2 * noise + TUNING.risen or noise > posterior.num_parameters:
        affordable = max(iterations * posterior.batch_size // posterior.samples.stored, whole)
        if affordable >= TUNING.fewest_gradients:
            return _on_all_samples(posterior, scale, seed, affordable, spent)
        value, noise, position = 0.0, 0.0, posterior.center
    return Descent(value, noise, position, spent, _residual(posterior, position, chosen, corrected))


def _on_all_samples(posterior: LocalPosterior, scale: Tensor, seed: int, affordable: int, spent: int) -> Descent:
    """Descend on all samples, after a descent on a batch ended above w* or at an unknown loss.

    Either the batch noise was fitted, or the correction, which is linear in w - w*, decreases without bound along
    curved valleys such as those of rescaled layers.
    """
    found = descend(posterior.at(batch_size=posterior.samples.stored), scale, seed, affordable)
    return replace(found, gradient_evaluations=found.gradient_evaluations + spent)


class _Objective:
    """U and its gradient in scipy's form; remembers the lowest point visited.

    Attributes:
        best: at the lowest U: nβ (L(w*) - L(w)), w, ∇U and nβ∇L in the coordinates of the descent.
    """

    def __init__(
        self, posterior: LocalPosterior, scale: Tensor, indices: Tensor | None, control: Float[Tensor, " parameters"]
    ) -> None:
        self._posterior, self._scale, self._indices, self._control = posterior, scale, indices, control
        self._lowest, self.calls = math.inf, 0
        nothing = np.zeros(posterior.num_parameters)
        self.best = (0.0, posterior.center, nothing, nothing)

    def __call__(self, point: np.ndarray) -> tuple[float, np.ndarray]:
        posterior, self.calls = self._posterior, self.calls + 1
        layout = posterior.layout
        away = layout.here(torch.from_numpy(point)).to(posterior.center) * self._scale
        position, gradient = posterior.center + away, torch.empty_like(posterior.center)[None]
        rise = float(posterior.gradients(position[None], self._indices, gradient)) * posterior.nbeta
        rise += float(layout.dot(doubled(away), doubled(self._control)))
        energy = rise + posterior.localization / 2 * float(layout.summed(doubled(away).square().sum()))
        slope = layout.whole((gradient[0] + self._control) * self._scale).cpu().double().numpy()
        if not (math.isfinite(energy) and np.isfinite(slope).all()):
            return _HUGE, np.zeros_like(slope)
        if energy < self._lowest:
            pull = layout.whole(away * self._scale).cpu().double().numpy() * posterior.localization
            self._lowest, self.best = energy, (-rise, position, slope, slope - pull)
        return energy, slope


def _remaining(step: np.ndarray, slope: np.ndarray, loss_slope: np.ndarray) -> float:
    """Distance of nβ L from its value at the minimum of U, given the next L-BFGS `step`.

    To first order nβ L changes by ∇(nβL)·step even where U is at its minimum. The result is twice that, because L-BFGS
    keeps few vector pairs and underestimates the step along soft directions.
    """
    return 2 * (abs(float(loss_slope @ step)) + abs(float(slope @ step)) / 2)


def _distinct(posterior: LocalPosterior, size: int, order: torch.Generator) -> Tensor:
    return torch.randperm(posterior.samples.stored, generator=order)[:size]


def _unused(posterior: LocalPosterior, used: Tensor, order: torch.Generator) -> Tensor:
    """Samples that the descent did not use; all samples if there are few."""
    stored, size = posterior.samples.stored, max(2 * len(used), TUNING.compared_samples)
    if stored <= 2 * size:
        return torch.arange(stored)
    others = torch.ones(stored, dtype=torch.bool)
    others[used] = False
    left = others.nonzero()[:, 0]
    return left[torch.randperm(len(left), generator=order)[:size]]


def _compared(posterior: LocalPosterior, position: Tensor, chosen: Tensor, corrected: bool) -> tuple[float, float]:
    """nβ (L(w*) - L(w)) and its standard error, which is zero on all samples.

    If `corrected`, samples are split into blocks, each corrected by the gradient at w*. The error is then of second
    order in w - w*.
    """
    falls = _falls(posterior, position, chosen)
    if len(chosen) == posterior.samples.stored:
        return float(falls.mean()), 0.0
    if not corrected:
        return float(falls.mean()), float(falls.std()) / math.sqrt(len(falls))
    away, whole, means = doubled(position - posterior.center), posterior.center_gradient(), []
    for block, fall in zip(chosen.chunk(TUNING.compared_blocks), falls.chunk(TUNING.compared_blocks), strict=True):
        control = whole - posterior.center_gradient(block)
        means.append(float(fall.mean()) - float(posterior.layout.dot(away, doubled(control))))
    return float(np.mean(means)), float(np.std(means, ddof=1)) / math.sqrt(len(means))


def _residual(
    posterior: LocalPosterior, position: Tensor, chosen: Tensor, corrected: bool
) -> Float[Tensor, "fold parameters"]:
    """∇U at a position, on blocks of the chosen samples; once if these are all samples."""
    exact = len(chosen) == posterior.samples.stored
    folds = [chosen] if exact else chosen.chunk(TUNING.compared_blocks)
    found = torch.empty(len(folds), *posterior.center.shape).to(posterior.center)
    for row, fold in zip(found, folds, strict=True):
        posterior.gradients(position[None], fold, row[None])
        if corrected and not exact:
            row += posterior.center_gradient() - posterior.center_gradient(fold)
    return found


def _falls(posterior: LocalPosterior, position: Tensor, chosen: Tensor) -> Float[Tensor, " sample"]:
    """nβ (loss at w* - loss at w), sample by sample."""
    parts = chosen.split(posterior.pass_size)
    here = torch.cat([posterior.losses(position, posterior.samples, part).cpu() for part in parts])
    return posterior.nbeta * (posterior.center_losses(chosen).double() - here.double())
