"""The claims of the language study about circuits, and what one seed says of each."""

import numpy as np
import xarray as xr

from ontogeny.circuits import head_types
from ontogeny.development import curves, nulls
from ontogeny.development.curves import half_time
from ontogeny.studies.evidence import Evidence, NotTested
from ontogeny.studies.findings import Findings
from ontogeny.studies.language.config import LARGE, LanguageConfig
from ontogeny.studies.language.evidence import INDUCTION, OLSSON, Rng, best_head, claims, steepest_of


@claims.add(
    "smeared-keys",
    "One layer learns induction if keys are mixed with those before, and not otherwise",
    source=OLSSON,
    expects="prefix matching of the best head is above 0.05 with smeared keys, and below without",
    unit="prefix matching of the best head, with smeared keys less without",
)
def _(found: Findings, config: LanguageConfig, rng: Rng) -> Evidence | NotTested:
    if not config.smeared_training:
        return NotTested("no network with smeared keys was trained")
    scores = [found[name]["head_score_by_sequence"].sel(score=INDUCTION).isel(step=-1) for name in _SINGLE_LAYERS]
    # the head is chosen on one half of the probes and read on the other
    smeared, plain = (
        heads[heads[:, ::2].mean(axis=1).argmax(), 1::2]
        for heads in (each.stack(place=("layer", "head")).transpose("place", "repeat").values for each in scores)
    )
    limit, count = config.thresholds.control_prefix, config.thresholds.bootstrap
    with_smear, without = (
        curves.bootstrap(lambda sample, each=each: float(each[sample].mean()), len(each), count, rng)
        for each in (smeared, plain)
    )
    met = plain.mean() < limit < smeared.mean()
    null = nulls.either(nulls.bootstrapped(with_smear, limit), nulls.bootstrapped(-without, -limit))
    interval = curves.interval(with_smear - without)
    said = f"{smeared.mean():.2f} with smeared keys, {plain.mean():.2f} without"
    return Evidence(float(smeared.mean() - plain.mean()), bool(met), interval, said, null)


_SINGLE_LAYERS = ("smeared-curves", "control-curves")


@claims.add(
    "change-together",
    "Prefix matching, copying and in-context learning change together",
    source=OLSSON,
    expects="the steepest rises of prefix matching and of copying by the same head, and the steepest fall of the "
    "in-context score, lie within 0.4 decades of step",
    unit="decades of step between the first and the last of them",
)
def _(found: Findings, config: LanguageConfig, rng: Rng) -> Evidence | NotTested:
    if not config.circuit_checkpoints:
        return NotTested("circuits were not read")
    trajectory, circuits, thresholds = found["trajectory"], found["circuits"], config.thresholds
    steps, read = trajectory["step"].values, circuits["step"].values
    copying = circuits["copying_eigenvalues"].sel(head=_best(trajectory, INDUCTION)).values
    prefix, icl = best_head(trajectory, INDUCTION).mean(axis=1), -trajectory["icl_score"].values
    changes = {
        "prefix matching": steepest_of(steps, prefix, thresholds),
        "copying": steepest_of(read, copying, thresholds),
        "the in-context score": steepest_of(steps, icl, thresholds),
    }
    places = np.array(list(changes.values()))
    apart = float(np.ptp(np.log10(places)))
    said = ", ".join(f"{name} at step {round(step)}" for name, step in changes.items())
    null = nulls.all_within(places, thresholds.first_step, steps[-1])
    return Evidence(apart, apart <= thresholds.together, None, said, null)


@claims.add(
    "composition-with-induction",
    "The induction head reads the previous-token head through its keys by the time that it forms",
    source=OLSSON,
    expects="K-composition of the best previous-token head with the best prefix-matching head rises more than of "
    "almost any other pair, and is halfway no later than 0.2 decades after prefix matching",
    unit="decades of step from half of the composition to half of prefix matching",
)
def _(found: Findings, config: LanguageConfig, rng: Rng) -> Evidence | NotTested:
    if not config.circuit_checkpoints:
        return NotTested("circuits were not read")
    trajectory, circuits = found["trajectory"], found["circuits"]
    keys = circuits["composition"].sel(input="K").transpose("step", "sender", "receiver")
    sender, receiver = _best(trajectory, "previous_token"), _best(trajectory, INDUCTION)
    curve = keys.sel(sender=sender, receiver=receiver).values
    if np.isnan(curve).any():
        return NotTested(f"{sender}, the best previous-token head, is in no layer before that of {receiver}")
    rises = (keys.isel(step=-1) - keys.isel(step=0)).values
    rises = rises[np.isfinite(rises)]
    prefix = half_time(trajectory["step"].values, best_head(trajectory, INDUCTION).mean(axis=1))
    half = half_time(circuits["step"].values, curve - curve[0])
    rise, lead = float(curve[-1] - curve[0]), float(np.log10(prefix / half))
    # among all pairs itself, so the p-value is at least one over their number
    null = nulls.Null("another pair of heads", float((rises >= rise).mean()), float(np.median(rises)))
    said = f"from {sender} to {receiver}: {curve[0]:.2f} to {curve[-1]:.2f} times random, other pairs rise by "
    said += f"{np.median(rises):.2f}"
    return Evidence(lead, rise > 0 and lead >= -config.thresholds.coincidence, None, said, null)


@claims.add(
    "induction-ablated",
    "Without its induction heads the network loses on repeats far more than without others",
    source=OLSSON,
    expects="zeroing an induction head raises the loss on the second half of repeats at least 5 times more than "
    "zeroing another head of the same layers",
    unit="ratio of the mean rises",
    presets=LARGE,
)
def _(found: Findings, config: LanguageConfig, rng: Rng) -> Evidence | NotTested:
    if not config.circuit_checkpoints:
        return NotTested("circuits were not read")
    types = head_types(found["trajectory"]["head_score"].isel(step=-1), config.thresholds.head_scores)
    rises = found["circuits"]["repeat_rise"].isel(step=-1)
    induction = np.array([types[str(name)] == INDUCTION for name in rises["head"].values])
    layers = np.array([str(name).partition("H")[0] for name in rises["head"].values])
    inside = np.isin(layers, layers[induction])
    if not induction.any() or induction[inside].all():
        return NotTested("induction heads and others of their layers are not both there")
    values, chosen = rises.values[inside], induction[inside]

    def difference(labels: np.ndarray) -> float:
        return float(values[labels].mean() - values[~labels].mean())

    mine, others = float(values[chosen].mean()), float(values[~chosen].mean())
    ratio = mine / others if others > 0 else np.inf
    null = nulls.permutations(difference, chosen, rng, within=layers[inside])
    said = f"{int(chosen.sum())} induction heads raise it by {mine:.3f} nats each, {int((~chosen).sum())} others by "
    said += f"{others:.3f}"
    return Evidence(ratio, mine > 0 and ratio >= config.thresholds.ablation_ratio, None, said, null)


def _best(trajectory: xr.Dataset, score: str) -> str:
    """Name of the head whose score is largest at the end."""
    best = trajectory["head_score"].sel(score=score).isel(step=-1).argmax(("layer", "head"))
    return f"L{int(best['layer'])}H{int(best['head'])}"
