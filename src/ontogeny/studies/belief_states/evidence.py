"""The claims of the belief-state study, and what one seed's curves and regressions say of each."""

import numpy as np
import xarray as xr

from ontogeny.development import nulls
from ontogeny.development.nulls import Null
from ontogeny.studies.belief_states.config import LARGE, BeliefConfig
from ontogeny.studies.belief_states.recipe import ALL
from ontogeny.studies.claims import Claims
from ontogeny.studies.evidence import Evidence
from ontogeny.studies.findings import Findings

Rng = np.random.Generator
SHAI = "Shai et al., 2405.15943"

claims = Claims(source=SHAI, presets=LARGE)


@claims.add(
    "optimal-loss",
    "The transformer predicts almost as well as the process allows",
    source=f"{SHAI}; Riechers et al., 2505.18373",
    expects="mean next-token loss within 0.005 nats of the optimum h(L)",
    unit="nats above the optimum, mean over positions",
)
def _(found: Findings, config: BeliefConfig, rng: Rng) -> Evidence:
    losses, optimum = found["trajectory"]["loss_by_length"], found["optimum"]["optimal_loss"]
    excess = float((losses.isel(step=-1) - optimum).mean())
    control = f"LSTM {float((_regressions(found, 'lstm')['final_loss_by_length'] - optimum).mean()):.4f}; "
    control += f"untrained {float((losses.isel(step=0) - optimum).mean()):.3f}"
    return Evidence(excess, excess <= config.thresholds.excess_loss, None, control)


@claims.add(
    "beyond-last-tokens",
    "Activations tell the belief better than the last two tokens",
    expects="held-out R² of beliefs at some site above that of the last-2-tokens rival",
    unit="R² of the best single site",
)
def _(found: Findings, config: BeliefConfig, rng: Rng) -> Evidence:
    beliefs, recurrent = _regressions(found), _regressions(found, "lstm")
    site, n = best_site(beliefs), config.thresholds.rival_tokens
    here, other = beliefs.sel(site=site), recurrent.sel(site=best_site(recurrent))
    value, rival, law = (float(_r2(here, name)) for name in ("activations", f"last_{n}", "next_token_law"))
    overtaken = float(here["overtaken_by"])
    by = "none of those tried" if np.isnan(overtaken) else f"the last {overtaken:.0f}"
    linear = " (beliefs are linear in it)" if law > 1 - 1e-6 else ""
    control = f"{site}: last {n} tokens {rival:.3f}, overtaken by {by}; next-token law {law:.3f}{linear}; "
    control += f"LSTM {float(_r2(other, 'activations')):.3f}"
    return Evidence(value, value > rival, None, control, _shuffled(beliefs.drop_sel(site=ALL)))


@claims.add(
    "training",
    "Belief geometry is learned",
    expects="1 - R² of the untrained network at least three times that of the trained one, at some layer",
    unit="ratio of 1 - R² at the best layer",
    presets={"quick", *LARGE},
)
def _(found: Findings, config: BeliefConfig, rng: Rng) -> Evidence:
    beliefs = _regressions(found)
    layers = [site for site in beliefs["site"].values if str(site).startswith("layer")]
    trained, untrained = (_r2(beliefs, name).sel(site=layers) for name in ("activations", "untrained"))
    ratios = ((1 - untrained) / (1 - trained)).values
    best = int(ratios.argmax())
    control = "; ".join(
        f"{layer}: R² {float(now):.3f}, untrained {float(before):.3f} (ratio {ratio:.1f})"
        for layer, now, before, ratio in zip(layers, trained, untrained, ratios, strict=True)
    )
    met = bool(ratios[best] >= config.thresholds.untrained_ratio)
    return Evidence(float(ratios[best]), met, None, control, _shuffled(beliefs.sel(site=layers)))


@claims.add(
    "shuffles",
    "Shuffled beliefs cannot be read",
    expects="R² of shuffled beliefs near 0, permutation p below 0.01 at the best site, against the best of each",
    unit="R² of the shuffles, mean",
    presets={"quick", *LARGE},
)
def _(found: Findings, config: BeliefConfig, rng: Rng) -> Evidence:
    beliefs = _regressions(found)
    here, null = beliefs.sel(site=best_site(beliefs)), _shuffled(beliefs.drop_sel(site=ALL))
    mean = float(here["shuffled_mean"])
    control = f"unshuffled {float(here['unweighted_r2']):.3f} on the same contexts, each counted once"
    return Evidence(mean, null.p_value <= config.thresholds.level and mean < 0.1, None, control, null)


@claims.add(
    "distances",
    "All sites together hold the beliefs, not only the next-token laws",
    source=f"{SHAI} (RRXOR)",
    expects="R² of distances with beliefs above that with next-token laws by at least 0.3, and above the untrained "
    "network's by at least 0.3",
    unit="the smaller of the two differences",
)
def _(found: Findings, config: BeliefConfig, rng: Rng) -> Evidence:
    here = _regressions(found).sel(site=ALL)
    beliefs, laws = (float(here["distance_r2"].sel(against=name)) for name in ("beliefs", "next-token laws"))
    untrained = float(here["untrained_distance_r2"].sel(against="beliefs"))
    gap, columns = min(beliefs - laws, beliefs - untrained), int(here["columns"].sel(predictor="activations"))
    control = f"with beliefs {beliefs:.3f}, with laws {laws:.3f}, untrained with beliefs {untrained:.3f}; "
    control += f"{columns} columns for {int(here['num_contexts'])} contexts"
    null = _shuffled(_regressions(found).sel(site=[ALL]))
    return Evidence(gap, gap >= config.thresholds.distance_gap, None, control, null)


@claims.add(
    "steering",
    "The network uses what is read: steering along belief directions changes its output as the belief says",
    source="Shai et al., 2609.17376",
    expects="moving the last layer towards another context's belief removes most of the divergence from that context's "
    "exact next-token law; a random direction of the same length does not",
    unit="share of the divergence removed",
)
def _(found: Findings, config: BeliefConfig, rng: Rng) -> Evidence:
    told = _regressions(found).attrs
    steered, random = float(told["steered"]), float(told["steered_at_random"])
    control = f"a random direction of the same length {random:.2f}, over {told['steered_pairs']} pairs"
    return Evidence(steered, steered > 0.5 and random < 0.1, None, control)


def best_site(beliefs: xr.Dataset) -> str:
    """The single site from which beliefs are read best."""
    r2 = _r2(beliefs, "activations").drop_sel(site=ALL)
    return str(r2["site"].values[int(r2.values.argmax())])


def _regressions(found: Findings, network: str = "transformer") -> xr.Dataset:
    return found[f"beliefs-{network}"]["regressions"]


def _r2(beliefs: xr.Dataset, predictor: str) -> xr.DataArray:
    return beliefs["r2"].sel(predictor=predictor, target="belief")


def _shuffled(sites: xr.Dataset) -> Null:
    """The best of these sites against the best of each shuffle, which is the same at all of them."""
    seen, drawn = float(sites["unweighted_r2"].max()), sites["shuffled_r2"].max("site").values
    return nulls.simulated("beliefs shuffled between contexts", seen, drawn)
