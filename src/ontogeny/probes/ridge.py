"""Weighted ridge regression held out by fold, from sums over the folds alone: a thousand targets cost little."""

from functools import cached_property
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from ontogeny.probes.readout import Readout

# Shares of the mean variance of a predictor. The least is least squares for all that a R² of eight digits can see.
_RELATIVE_PENALTIES = np.logspace(-8, 1, 10)

CONSTANT = 1e-20  # of a target's variance, relative to its mean square: rounding

Folds = tuple[int, ...]


class HeldOut(NamedTuple):
    """What nested cross-validation says of each target.

    Attributes:
        r2: 1 − weighted squared error of held-out contexts / weighted variance; NaN for a target that does not vary.
        penalty: index of the penalty that was chosen for each fold on the other folds alone.
    """

    r2: Float[np.ndarray, " target"]
    penalty: Int[np.ndarray, "fold target"]


class _Spectrum(NamedTuple):
    """The weighted covariance of the predictors over some folds, decomposed, and their weighted mean."""

    mean: Float[np.ndarray, " column"]
    values: Float[np.ndarray, " column"]
    vectors: Float[np.ndarray, "column column"]


class _TargetSums(NamedTuple):
    """Weighted sums with the targets, by fold; targets and their dimensions in one axis."""

    y: Float[np.ndarray, "fold flat"]
    xy: Float[np.ndarray, "fold column flat"]
    yy: Float[np.ndarray, "fold flat"]
    power: Float[np.ndarray, " flat"]  # mean square before the target is centred


