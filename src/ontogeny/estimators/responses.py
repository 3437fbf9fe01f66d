"""Susceptibilities: the response of a component to a change of the data, for datasets and for single samples."""

import numpy as np
import xarray as xr

from ontogeny.core.draws import settings_of
from ontogeny.core.errors import InvalidArgument
from ontogeny.estimators.covariances import cross_covariance, sample_losses
from ontogeny.estimators.quantity import Quantity, Trace, finite_chains, loss_differences, mean_of


def susceptibility(
    draws: xr.DataTree, dataset: str, base: str | None = None, *, full: xr.DataTree | None = None
) -> Quantity:
    """χ = -Cov(φ, ΔL) with φ = L(w) - L(w*) and ΔL = L' - L: the response of φ to data moving from q towards q'.

    With q_h = (1-h) q + h q' it is (1/nβ) d/dh E[φ] at h = 0. The covariance is over the posterior restricted to the
    component. Given draws of the unrestricted posterior as `full`, it is the published susceptibility of φ δ(u - u*):
    -(E_C[φ ΔL] - E_C[φ] E_full[ΔL]), up to a factor specific to the component.

    Args:
        draws: from the posterior restricted to a component, with the observables.
        dataset: the observable with samples of q'.
        base: the observable with samples of q; optional if gradients use all samples.
        full: draws of the unrestricted posterior with the same observables.

    Returns:
        χ in squared units of the loss, with its Monte Carlo error. It is negative if more of q' lowers the component's
        loss on q.

    Raises:
        InvalidArgument: for an observable that the draws do not contain, or for a missing `base` if minibatches were
            recorded: their noise would enter the product.

    When not to trust it: with chains that have not converged. Values of different components differ by an unknown
        factor: standardise over datasets before comparing components. Repeat it at nβ = 0: what remains is geometry of
        the weights, not of the loss.

    References:
        Baker et al., "Structural Inference: Interpreting Small Language Models with Susceptibilities", 2504.18274.
    """
    loss, change = _traces(draws, dataset, base)
    if full is None:
        about, error = change.mean(), 0.0
        correction = loss.size / max(loss.size - 1, 1)
    else:
        unrestricted = mean_of("ΔL", _traces(full, dataset, base)[1], full)
        about, error = unrestricted.value, abs(float(loss.mean())) * unrestricted.error
        correction = 1.0
    inner = loss - loss.mean() if full is None else loss
    return mean_of(f"χ({dataset})", -inner * (change - about) * correction, draws, error)


def susceptibilities(draws: xr.DataTree, dataset: str, base: str | None = None) -> xr.Dataset:
    """χᵢ = -Cov(φ, ℓᵢ - L) of each sample i of an observable; their mean is `susceptibility`.

    Args:
        draws, dataset, base: as for `susceptibility`.

    Returns:
        Dataset over `{dataset}_sample`: `susceptibility` and its Monte Carlo error `mcse`.

    Raises:
        InvalidArgument: as `susceptibility`, and for fewer than about 80 draws over all chains.

    When not to trust it: as `susceptibility`. Negative means expression and positive suppression only after each
        component's column has been standardised (2504.18274, section 4).
    """
    first, second = _base(draws, base)
    losses, row = sample_losses(draws, dataset), {chain: row for row, chain in enumerate(finite_chains(draws))}
    found = cross_covariance(
        draws,
        lambda chain, part: first[row[chain], part, None],
        lambda chain, part: losses(chain, part) - second[row[chain], part, None],
    )
    dim = f"{dataset}_sample"
    return xr.Dataset({"susceptibility": (dim, -found.value[0]), "mcse": (dim, found.error[0])})


def _traces(draws: xr.DataTree, dataset: str, base: str | None) -> tuple[Trace, Trace]:
    """φ and ΔL at each draw, without shared minibatch noise."""
    first, second = _base(draws, base)
    read = sample_losses(draws, dataset)
    other = np.array([read(chain, slice(None)).mean(1) for chain in finite_chains(draws)]).reshape(first.shape)
    return first, other - second


def _base(draws: xr.DataTree, base: str | None) -> tuple[Trace, Trace]:
    first, second = loss_differences(draws, base)
    if second is None:
        settings = settings_of(draws)
        raise InvalidArgument(
            "base",
            expected="an observable with samples of the posterior's own data",
            found=f"none, with minibatches of {settings.batch_size} of {settings.num_samples} samples",
            instead='sample(…, observables={"base": data, …}) and base="base"',
        )
    return first, second
