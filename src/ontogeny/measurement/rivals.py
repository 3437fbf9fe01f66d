"""Cheap scores of single inputs that need no sampling: margin, Mahalanobis distance and gradient norm at w*."""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float
from sklearn.covariance import LedoitWolf
from torch import Tensor, nn

from ontogeny.core.samples import Samples
from ontogeny.models import Intervention, Site
from ontogeny.models.hooks import replacing
from ontogeny.sampling import LocalPosterior

Scores = Float[np.ndarray, " sample"]

_GRADIENTS = 2**22  # numbers in the gradients that are held at a time


def margins(posterior: LocalPosterior, samples: Samples) -> Scores:
    """The largest output minus the second largest, averaged over positions; NaN where there is one output or none."""
    found = _seen(posterior, samples, [Site("")], _margin)
    return np.full(len(samples), np.nan) if found is None else found


def mahalanobis(posterior: LocalPosterior, samples: Samples, reference: Samples) -> Scores:
    """Distance of the last hidden layer from that of the reference samples, in their Ledoit-Wolf covariance.

    The last hidden layer is what the last module with a weight matrix is called with, averaged over positions. NaN for
    a network without such a module, or with fewer than two reference samples.
    """
    known, found = (last_hidden(posterior, each) for each in (reference, samples))
    if known is None or found is None or len(known) < 2:
        return np.full(len(samples), np.nan)
    return np.sqrt(np.maximum(LedoitWolf().fit(known).mahalanobis(found), 0))


def last_hidden(
    posterior: LocalPosterior, samples: Samples, positions: int | None = None
) -> Float[np.ndarray, "sample width"] | None:
    """What the last module with a weight matrix is called with, averaged over positions, or over the first of them.

    None for a network without such a module.
    """
    sites = [Site(name, "input") for name, module in posterior.one_by_one.model.named_modules() if _has_matrix(module)]
    return _seen(posterior, samples, sites, lambda activations: activations[:, :positions].mean(1))


def gradient_norms(alone: LocalPosterior) -> Scores:
    """|∇ℓᵢ(w*)| of each sample of a posterior at nβ = 1, over its free weights."""
    rows = max(1, min(alone.pass_size, _GRADIENTS // max(alone.num_parameters, 1)))
    engine, norms = alone.batched() if alone.vectorizes() else None, []
    for block in torch.arange(alone.samples.stored).split(rows):
        positions = alone.center.expand(len(block), -1).contiguous()
        out = torch.empty_like(positions)
        alone.gradients(positions, block[:, None], out, engine, paired=False)
        norms.append(alone.reductions.norm(out))
    return torch.cat(norms).cpu().double().numpy()


def _has_matrix(module: nn.Module) -> bool:
    return any(weight.ndim > 1 for weight in module.parameters(recurse=False))


def _margin(outputs: Float[Tensor, "sample position output"]) -> Float[Tensor, " sample"]:
    best = (
        outputs.topk(2, dim=-1).values if outputs.shape[-1] > 1 else outputs.new_full((*outputs.shape[:2], 2), np.nan)
    )
    return (best[..., 0] - best[..., 1]).mean(-1)


def _seen(
    posterior: LocalPosterior, samples: Samples, sites: list[Site], reduced: Callable[[Tensor], Tensor]
) -> Float[np.ndarray, "sample ..."] | None:
    """The last activation of each pass at any of the sites, reduced; None if there is none with a row per sample."""
    parts = []
    for block in torch.arange(samples.stored).split(posterior.pass_size):
        last: list[Tensor] = []
        with replacing(posterior.one_by_one.model, [(site, _keep(last)) for site in sites], optional=True):
            posterior.losses(posterior.center, samples, block)
        if not last or last[0].ndim < 1 or last[0].shape[0] % len(block):
            return None
        width = last[0].shape[-1] if last[0].ndim > 1 else 1
        parts.append(reduced(last[0].reshape(len(block), -1, width).float()).cpu())
    return torch.cat(parts).double().numpy()


def _keep(last: list[Tensor]) -> Intervention:
    def capture(activation: Tensor) -> None:
        last[:] = [activation.detach()]

    return capture
