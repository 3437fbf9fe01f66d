"""What one seed's curves and regressions say of each claim: the effect, its p-value, its control."""

from collections.abc import Callable

import numpy as np
import xarray as xr

from ontogeny.studies.belief_states.config import BeliefConfig
from ontogeny.studies.belief_states.geometry import ALL
from ontogeny.studies.claims import Claim, Evidence, Finding, find

_SOURCE = "Shai et al., 2405.15943"
_EXACT = (0.0, 1.0)  # of a number without sampling error: p where the expectation is met, and where it is not

CLAIMS = (
    Claim(
        id="optimal-loss",
        title="The transformer predicts almost as well as the process allows",
        source="Shai et al., 2405.15943; Riechers et al., 2505.18373",
        expectation="mean next-token loss within 0.005 nats of the optimum h(L)",
        unit="nats above the optimum, mean over positions",
    ),
    Claim(
        id="beyond-last-tokens",
        title="Activations tell the belief better than the last two tokens",
        source=_SOURCE,
        expectation="held-out R² of beliefs at some site above that of the last-2-tokens rival",
        unit="R² of the best single site",
    ),
    Claim(
        id="training",
        title="Belief geometry is learned",
        source=_SOURCE,
        expectation="1 - R² of the untrained network at least three times that of the trained one, at some layer",
        unit="ratio of 1 - R² at the best layer",
    ),
    Claim(
        id="shuffles",
        title="Shuffled beliefs cannot be read",
        source=_SOURCE,
        expectation="R² of shuffled beliefs near 0, permutation p below 0.01 at the best site",
        unit="R² of the shuffles, mean",
    ),
    Claim(
        id="distances",
        title="All sites together hold the beliefs, not only the next-token laws",
        source=f"{_SOURCE} (RRXOR)",
        expectation="R² of distances with beliefs above that with next-token laws by at least 0.3, and above the "
        "untrained network's by at least 0.3",
        unit="the smaller of the two differences",
    ),
    Claim(
        id="steering",
        title="The network uses what is read: steering along belief directions changes its output as the belief says",
        source="Shai et al., 2609.17376",
        expectation="moving the last layer towards another context's belief removes most of the divergence from that "
        "context's exact next-token law; a random direction of the same length does not",
        unit="share of the divergence removed",
    ),
)


def evidence(
    trajectory: xr.Dataset, beliefs: xr.Dataset, recurrent: xr.Dataset, config: BeliefConfig
) -> dict[str, Finding]:
    """Claim id -> what this seed says of it."""
    tests: dict[str, Callable[[], Finding]] = {
        "optimal-loss": lambda: _optimal_loss(trajectory, recurrent, config),
        "beyond-last-tokens": lambda: _beyond_last_tokens(beliefs, recurrent, config),
        "training": lambda: _training(beliefs, config),
        "shuffles": lambda: _shuffles(beliefs, config),
        "distances": lambda: _distances(beliefs, config),
        "steering": lambda: _steering(beliefs),
    }
    return find(tests, config.tested)


def best_site(beliefs: xr.Dataset) -> str:
    """The single site from which beliefs are read best."""
    r2 = _belief_r2(beliefs, "activations").drop_sel(site=ALL)
    return str(r2["site"].values[int(r2.values.argmax())])


def _belief_r2(beliefs: xr.Dataset, predictor: str) -> xr.DataArray:
    return beliefs["r2"].sel(predictor=predictor, target="belief")


def _optimal_loss(trajectory: xr.Dataset, recurrent: xr.Dataset, config: BeliefConfig) -> Evidence:
    optimum = trajectory["optimal_loss"]
    excess = float((trajectory["loss_by_length"].isel(step=-1) - optimum).mean())
    control = f"LSTM {float((recurrent['final_loss_by_length'] - optimum).mean()):.4f}; "
    control += f"untrained {float((trajectory['loss_by_length'].isel(step=0) - optimum).mean()):.3f}"
    met = excess <= config.thresholds.excess_loss
    return Evidence(excess, None, _EXACT[not met], met, control)


def _beyond_last_tokens(beliefs: xr.Dataset, recurrent: xr.Dataset, config: BeliefConfig) -> Evidence:
    site, n = best_site(beliefs), config.thresholds.rival_tokens
    here = beliefs.sel(site=site)
    value, rival = float(_belief_r2(here, "activations")), float(_belief_r2(here, f"last_{n}"))
    overtaken = float(here["overtaken_by"])
    by = "none of those tried" if np.isnan(overtaken) else f"the last {overtaken:.0f}"
    other = recurrent.sel(site=best_site(recurrent))
    law = float(_belief_r2(here, "next_token_law"))
    control = f"{site}: last {n} tokens {rival:.3f}, overtaken by {by}; next-token law {law:.3f}"
    control += (
        f"{' (beliefs are linear in it)' if law > 1 - 1e-6 else ''}; LSTM {float(_belief_r2(other, 'activations')):.3f}"
    )
    return Evidence(value, None, float(here["p_value"]), value > rival, control)


def _training(beliefs: xr.Dataset, config: BeliefConfig) -> Evidence:
    layers = [site for site in beliefs["site"].values if str(site).startswith("layer")]
    trained, untrained = (_belief_r2(beliefs, name).sel(site=layers) for name in ("activations", "untrained"))
    ratios = ((1 - untrained) / (1 - trained)).values
    best = int(ratios.argmax())
    control = "; ".join(
        f"{layer}: R² {float(now):.3f}, untrained {float(before):.3f} (ratio {ratio:.1f})"
        for layer, now, before, ratio in zip(layers, trained, untrained, ratios, strict=True)
    )
    met = bool(ratios[best] >= config.thresholds.untrained_ratio)
    return Evidence(float(ratios[best]), None, float(beliefs["p_value"].sel(site=layers[best])), met, control)


def _shuffles(beliefs: xr.Dataset, config: BeliefConfig) -> Evidence:
    here = beliefs.sel(site=best_site(beliefs))
    p_value, mean = float(here["p_value"]), float(here["shuffled_mean"])
    control = f"unshuffled {float(here['unweighted_r2']):.3f} on the same contexts, each counted once"
    return Evidence(mean, None, p_value, p_value <= config.thresholds.level and mean < 0.1, control)


def _distances(beliefs: xr.Dataset, config: BeliefConfig) -> Evidence:
    here = beliefs.sel(site=ALL)
    with_beliefs, with_laws = (float(here["distance_r2"].sel(against=name)) for name in ("beliefs", "next-token laws"))
    untrained = float(here["untrained_distance_r2"].sel(against="beliefs"))
    gap = min(with_beliefs - with_laws, with_beliefs - untrained)
    columns = int(here["columns"].sel(predictor="activations"))
    control = f"with beliefs {with_beliefs:.3f}, with laws {with_laws:.3f}, untrained with beliefs {untrained:.3f}; "
    control += f"{columns} columns for {int(here['num_contexts'])} contexts"
    return Evidence(gap, None, float(here["p_value"]), gap >= config.thresholds.distance_gap, control)


def _steering(beliefs: xr.Dataset) -> Evidence:
    steered, random = float(beliefs.attrs["steered"]), float(beliefs.attrs["steered_at_random"])
    met = steered > 0.5 and random < 0.1
    control = f"a random direction of the same length {random:.2f}, over {beliefs.attrs['steered_pairs']} pairs"
    return Evidence(steered, None, _EXACT[not met], met, control)
