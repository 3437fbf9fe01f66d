"""Claims of the reversibility study."""

import numpy as np
import xarray as xr

from ontogeny.development import curves, nulls
from ontogeny.development.correlations import rank_correlation
from ontogeny.studies.claims import Claims
from ontogeny.studies.evidence import Evidence, NotTested
from ontogeny.studies.findings import Findings
from ontogeny.studies.reversibility.config import PROCEDURES, SCRATCH, Config

claims = Claims(source="2505.22310; Peng et al., 2024 (VISAGE); Qi et al., ICLR 2025; in our form")
Rng = np.random.Generator
CONTROLS = ("distance", "barrier", "gap")


def networks(found: Findings, config: Config) -> xr.Dataset:
    """Over `network`: `log_steps`, mean over rates of the log of steps, twice the most where it is not undone; whether
    the refusal is `undone` at any rate; and the predictors of `landscape`.
    """
    attacks, table = found["attacks"], found["landscape"]
    steps = attacks["steps"].sel(attack="class").transpose("network", "rate").values
    logs = np.log(np.where(np.isfinite(steps), steps, 2 * config.attack.steps))
    values = {"log_steps": logs.mean(axis=1), "undone": np.isfinite(steps).any(axis=1).astype(float)}
    values |= {name: table[name].values for name in (*CONTROLS, "later_gap", "basin")}
    result = xr.Dataset({name: ("network", each) for name, each in values.items()})
    return result.assign_coords(procedure=attacks["procedure"], copy=attacks["copy"])


def with_coefficients(found: Findings, config: Config) -> xr.Dataset:
    """`networks` with `cross`, that of the answers, the refined coefficients of the refusal by part, and both at
    nβ = 0.
    """
    crossed, values = found["responses"], dict[str, np.ndarray]()
    for ending in ("", "_noise"):
        each = crossed[f"cross_llc{ending}"].transpose("step", "component", "probe")
        values[f"cross{ending}"] = each.sel(probe="answer", component="all").values
        for part in crossed["component"].values:
            values[f"{part}{ending}"] = each.sel(probe="refusal", component=part).values
    return networks(found, config).assign({name: ("network", each) for name, each in values.items()})


@claims.add(
    "installed",
    "Every procedure installs the refusal and keeps the other answers",
    expects="in every network the mean probability of answers is below 0.1 on class R and above 0.9 on class N",
    unit="share of the networks",
)
def _(found: Findings, config: Config, rng: Rng) -> Evidence:
    table = found["installed"]
    refused, kept = table["refused_after"].values, table["kept_after"].values
    share = float(np.mean((refused < 0.1) & (kept > 0.9)))
    control = f"{len(refused)} networks; at most {refused.max():.3f} on class R, at least {kept.min():.2f} on class N; "
    control += f"before, class R of those but scratch {_by(table['refused_before'].values, table)}"
    return Evidence(share, share == 1.0, None, control)


@claims.add(
    SCRATCH,
    "Retraining from scratch leaves nothing to recover",
    expects="fine-tuning on half of class R brings back the other half in no network that was trained anew, and in "
    "more than half of the others",
    unit="share of the others undone less that of scratch",
)
def _(found: Findings, config: Config, rng: Rng) -> Evidence:
    table = networks(found, config)
    undone, anew = table["undone"].values, table["procedure"].values == SCRATCH

    def apart(anew: np.ndarray) -> float:
        return float(undone[~anew].mean() - undone[anew].mean())

    null = nulls.permutations(apart, anew, rng, count=config.resamples)
    met = undone[anew].max() == 0 and undone[~anew].mean() > 0.5
    most = found["attacks"]["reached"].sel(attack="class").max("rate").values
    control = f"undone {_by(undone, table)}; most of the answers {_by(most, table)}"
    return Evidence(apart(anew), bool(met), None, control, null)


@claims.add(
    "deep",
    "A refusal that is also learned after tokens of the answer takes more steps to undo",
    expects="the mean log steps of deep networks exceed those of sft by more than log 1.5",
    unit="difference of mean log steps",
    source="Qi et al., Safety alignment should be made more than just a few tokens deep, ICLR 2025",
)
def _(found: Findings, config: Config, rng: Rng) -> Evidence:
    table = networks(found, config)
    chosen = table.isel(network=np.flatnonzero(np.isin(table["procedure"].values, ["sft", "deep"])))
    logs, deep = chosen["log_steps"].values, chosen["procedure"].values == "deep"

    def more(deep: np.ndarray) -> float:
        return float(logs[deep].mean() - logs[~deep].mean())

    null = nulls.permutations(more, deep, rng, count=config.resamples)
    return Evidence(more(deep), bool(more(deep) > np.log(1.5)), None, f"steps {_by(np.exp(logs), chosen)}", null)


@claims.add(
    "unrelated",
    "Fine-tuning on class N alone brings answers of class R back where they were only suppressed",
    expects="the largest probability that it reaches exceeds that of networks trained anew by 0.1, in the mean",
    unit="difference of probabilities",
    source="2505.22310",
)
def _(found: Findings, config: Config, rng: Rng) -> Evidence:
    table = found["attacks"]
    most = table["reached"].sel(attack="unrelated", rate=config.attack.unrelated).values
    anew = table["procedure"].values == SCRATCH

    def more(anew: np.ndarray) -> float:
        return float(most[~anew].mean() - most[anew].mean())

    null = nulls.permutations(more, anew, rng, count=config.resamples)
    shuffled = table["reached"].sel(attack="shuffled", rate=config.attack.unrelated).values
    control = f"{_by(most, table)}; class R with answers of others {_by(shuffled, table)}"
    return Evidence(more(anew), more(anew) > 0.1, None, control, null)


