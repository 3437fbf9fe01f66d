"""How much of a sample's loss, over the posterior, the losses of other samples explain."""

import numpy as np
import xarray as xr
from jaxtyping import Float
from scipy.stats import rankdata

from ontogeny.estimators.covariances import sample_losses
from ontogeny.estimators.quantity import finite_chains

# Shares of the mean variance of the predictors, from nearly least squares to nearly the mean.
_RELATIVE_PENALTIES = np.logspace(-3, 3, 13)


def unexplained(draws: xr.DataTree, observable: str, by: str) -> xr.DataArray:
    """1 - R² of each sample's loss over the posterior, predicted from the losses of other samples, held out by chain.

    score_i = min_α Σ (r_i - r̂_i)² / Σ (r_i - mean)², over the draws of each chain, with prediction and mean from the
    other chains alone. r_i is the rank of the sample's loss among all draws: saturated losses, which vary in bursts,
    count as others do. r̂_i is the ridge regression on the ranks of all losses of `by`, with penalty α. Every sample
    has the penalty that suits it best, so samples of one distribution have scores of one distribution.

    Args:
        draws: from `ontogeny.sample`, two chains or more.
        observable: whose samples are scored.
        by: the observable whose samples explain, others than those scored.

    Returns:
        Over `{observable}_sample`, from 0 (explained) to about 1 (not at all). A loss that does not vary, as of answers
        so confident that they round to certainty, has 0: there is nothing to explain. NaN with fewer than two finite
        chains.

    Raises:
        InvalidArgument: for an observable that the draws do not contain.

    When not to trust it: with chains that have not converged (check with `llc`). The level depends on the number of
        draws and samples, so compare scores of one call alone. Compare it with the same under weight noise at the same
        distance (`weight_noise`), which may single out the same samples.
    """
    dims = [f"{observable}_sample"]
    chains, targets, predictors = finite_chains(draws), sample_losses(draws, observable), sample_losses(draws, by)
    number = draws["posterior"].sizes[dims[0]]
    if len(chains) < 2:
        return xr.DataArray(np.full(number, np.nan), dims=dims)
    ys, xs = (_ranked([read(chain, slice(None)) for chain in chains]) for read in (targets, predictors))
    errors, variance = np.zeros((len(_RELATIVE_PENALTIES), number)), np.zeros(number)
    for fold in range(len(chains)):
        train = [index for index in range(len(chains)) if index != fold]
        x, y = (np.concatenate([each[index] for index in train]) for each in (xs, ys))
        middle = y.mean(0)
        for row, predicted in enumerate(_predictions(x, y - middle, xs[fold])):
            errors[row] += ((ys[fold] - middle - predicted) ** 2).sum(0)
        variance += ((ys[fold] - middle) ** 2).sum(0)
    found = np.divide(errors.min(0), variance, out=np.zeros(number), where=np.ptp(np.concatenate(ys), axis=0) > 0)
    return xr.DataArray(found, dims=dims)


def _ranked(losses: list[Float[np.ndarray, "draw item"]]) -> list[Float[np.ndarray, "draw item"]]:
    """Ranks of each item's losses among the draws of all chains, in (0, 1], equal losses alike."""
    ranks = rankdata(np.concatenate(losses), axis=0) / sum(map(len, losses))
    return np.split(ranks, np.cumsum([len(each) for each in losses])[:-1])


def _predictions(
    x: Float[np.ndarray, "draw predictor"], y: Float[np.ndarray, "draw target"], new: Float[np.ndarray, "new predictor"]
) -> list[Float[np.ndarray, "new target"]]:
    """Ridge predictions of centred targets at new draws, one array for each penalty, from one decomposition."""
    middle, spread = x.mean(0), x.std(0)
    varies = spread > 0
    scaled = [(each[:, varies] - middle[varies]) / spread[varies] for each in (x, new)]
    left, sizes, right = np.linalg.svd(scaled[0], full_matrices=False)
    along, ahead = left.T @ y, scaled[1] @ right.T
    return [(ahead * (sizes / (sizes**2 + share * len(x)))) @ along for share in _RELATIVE_PENALTIES]
