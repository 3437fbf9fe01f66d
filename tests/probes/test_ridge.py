"""Ridge regression from sums over folds against its definition."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from ontogeny.probes.ridge import FoldedRidge


def naive_fit(x, y, weights, train, test, penalty):
    """Predictions for `test` and their weighted squared error, with scikit-learn's ridge."""
    predicted = Ridge(penalty).fit(x[train], y[train], weights[train]).predict(x[test])
    return predicted, float((weights[test] @ (predicted - y[test]) ** 2).sum())


def naive_held_out(x, y, weights, folds, penalties):
    """Nested cross-validation from its definition."""
    predicted, chosen, error = np.empty_like(y), [], 0.0
    for fold in range(folds.max() + 1):
        inner = [
            [
                naive_fit(x, y, weights, ~np.isin(folds, [fold, other]), folds == other, penalty)[1]
                for other in range(folds.max() + 1)
                if other != fold
            ]
            for penalty in penalties
        ]
        chosen.append(int(np.sum(inner, axis=1).argmin()))
        outer = naive_fit(x, y, weights, folds != fold, folds == fold, penalties[chosen[-1]])
        predicted[folds == fold], error = outer[0], error + outer[1]
    center = np.average(y, axis=0, weights=weights)
    return 1 - error / (weights @ (y - center) ** 2).sum(), chosen, predicted


@pytest.mark.parametrize("noise", [0.1, 1.0, 10.0])
def test_sums_over_folds_agree_with_nested_cross_validation_by_scikit_learn(noise):
    generator = np.random.default_rng(1)
    y = generator.standard_normal((60, 3))
    x = 5.0 + y @ generator.standard_normal((3, 10)) + noise * generator.standard_normal((60, 10))
    weights = generator.uniform(0.1, 1, size=60)
    weights /= weights.sum()
    folds = generator.permutation(np.arange(60) % 4)
    ridge = FoldedRidge(x, weights, folds)
    found = ridge.held_out(np.stack([y, y[::-1]], axis=1))
    r2, chosen, predicted = naive_held_out(x, y, weights, folds, ridge.penalties)
    assert found.penalty[:, 0].tolist() == chosen
    assert found.r2[0] == pytest.approx(r2, abs=1e-9)
    assert ridge.predict(y, found.penalty[:, 0]) == pytest.approx(predicted, abs=1e-8)
    assert found.r2[1] == pytest.approx(naive_held_out(x, y[::-1], weights, folds, ridge.penalties)[0], abs=1e-9)