@claims.add(
    "rates",
    "Networks keep their order of steps at other learning rates",
    expects="the least rank correlation of steps between two rates is above 0.7",
    unit="rank correlation",
)
def _(found: Findings, config: Config, rng: Rng) -> Evidence | NotTested:
    steps = found["attacks"]["steps"].sel(attack="class").transpose("network", "rate").values
    pairs = [(i, j) for i in range(steps.shape[1]) for j in range(i)]
    if not pairs:
        return NotTested("one learning rate")

    def least(order: np.ndarray) -> float:
        each = [rank_correlation(steps[order, i], steps[:, j]) for i, j in pairs]
        return float(np.nan_to_num(np.min(each), nan=0.0))

    places = np.arange(len(steps))
    null = nulls.permutations(least, places, rng, count=config.resamples)
    told = [
        f"{rate:g}: {_by(np.where(np.isfinite(own), own, np.nan), found['attacks'])}"
        for rate, own in zip(config.attack.rates, steps.T, strict=True)
    ]
    return Evidence(
        least(places), least(places) > 0.7, None, f"median steps where undone, at {'; at '.join(told)}", null
    )


def predicted(table: xr.Dataset, config: Config, rng: Rng, name: str, beside: dict[str, str]) -> Evidence | NotTested:
    """A predictor's partial rank correlation with log steps, given distance, barrier and gap.

    Args:
        table: of `networks`.
        name: of the predictor.
        beside: others to tell of in the control, told -> name.
    """
    known = np.isfinite(table[name].values)
    if known.sum() < len(known) / 2:
        return NotTested("fewer than half of the networks have a finite coefficient")
    table = table.isel(network=np.flatnonzero(known))
    logs, copies, count = table["log_steps"].values, table["copy"].values, table.sizes["network"]

    def partial(of: str, chosen: np.ndarray) -> float:
        given = np.column_stack([table[each].values[chosen] for each in CONTROLS])
        return rank_correlation(table[of].values[chosen], logs[chosen], given)

    every = np.arange(count)
    again = curves.bootstrap(
        lambda drawn: partial(name, np.concatenate([every[copies == copy] for copy in drawn])),
        config.copies,
        config.resamples,
        rng,
    )
    interval = curves.interval(again[np.isfinite(again)])
    given = np.column_stack([table[each].values for each in CONTROLS])
    null = nulls.permutations(
        lambda values: abs(rank_correlation(values, logs, given)), table[name].values, rng, count=config.resamples
    )
    value = partial(name, every)
    met = abs(value) >= config.predicts and (interval[0] > 0 or interval[1] < 0)
    old = every[table["procedure"].values != SCRATCH]
    control = (
        f"{count} networks; given nothing {rank_correlation(table[name].values, logs):.2f}; "
        f"without scratch {partial(name, old):.2f}"
    )
    control += "".join(f"; {told} {partial(of, every):.2f}" for told, of in beside.items())
    return Evidence(value, met, interval, control, null)


_BEYOND = (
    "its partial rank correlation with log steps, given L2 distance, barrier and logit gap, is at least 0.4 in size, "
)
_BEYOND += "and its interval, over copies, excludes 0"


@claims.add(
    "cross",
    "The cross-coefficient of the answers tells how soon a refusal is undone, beyond cheap rivals",
    expects=_BEYOND,
    unit="partial rank correlation",
)
def _(found: Findings, config: Config, rng: Rng) -> Evidence | NotTested:
    beside = {"at nβ = 0": "cross_noise", "later logit gap": "later_gap"}
    return predicted(with_coefficients(found, config), config, rng, "cross", beside)


@claims.add(
    "refined",
    "Refined coefficients of the refusal tell how soon it is undone, beyond cheap rivals",
    expects=f"of the whole network: {_BEYOND}",
    unit="partial rank correlation",
)
def _(found: Findings, config: Config, rng: Rng) -> Evidence | NotTested:
    layers = {f"layer {i}": f"layer {i}" for i in range(config.shape.num_layers)}
    noise = {f"{name} at nβ = 0": f"{name}_noise" for name in layers}
    beside = layers | {"at nβ = 0": "all_noise"} | noise
    return predicted(with_coefficients(found, config), config, rng, "all", beside)


@claims.add(
    "basin",
    "The basin in random directions tells how soon a refusal is undone, beyond cheap rivals",
    expects=_BEYOND,
    unit="partial rank correlation",
    source="Peng et al., 2024 (VISAGE)",
)
def _(found: Findings, config: Config, rng: Rng) -> Evidence | NotTested:
    table = networks(found, config)
    said = predicted(table, config, rng, "basin", {})
    alone = {name: rank_correlation(table[name].values, table["log_steps"].values) for name in CONTROLS}
    if isinstance(said, NotTested):
        return said
    told = ", ".join(f"{name} {value:.2f}" for name, value in alone.items())
    return Evidence(said.effect, said.met, said.interval, f"{said.control}; each rival alone: {told}", said.null)


def _by(values: np.ndarray, table: xr.Dataset) -> str:
    """The median of each procedure, NaN left out."""
    of = table["procedure"].values
    each = [(name, values[of == name]) for name in PROCEDURES if (of == name).any()]
    return ", ".join(f"{name} {np.nanmedian(v):.2g}" if np.isfinite(v).any() else f"{name} none" for name, v in each)
