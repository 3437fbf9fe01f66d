"""Gaussian-process smoothing of a noisy curve over log training step, with its slope and their errors."""

import warnings
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, DotProduct, Kernel, Matern, WhiteKernel

from ontogeny.core.seeds import derive
from ontogeny.development.settings import StageConfig

_RESTARTS = 2
_LONGEST_SCALE = 10.0  # decades: beyond it a curve is a straight line, which the trend describes
_VAGUE = 100.0  # prior variance of level and trend, in variances of the data: large enough to let the data decide


@dataclass(frozen=True)
class SmoothCurve:
    """The posterior of a curve f(x), x = log10(step), on an even grid of x.

    Attributes:
        log_step: the grid.
        mean, sd: of f.
        slope, slope_sd: mean and standard deviation of df/dx, per decade.
        samples, slope_samples: curves drawn from the posterior, and their slopes.
        length_scale: fitted, in decades.
        extra_noise: standard deviation of the fitted noise beyond the given errors.
    """

    log_step: Float[np.ndarray, " grid"]
    mean: Float[np.ndarray, " grid"]
    sd: Float[np.ndarray, " grid"]
    slope: Float[np.ndarray, " grid"]
    slope_sd: Float[np.ndarray, " grid"]
    samples: Float[np.ndarray, "sample grid"]
    slope_samples: Float[np.ndarray, "sample grid"]
    length_scale: float
    extra_noise: float


def smooth(
    log_step: Float[np.ndarray, " point"],
    value: Float[np.ndarray, " point"],
    error: Float[np.ndarray, " point"],
    config: StageConfig,
) -> SmoothCurve:
    """Gaussian-process smoothing: value_i = level + trend·x_i + g(x_i) + N(0, error_i² + extra_noise²), g Matérn-5/2.

    Level and trend have a vague prior, so a straight line in log step needs no g and the ends are not pulled to a mean.
    Scale and length of g and the extra noise maximise the marginal likelihood; chains' standard errors are often too
    small. The posterior holds these fixed, so its bands are slightly too narrow with few points.

    Args:
        log_step: log10 of the training step, increasing.
        value: the noisy curve.
        error: its standard errors, zeros where unknown.
        config: `resolution`, `num_grid`, `num_samples`, `seed`.
    """
    center, level, scale = log_step.mean(), value.mean(), float(value.std()) or 1.0
    points, standardised, variance = (log_step - center)[:, None], (value - level) / scale, (error / scale) ** 2
    kernel, extra = _fit_kernel(points, standardised, variance, config)
    process = GaussianProcessRegressor(kernel, alpha=variance + extra, optimizer=None).fit(points, standardised)
    grid = np.linspace(log_step[0], log_step[-1], config.num_grid)
    mean, covariance = process.predict((grid - center)[:, None], return_cov=True)

    # A square root of the covariance keeps variances non-negative; negative eigenvalues are only rounding.
    eigenvalues, eigenvectors = np.linalg.eigh(covariance)
    root = eigenvectors * np.sqrt(np.maximum(eigenvalues, 0.0))
    gradient = np.asarray(np.gradient(np.eye(config.num_grid), grid, axis=0))
    generator = np.random.default_rng(derive(config.seed, "posterior"))
    samples = mean + generator.standard_normal((config.num_samples, config.num_grid)) @ root.T
    return SmoothCurve(
        log_step=grid,
        mean=level + scale * mean,
        sd=scale * np.linalg.norm(root, axis=1),
        slope=scale * (gradient @ mean),
        slope_sd=scale * np.linalg.norm(gradient @ root, axis=1),
        samples=level + scale * samples,
        slope_samples=scale * (samples @ gradient.T),
        length_scale=float(kernel.k1.k2.length_scale),
        extra_noise=scale * float(np.sqrt(extra)),
    )


def _fit_kernel(
    points: Float[np.ndarray, "point 1"],
    value: Float[np.ndarray, " point"],
    variance: Float[np.ndarray, " point"],
    config: StageConfig,
) -> tuple[Kernel, float]:
    """The kernel of the curve and the variance of the extra noise, by marginal likelihood."""
    # Without a shortest scale the curve could pass through every point. Matérn-5/2 rings less than RBF at sharp rises.
    bounds = (config.resolution, max(_LONGEST_SCALE, 2 * config.resolution))
    bend = ConstantKernel(1.0, (1e-3, 1e2)) * Matern(5 * config.resolution, bounds, nu=2.5)
    line = ConstantKernel(_VAGUE, "fixed") * DotProduct(1.0, "fixed")
    process = GaussianProcessRegressor(
        bend + line + WhiteKernel(1e-2, (1e-6, 1e1)),
        alpha=variance,
        n_restarts_optimizer=_RESTARTS,
        random_state=derive(config.seed, "restarts") % 2**32,
    )
    with warnings.catch_warnings():
        # A parameter at its bound is a valid answer: no curvature at all, or no noise beyond the known one.
        warnings.simplefilter("ignore", ConvergenceWarning)
        fitted = process.fit(points, value).kernel_
    return fitted.k1, float(fitted.k2.noise_level)
