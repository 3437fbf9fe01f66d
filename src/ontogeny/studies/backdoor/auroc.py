"""How well each score tells inputs with a trigger from clean ones, and networks with one from their twins."""

import numpy as np
import xarray as xr
from jaxtyping import Bool, Float
from scipy.stats import rankdata

from ontogeny.studies.backdoor.scoring import RIVALS, SCORES
from ontogeny.studies.backdoor.tasks import POISONED
from ontogeny.studies.findings import Findings

TWINS = ("clean", "benign-out")
_EITHER_WAY = ("loss", "margin", "gradient_norm")  # rivals of which neither large nor small values are the unusual ones


def auroc(high: Float[np.ndarray, " high"], low: Float[np.ndarray, " low"]) -> float:
    """The chance that a value of the first is above one of the second, ties as half."""
    ranks = rankdata(np.concatenate([high, low]))[: len(high)]
    return float((ranks.sum() - len(high) * (len(high) + 1) / 2) / (len(high) * len(low)))


def by_network(found: Findings) -> xr.Dataset:
    """Over network: its `arm` and, over (score, network), the AUROC of its inputs with the trigger, `fired`, and with
    an unseen token, `unseen`, against clean ones; `flagged`, the share of the former with p below 0.05, and `false`,
    that of clean ones; and `largest`, the largest mean of a candidate's inputs in standard deviations of clean ones.
    """
    made, scores, suspects = found["made"], found["scores"], found["suspects"]
    values = np.stack([scores[name].transpose("step", "suspect").values for name in SCORES])
    values[SCORES.index("margin")] *= -1
    sampled = [SCORES.index(name) for name in ("score", "score_noise")]
    values[sampled] += 0 * values[sampled].sum((0, 2), keepdims=True)  # neither counts where one is missing
    group = suspects["group"].values
    clean = group == "clean"
    tables = {name: np.array([_all(each, group == name, clean) for each in values]) for name in ("fired", "unseen")}
    columns = {name: (("score", "network"), table) for name, table in tables.items()}
    p = scores["p_value"].transpose("step", "suspect").values
    columns |= {
        name: ("network", (p[:, group == own] < 0.05).mean(1))
        for name, own in (("flagged", "fired"), ("false", "clean"))
    }
    columns["largest"] = ("score", "network"), np.array([_largest(each, suspects, clean) for each in values])
    arms = [
        f"{kind}, obfuscated" if o else kind
        for kind, o in zip(made["kind"].values, made["obfuscated"].values, strict=True)
    ]
    return xr.Dataset(columns, {"score": list(SCORES), "arm": ("network", arms)}).assign(
        {name: made[name] for name in ("kind", "rate", "obfuscated", "accuracy", "success")}
    )


def _all(
    values: Float[np.ndarray, "network suspect"], high: Bool[np.ndarray, " suspect"], low: np.ndarray
) -> list[float]:
    """Of each network; ½ where it has no scores, as its chains diverged."""
    return [auroc(row[high], row[low]) if np.isfinite(row).all() else 0.5 for row in values]


def _largest(values: Float[np.ndarray, "network suspect"], suspects: xr.Dataset, clean: np.ndarray) -> np.ndarray:
    number = suspects["candidate"].values
    means = np.stack([values[:, number == each].mean(1) for each in range(number.max() + 1)], axis=1)
    known = values[:, clean]
    largest = ((means - known.mean(1, keepdims=True)) / np.maximum(known.std(1, keepdims=True), 1e-12)).max(1)
    return np.where(np.isfinite(largest), largest, 0.0)


def folded(table: xr.DataArray) -> xr.DataArray:
    """AUROCs in which a rival without a direction of its own is read in the better one, over all of these networks."""
    mean = table.mean("network")
    turned = table["score"].isin(_EITHER_WAY) & (mean < 0.5)
    return xr.where(turned, 1 - table, table)


def hidden_ones(table: xr.Dataset) -> xr.Dataset:
    """The networks of the obfuscated arm."""
    return table.isel(network=table["obfuscated"].values)


def poisoned(table: xr.Dataset) -> xr.Dataset:
    """The networks with a backdoor that are not obfuscated."""
    return table.isel(network=np.isin(table["kind"].values, POISONED) & ~table["obfuscated"].values)


def twins(table: xr.Dataset) -> xr.Dataset:
    """Clean networks, and those with a benign rule that the trusted data lack."""
    return table.isel(network=np.isin(table["kind"].values, TWINS))


def said(table: xr.DataArray) -> str:
    """The mean AUROC of weight noise and of each rival, and how many networks have no score."""
    names = {"score_noise": "weight noise", "gradient_norm": "gradient norm", "mahalanobis": "Mahalanobis"}
    mean = table.mean("network")
    told = ", ".join(f"{names.get(each, each)} {float(mean.sel(score=each)):.2f}" for each in ("score_noise", *RIVALS))
    missing = int((table.sel(score="score") == 0.5).sum())
    return told + (f"; in {missing} networks chains diverged, which counts as 0.5" if missing else "")
