"""Descent from the center to the minimum of the localised loss: what a coefficient away from a minimum is split by."""

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

_HUGE = 1e30  # what a point outside the finite numbers counts as


@dataclass(frozen=True)
class Descent:
    """What lies below the center.

    Attributes:
        value: nβ (L(w*) - L(ŵ)), ŵ the local minimum of U = nβ L + (γ/2)|w - w*|² that descent from w* leads to. 0 at a
            minimum.
        error: its standard error: of the samples that the losses are compared on, of what is left of the descent (see
            `_remaining`), and of fitting the noise of the samples it was made on.
        position: ŵ.
        gradient_evaluations: per-sample gradients spent.
    """

    value: float
    error: float
    position: Float[Tensor, " parameters"]
    gradient_evaluations: int


def descend(
    posterior: LocalPosterior,
    scale: Float[Tensor, " parameters"],
    seed: int,
    iterations: int = TUNING.descent_iterations,
    whole: int = 0,
) -> Descent:
    """Minimise U from w* by L-BFGS (scipy) on one batch of the posterior's size.

    Where the gradient at w* on all samples is known, it corrects that of the batch, so that noise of the batch is not
    fitted to first order. Losses at w* and ŵ are then compared on all samples, or on others than those of the descent.

    Args:
        posterior: U, and the batch size.
        scale: coordinates of the descent: curvature of U to the -½, one number a parameter.
        seed: of the samples.
        iterations: gradients taken at most.
        whole: gradients on all samples that may be taken in any case, where those on a batch lead nowhere.
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
    error = _remaining(result.hess_inv @ slope, slope, loss_slope)
    if indices is not None:
        fitted = value
        value, noise, more = _compared(posterior, position, indices, corrected, order)
        error = math.hypot(error, noise, max(fitted - value, 0.0) / 2 if noise else 0.0)
        spent += more
        rise = posterior.localization / 2 * float(doubled(position - posterior.center).square().sum()) - value
        # An error of a nat for every weight says nothing: noise of the batch was followed along flat directions.
        if rise > 2 * noise + TUNING.risen or noise > posterior.num_parameters:
            affordable = max(iterations * posterior.batch_size // posterior.samples.stored, whole)
            return _on_all_samples(posterior, scale, seed, affordable, spent, max(rise, noise))
    return Descent(value, error, position, spent)


def _on_all_samples(
    posterior: LocalPosterior, scale: Tensor, seed: int, affordable: int, spent: int, error: float
) -> Descent:
    """Descent on all samples after one on a batch has ended higher than at w*, or at a height that is not known.

    Noise of the batch has been fitted; or the correction, which is linear in w - w*, falls without end along curved
    valleys, as of rescaled layers. Where no more than a few gradients are affordable, nothing is known of what lies
    below w*.
    """
    if affordable < TUNING.fewest_gradients:
        return Descent(0.0, error, posterior.center, spent)
    found = descend(posterior.at(batch_size=posterior.samples.stored), scale, seed, affordable)
    return replace(found, gradient_evaluations=found.gradient_evaluations + spent)


class _Objective:
    """U and its gradient as scipy takes them; remembers the lowest point met.

    Attributes:
        best: of the lowest U: nβ (L(w*) - L(w)), w, ∇U and nβ∇L in the coordinates of the descent.
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
        away = torch.from_numpy(point).to(posterior.center) * self._scale
        position, gradient = posterior.center + away, torch.empty_like(posterior.center)[None]
        rise = float(posterior.gradients(position[None], self._indices, gradient)) * posterior.nbeta
        rise += float(doubled(away) @ doubled(self._control))
        energy = rise + posterior.localization / 2 * float(doubled(away).square().sum())
        slope = ((gradient[0] + self._control) * self._scale).cpu().double().numpy()
        if not (math.isfinite(energy) and np.isfinite(slope).all()):
            return _HUGE, np.zeros_like(slope)
        if energy < self._lowest:
            pull = (away * self._scale).cpu().double().numpy() * posterior.localization
            self._lowest, self.best = energy, (-rise, position, slope, slope - pull)
        return energy, slope


def _remaining(step: np.ndarray, slope: np.ndarray, loss_slope: np.ndarray) -> float:
    """How far nβ L is from its value at the minimum of U, `step` being what L-BFGS would take next.

    To first order nβ L changes by ∇(nβL)·step even where U, at its minimum, does not. Twice that is counted, because
    L-BFGS keeps few pairs of vectors and underestimates the step along soft directions.
    """
    return 2 * (abs(float(loss_slope @ step)) + abs(float(slope @ step)) / 2)


def _distinct(posterior: LocalPosterior, size: int, order: torch.Generator) -> Tensor:
    return torch.randperm(posterior.samples.stored, generator=order)[:size]


def _compared(
    posterior: LocalPosterior, position: Tensor, used: Tensor, corrected: bool, order: torch.Generator
) -> tuple[float, float, int]:
    """nβ (L(w*) - L(w)), its standard error, and per-sample gradients that it took.

    On all samples where they are few, else on samples that were not used. If `corrected`, each of some blocks of these
    is corrected by the gradient at w*, so that its error is of second order in w - w*.
    """
    stored, size = posterior.samples.stored, max(2 * len(used), TUNING.compared_samples)
    if stored <= 2 * size:
        return float(_falls(posterior, position, torch.arange(stored)).mean()), 0.0, 0
    others = torch.ones(stored, dtype=torch.bool)
    others[used] = False
    left = others.nonzero()[:, 0]
    chosen = left[torch.randperm(len(left), generator=order)[:size]]
    falls = _falls(posterior, position, chosen)
    if not corrected:
        return float(falls.mean()), float(falls.std()) / math.sqrt(len(falls)), 0
    away, whole, means = doubled(position - posterior.center), posterior.center_gradient(), []
    for block, fall in zip(chosen.chunk(TUNING.compared_blocks), falls.chunk(TUNING.compared_blocks), strict=True):
        control = whole - posterior.center_gradient(block)
        means.append(float(fall.mean()) - float(away @ doubled(control)))
    return float(np.mean(means)), float(np.std(means, ddof=1)) / math.sqrt(len(means)), len(chosen)


def _falls(posterior: LocalPosterior, position: Tensor, chosen: Tensor) -> Float[Tensor, " sample"]:
    """nβ (loss at w* - loss at w) of some samples."""
    parts = chosen.split(posterior.pass_size)
    here = torch.cat([posterior.losses(position, posterior.samples, part).cpu() for part in parts])
    return posterior.nbeta * (posterior.center_losses(chosen).double() - here.double())
