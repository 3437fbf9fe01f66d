"""Bayesian influence and the loss kernel: how the losses of samples covary over the posterior."""

import xarray as xr

from ontogeny.estimators.covariances import cross_covariance, sample_losses


def influence(draws: xr.DataTree, first: str, second: str | None = None) -> xr.Dataset:
    """Bayesian influence BIF(zᵢ, zⱼ) = -Cov(ℓᵢ, ℓⱼ): the effect of a little more weight on sample i on the loss of j.

    Multiplied by nβ/n it is the derivative of E[ℓⱼ] with respect to the weight of sample i. Near a non-degenerate
    minimum it tends to the damped influence function -∇ℓᵢᵀ (nβH + γ)⁻¹ ∇ℓⱼ.

    Args:
        draws: from `ontogeny.sample`, with the observables.
        first, second: names of the observables whose samples are i and j; a single one is paired with itself.

    Returns:
        Dataset over `{first}_sample` and `{second}_sample` (`other_sample` for a single one): `influence` in squared
        units of the loss, its Monte Carlo error `mcse`, and the `correlation` of the losses, whose sign is opposite to
        that of `influence`.

    Raises:
        InvalidArgument: for an observable that the draws do not contain, or fewer than about 80 draws over all chains.

    When not to trust it: with chains that have not converged (check with `llc` of the same draws), or where the same
        structure appears without the loss. To see that, repeat with `LocalPosterior(…, nbeta=0)`, whose draws are pure
        weight noise. An observable of the posterior's own samples is evaluated apart from the minibatch of the step, so
        no noise enters twice.

    References:
        Kreer et al., "Bayesian Influence Functions for Hessian-Free Data Attribution", arXiv 2509.26544.
    """
    found = loss_kernel(draws, first, second)
    return found.assign(influence=-found["covariance"]).drop_vars("covariance")


def loss_kernel(draws: xr.DataTree, first: str, second: str | None = None) -> xr.Dataset:
    """The loss kernel Cov(ℓᵢ, ℓⱼ) over the posterior, for the samples of one or two observables.

    Args:
        draws, first, second: as for `influence`.

    Returns:
        Dataset over `{first}_sample` and `{second}_sample` (`other_sample`): `covariance`, `mcse`, `correlation`.

    Raises:
        InvalidArgument: as `influence`.

    When not to trust it: as `influence`. If there are as many samples as effective draws, the matrix does not have full
        rank.

    References:
        Adam, Furman and Hoogland, "The Loss Kernel", arXiv 2509.26537.
    """
    one = sample_losses(draws, first)
    other = one if second is None or second == first else sample_losses(draws, second)
    found = cross_covariance(draws, one, other)
    dims = (f"{first}_sample", "other_sample" if other is one else f"{second}_sample")
    columns = {"covariance": found.value, "mcse": found.error, "correlation": found.correlation}
    return xr.Dataset({name: (dims, values) for name, values in columns.items()})
