"""Which samples move together over the posterior: Bayesian influence and the loss kernel."""

import xarray as xr

from ontogeny.estimators.covariances import cross_covariance, sample_losses


def influence(draws: xr.DataTree, first: str, second: str | None = None) -> xr.Dataset:
    """Bayesian influence BIF(zᵢ, zⱼ) = -Cov(ℓᵢ, ℓⱼ): what a little more weight on sample i does to the loss on j.

    nβ/n times it is the derivative of E[ℓⱼ] by the weight of sample i. Near a non-degenerate minimum it tends to the
    damped influence function -∇ℓᵢᵀ (nβH + γ)⁻¹ ∇ℓⱼ.

    Args:
        draws: from `ontogeny.sample`, with the observables.
        first, second: names of observables, whose samples are i and j; one alone is taken with itself.

    Returns:
        Dataset over `{first}_sample` and `{second}_sample` (`other_sample`, if there is one alone): `influence` in
        squared units of the loss, its Monte Carlo error `mcse`, and `correlation` of the losses, with its own sign.

    Raises:
        InvalidArgument: for an observable that the draws do not hold, or fewer than some 80 draws over all chains.

    When not to trust it: chains that have not converged (ask `llc` of the same draws); structure that is there without
    the loss as well: repeat with `LocalPosterior(…, nbeta=0)`, whose draws are pure weight noise. An observable of the
    posterior's own samples does not share the minibatch that the chain was stepped on, so no noise enters twice.

    References:
        Kreer et al., "Bayesian Influence Functions for Hessian-Free Data Attribution", arXiv 2509.26544.
    """
    found = loss_kernel(draws, first, second)
    return found.assign(influence=-found["covariance"]).drop_vars("covariance")


def loss_kernel(draws: xr.DataTree, first: str, second: str | None = None) -> xr.Dataset:
    """The loss kernel Cov(ℓᵢ, ℓⱼ) over the posterior, of the samples of one observable or of two.

    Args:
        draws, first, second: as for `influence`.

    Returns:
        Dataset over `{first}_sample` and `{second}_sample` (`other_sample`): `covariance`, `mcse`, `correlation`.

    Raises:
        InvalidArgument: as `influence`.

    When not to trust it: as `influence`. With as many samples as effective draws the matrix has not full rank.

    References:
        Adam, Furman and Hoogland, "The Loss Kernel", arXiv 2509.26537.
    """
    one = sample_losses(draws, first)
    other = one if second is None or second == first else sample_losses(draws, second)
    found = cross_covariance(draws, one, other)
    dims = (f"{first}_sample", "other_sample" if other is one else f"{second}_sample")
    columns = {"covariance": found.value, "mcse": found.error, "correlation": found.correlation}
    return xr.Dataset({name: (dims, values) for name, values in columns.items()})
