"""Anomalies: inputs whose loss the trusted data do not explain over the posterior, beside nulls and cheap rivals."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import nn

from ontogeny.core import arguments
from ontogeny.core.errors import InvalidArgument
from ontogeny.core.losses import LossFn
from ontogeny.core.protocols import Progress
from ontogeny.core.samples import Samples
from ontogeny.core.seeds import derive, generator
from ontogeny.development.nulls import simulated
from ontogeny.estimators import llc, unexplained
from ontogeny.estimators.quantity import finite
from ontogeny.measurement.given import names_of
from ontogeny.measurement.rivals import gradient_norms, mahalanobis, margins
from ontogeny.measurement.suspects import check_apart, check_one_form
from ontogeny.sampling import Calibrated, LocalPosterior, PosteriorConfig, Sampler, as_sampler, sample, weight_noise

_FEWEST = 20  # trusted samples: with ten held out the least p-value is 1/11


def anomaly(
    model: nn.Module,
    trusted: Any,
    suspects: Any,
    loss_fn: LossFn,
    *,
    components: Sequence[str] = (),
    posterior: PosteriorConfig | None = None,
    sampler: Sampler | None = None,
    seed: int = 0,
    progress: Progress | bool = False,
) -> xr.Dataset:
    """How little the trusted data explain the network's loss on each suspect input.

    The trusted data are split at random into two halves. The posterior of the first half is sampled, and the losses of
    all samples are recorded along its chains. A sample's score is the share of its loss's variance over the posterior
    that the losses of the first half do not explain (`ontogeny.estimators.unexplained`): a mechanism that no trusted
    sample exercises is not explained. The second half is scored in the same way, and gives the p-values

        p = (1 + number of held-out trusted samples with a score at least as high) / (1 + number of them)

    Args:
        model: any module; its present weights are w*.
        trusted: samples that are known to be clean, at least 20, best some that the network was not trained on.
        suspects: samples of the same form.
        loss_fn: per-sample losses. To ask of behaviour without labels, take the loss on the model's own answers.
        components: patterns for `ontogeny.restrict`, such as "L0H3": the scores of these parts alone, on request.
        posterior: nβ, γ and the other settings of the posterior.
        sampler: default `Calibrated()`.
        seed: root of the seed tree, of the split too.
        progress: a `Progress`, or True for a bar in the terminal.

    Returns:
        Dataset over `suspect`: `score` and `p_value`; `score_noise` and `p_value_noise`, the same under weight noise at
        the same distance (nβ = 0, `ontogeny.weight_noise`); and rivals that need no sampling: `loss` at w*, `margin`
        between the two largest outputs, `mahalanobis` distance of the last hidden layer from the trusted ones, and
        `gradient_norm`, |∇ℓ(w*)|. A rival that does not apply, as the margin of one output, is NaN, as are scores
        where chains diverged. `outcome` is the verdict on the draws. Over `held_out`: `held_out_score` and
        `held_out_score_noise`. With `components`, over `component`: `component_outcome`; and over `component` and
        `suspect`: `component_score`, `component_p_value`, `component_score_noise`.

    Raises:
        InvalidArgument: for suspects of another form than the trusted samples, or that are trusted samples, and for
            too few trusted samples.

    When not to trust it: where `outcome` is not converged. A low p-value says rare, not malicious: a harmless rule that
        the trusted data lack looks alike. If `score_noise` separates the same inputs, sampling has shown no more than
        random weights do, and if a rival does, it is the cheaper test. p-values hold for single suspects: correct for
        their number, and for the number of components. They are valid if clean suspects and trusted samples are drawn
        alike, also in whether the network was trained on them.

    References:
        Keenan, Leckie and Erfani, arXiv 2604.18970, for anomalies by attribution through sampled weights.
    """
    seed = arguments.whole_number("seed", seed, None)
    known, asked = Samples.of(trusted, name="trusted"), Samples.of(suspects, name="suspects")
    if len(known) < _FEWEST:
        expected, instead = f"at least {_FEWEST} samples, half of which are held out", f"{_FEWEST} or more samples"
        raise InvalidArgument("trusted", expected=expected, found=str(len(known)), instead=instead)
    check_one_form(known, asked)
    check_apart(known, asked)
    order = torch.randperm(len(known), generator=generator(seed, "held out"))
    halves = [known.subset(part, "trusted") for part in order.chunk(2)]
    observables = dict(zip(("reference", "held_out", "suspect"), (*halves, asked), strict=True))
    options = (posterior or PosteriorConfig()).options()
    local = LocalPosterior(model, halves[0], loss_fn, **options)
    chosen = Calibrated() if sampler is None else as_sampler(sampler)
    found = _scores(local, observables, chosen, seed, progress)
    alone = LocalPosterior(
        model, asked, loss_fn, **options | {"nbeta": 1.0, "localization": 0.0, "batch_size": 1}, probed=True
    )
    found |= {
        "loss": ("suspect", _losses(alone)),
        "margin": ("suspect", margins(local, asked)),
        "mahalanobis": ("suspect", mahalanobis(local, asked, halves[0])),
        "gradient_norm": ("suspect", gradient_norms(alone)),
    }
    attrs = {"nbeta": local.nbeta, "localization": local.localization, "num_reference": len(halves[0]), "seed": seed}
    whole = xr.Dataset(found, attrs=attrs)
    names = names_of(components)
    if not names:
        return whole
    parts = [_scores(local.restricted(name), observables, chosen, derive(seed, name), progress) for name in names]
    kept = ("score", "p_value", "score_noise", "outcome")
    each = [xr.Dataset({f"component_{name}": part[name] for name in kept}) for part in parts]
    return whole.merge(xr.concat(each, "component").assign_coords(component=names))


def _scores(
    posterior: LocalPosterior, observables: dict[str, Samples], sampler: Sampler, seed: int, progress: Progress | bool
) -> dict[str, Any]:
    """Scores of suspects and held-out samples with p-values, from the posterior and from weight noise."""
    draws = sample(posterior, sampler, observables=observables, seed=seed, progress=progress)
    distances, noise = finite(draws, "sample_stats/distance"), None
    if distances.size and np.isfinite(distances).all():
        noise = weight_noise(posterior, draws, observables=observables, seed=derive(seed, "noise"), progress=progress)
    found: dict[str, Any] = {"outcome": np.array(llc(draws).outcome.value, dtype="U16")}
    for suffix, each in {"": draws, "_noise": noise}.items():
        names = ("held_out", "suspect")
        if each is None:
            held, score = (np.full(len(observables[name]), np.nan) for name in names)
        else:
            held, score = (unexplained(each, name, by="reference").values for name in names)
        found[f"score{suffix}"] = "suspect", score
        found[f"p_value{suffix}"] = "suspect", _p_values(score, held)
        found[f"held_out_score{suffix}"] = "held_out", held
    return found


def _p_values(scores: np.ndarray, held: np.ndarray) -> np.ndarray:
    """Of each score among those of held-out samples; NaN where chains diverged and there are no scores."""
    if not np.isfinite(held).all():
        return np.full(len(scores), np.nan)
    return np.array([simulated("held-out trusted samples", score, held).p_value for score in scores])


def _losses(alone: LocalPosterior) -> np.ndarray:
    return alone.center_losses(torch.arange(alone.samples.stored)).double().numpy()