class FoldedRidge:
    """min over B, c of Σ w |y − x B − c|² + α |B|² on all folds but some, and its squared error on others.

    Both need only Σ w, Σ w x, Σ w x xᵀ, Σ w x yᵀ and Σ w y² of every fold. The contexts are passed over once, and the
    covariance is decomposed once for every set of folds, whatever the number of penalties and targets.

    Args:
        predictors: (context, column).
        weights: (context,), positive.
        folds: (context,), from 0 on, at least three, none empty.
    """

    def __init__(
        self,
        predictors: Float[np.ndarray, "context column"],
        weights: Float[np.ndarray, " context"],
        folds: Int[np.ndarray, " context"],
    ) -> None:
        self._weights = weights / weights.sum()
        self._mean = self._weights @ predictors
        self._x = predictors - self._mean
        self._members = [np.flatnonzero(folds == fold) for fold in range(folds.max() + 1)]
        self._all: Folds = tuple(range(len(self._members)))
        weighted = [(self._x[rows], self._weights[rows, None]) for rows in self._members]
        self._weight = np.array([w.sum() for _, w in weighted])
        self._sum = np.stack([(w * x).sum(axis=0) for x, w in weighted])
        self._gram = np.stack([x.T @ (w * x) for x, w in weighted])
        self._spectra: dict[Folds, _Spectrum] = {}
        self._rotated: dict[tuple[Folds, Folds], Float[np.ndarray, "column column"]] = {}

    @cached_property
    def penalties(self) -> Float[np.ndarray, " penalty"]:
        """From what is as good as least squares to what is as good as the mean."""
        variance = float(np.trace(self._gram.sum(axis=0))) / self._x.shape[1]
        return _RELATIVE_PENALTIES * (variance or 1.0)  # constant predictors predict the mean under any penalty

    def held_out(self, targets: Float[np.ndarray, "context target dimension"]) -> HeldOut:
        """R² of contexts in folds that neither the fit nor the choice of the penalty has seen, target by target."""
        sums, shape = self._sums(targets), targets.shape[1:]
        chosen = np.empty((len(self._all), shape[0]), dtype=np.int64)
        error = np.zeros(shape[0])
        for fold in self._all:
            rest = _without(self._all, fold)
            inner = sum(self._errors(_without(rest, other), (other,), sums, shape) for other in rest)
            chosen[fold] = np.argmin(inner, axis=0)
            error += self._errors(rest, (fold,), sums, shape)[chosen[fold], np.arange(shape[0])]
        return HeldOut(_r2(error, sums, shape), chosen)

    def in_sample(self, targets: Float[np.ndarray, "context target dimension"]) -> Float[np.ndarray, " target"]:
        """R² of least squares on the very contexts that it was fitted to."""
        sums, shape = self._sums(targets), targets.shape[1:]
        return _r2(self._errors(self._all, self._all, sums, shape)[0], sums, shape)

    def predict(
        self, target: Float[np.ndarray, "context dimension"], penalty: Int[np.ndarray, " fold"]
    ) -> Float[np.ndarray, "context dimension"]:
        """Prediction of every context by the fit to the other folds, under the penalty chosen for its fold."""
        predicted = np.empty_like(target)
        for fold, rows in enumerate(self._members):
            readout = self._fit(_without(self._all, fold), target, self.penalties[penalty[fold]])
            predicted[rows] = (self._x[rows] + self._mean) @ readout.coefficients + readout.intercept
        return predicted

    def readout(self, target: Float[np.ndarray, "context dimension"]) -> Readout:
        """The fit to all contexts, under the penalty with the least held-out error."""
        sums, shape = self._sums(target[:, None]), (1, target.shape[1])
        error = sum(self._errors(_without(self._all, fold), (fold,), sums, shape) for fold in self._all)
        return self._fit(self._all, target, self.penalties[int(np.argmin(error))])

    def _fit(self, train: Folds, target: Float[np.ndarray, "context dimension"], penalty: float) -> Readout:
        sums, spectrum = self._sums(target[:, None]), self._spectrum(train)
        cross, _ = self._moments(train, train, sums)
        scale = 1 / (spectrum.values + penalty)
        coefficients = spectrum.vectors @ (scale[:, None] * (spectrum.vectors.T @ cross))
        # The sums are of centred targets and predictors.
        mean = self._weights @ target + sums.y[list(train)].sum(axis=0) / self._weight[list(train)].sum()
        return Readout(coefficients, mean - (spectrum.mean + self._mean) @ coefficients)

    def _sums(self, targets: Float[np.ndarray, "context target dimension"]) -> _TargetSums:
        raw = targets.reshape(len(targets), -1)
        y = raw - self._weights @ raw
        weighted = [self._weights[rows, None] * y[rows] for rows in self._members]
        return _TargetSums(
            np.stack([wy.sum(axis=0) for wy in weighted]),
            np.stack([self._x[rows].T @ wy for rows, wy in zip(self._members, weighted, strict=True)]),
            np.stack([(y[rows] * wy).sum(axis=0) for rows, wy in zip(self._members, weighted, strict=True)]),
            self._weights @ raw**2,
        )

    def _spectrum(self, train: Folds) -> _Spectrum:
        if train not in self._spectra:
            folds = list(train)
            weight = self._weight[folds].sum()
            mean = self._sum[folds].sum(axis=0) / weight
            values, vectors = np.linalg.eigh(self._gram[folds].sum(axis=0) - weight * np.outer(mean, mean))
            self._spectra[train] = _Spectrum(mean, np.maximum(values, 0.0), vectors)
        return self._spectra[train]

    def _errors(
        self, train: Folds, test: Folds, sums: _TargetSums, shape: tuple[int, ...]
    ) -> Float[np.ndarray, "penalty target"]:
        """Weighted squared error on the folds `test` of the fit to the folds `train`, under every penalty."""
        spectrum, gram = self._spectrum(train), self._rotated_gram(train, test)
        fitted, _ = self._moments(train, train, sums)
        cross, power = self._moments(train, test, sums)
        fitted, cross = spectrum.vectors.T @ fitted, spectrum.vectors.T @ cross
        errors = np.empty((len(self.penalties), *shape))
        for error, penalty in zip(errors, self.penalties, strict=True):
            slope = fitted / (spectrum.values + penalty)[:, None]
            error[:] = (power + (slope * (gram @ slope - 2 * cross)).sum(axis=0)).reshape(shape)
        return errors.sum(axis=-1)

    def _rotated_gram(self, train: Folds, test: Folds) -> Float[np.ndarray, "column column"]:
        """Second moments of x over the folds `test` around its mean over `train`, in the eigenvectors of `train`."""
        if (train, test) not in self._rotated:
            folds, (mean, _, vectors) = list(test), self._spectrum(train)
            outer = np.outer(mean, self._sum[folds].sum(axis=0) - self._weight[folds].sum() / 2 * mean)
            self._rotated[train, test] = vectors.T @ (self._gram[folds].sum(axis=0) - outer - outer.T) @ vectors
        return self._rotated[train, test]

    def _moments(
        self, train: Folds, test: Folds, sums: _TargetSums
    ) -> tuple[Float[np.ndarray, "column flat"], Float[np.ndarray, " flat"]]:
        """Second moments over the folds `test` around the means over the folds `train`: of x with y, and of y."""
        folds, others = list(test), list(train)
        weight, x, y = self._weight[folds].sum(), self._sum[folds].sum(axis=0), sums.y[folds].sum(axis=0)
        mean_x, mean_y = self._spectrum(train).mean, sums.y[others].sum(axis=0) / self._weight[others].sum()
        cross = sums.xy[folds].sum(axis=0) - np.outer(mean_x, y) - np.outer(x - weight * mean_x, mean_y)
        return cross, sums.yy[folds].sum(axis=0) + mean_y * (weight * mean_y - 2 * y)


def _without(folds: Folds, fold: int) -> Folds:
    return tuple(other for other in folds if other != fold)


def _r2(error: Float[np.ndarray, " target"], sums: _TargetSums, shape: tuple[int, ...]) -> Float[np.ndarray, " target"]:
    variance, power = (total.reshape(shape).sum(axis=-1) for total in (sums.yy.sum(axis=0), sums.power))
    return 1 - np.divide(error, variance, out=np.full_like(error, np.nan), where=variance > CONSTANT * power)
