"""The claims of the language study about a planted language, and what one seed says of each."""

import numpy as np
import xarray as xr

from ontogeny.development import nulls
from ontogeny.studies.evidence import Evidence, NotTested
from ontogeny.studies.findings import Findings
from ontogeny.studies.language.config import LARGE, LanguageConfig, Thresholds
from ontogeny.studies.language.evidence import WANG, Rng, claims

_CORPUS = NotTested("the text is a corpus: set text.source=planted")


@claims.add(
    "planted-recovered",
    "What heads serve is found without knowing the language",
    source=WANG,
    expects="of the pairs of a head and a planted mechanism, those found by patterns in the text are right and "
    "complete by at least 0.8 each, against ablations on tokens whose mechanism the exact laws tell",
    unit="precision or recall, the smaller",
    presets={"quick", *LARGE},
)
def _(found: Findings, config: LanguageConfig, rng: Rng) -> Evidence | NotTested:
    if config.text.source != "planted":
        return _CORPUS
    table = found["planted"]
    read, true = (_serving(table, way, config.thresholds) for way in ("read", "true"))
    if not true.any():
        return NotTested("no head serves a planted mechanism")
    both = int((read & true).sum())
    precision, recall = both / max(int(read.sum()), 1), both / int(true.sum())
    layers = np.array([str(name).partition("H")[0] for name in table["part"].values])
    null = nulls.permutations(lambda order: float((read[order] & true).sum()), np.arange(len(read)), rng, within=layers)
    served = ", ".join(f"{kind} {int(count)}" for kind, count in zip(table["kind"].values, true.sum(0), strict=True))
    said = f"precision {precision:.2f}, recall {recall:.2f}; heads that serve {served}"
    smaller = min(precision, recall)
    return Evidence(smaller, smaller >= config.thresholds.planted_share, None, said, null)


@claims.add(
    "planted-silent",
    "No head is found to serve what a language does not have",
    expects="in networks trained on languages that lack half the mechanisms, no head is found for one that is lacking",
    unit="share of heads and lacking mechanisms",
    presets={"quick", *LARGE},
)
def _(found: Findings, config: LanguageConfig, rng: Rng) -> Evidence | NotTested:
    if config.text.source != "planted":
        return _CORPUS
    table = found["planted-controls"].transpose("network", "part", "kind", ...)
    read = _serving(table, "read", config.thresholds)
    planted = np.broadcast_to(table["planted"].transpose("network", "kind").values[:, None], read.shape)
    kinds = np.broadcast_to(np.arange(read.shape[-1]), read.shape)
    values, labels = read.ravel(), planted.ravel()

    def difference(labels: np.ndarray) -> float:
        return float(values[labels].mean() - values[~labels].mean())

    false, true = float(values[~labels].mean()), float(values[labels].mean())
    null = nulls.permutations(difference, labels, rng, within=kinds.ravel())
    said = f"{true:.2f} where the language has the mechanism"
    return Evidence(false, bool(false == 0 and true > 0), None, said, null)


def _serving(table: xr.Dataset, way: str, thresholds: Thresholds) -> np.ndarray:
    """Whether each head serves each kind, by the reading or in truth."""
    effect, error = (table[f"{way}_{name}"].transpose(..., "part", "kind").values for name in ("effect", "error"))
    return (effect >= thresholds.planted_effect) & (effect >= thresholds.planted_errors * error)
