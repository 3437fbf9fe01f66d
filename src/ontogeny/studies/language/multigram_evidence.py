"""The claims of the language study about multigrams, and what one seed says of each."""

import numpy as np
from scipy.stats import rankdata

from ontogeny.development import curves, nulls
from ontogeny.development.usable import usable_curves
from ontogeny.studies.evidence import Evidence, NotTested
from ontogeny.studies.findings import Findings
from ontogeny.studies.language.config import LanguageConfig
from ontogeny.studies.language.evidence import WANG, Rng, claims

_NGRAMS = ["n-gram", "skip n-gram"]


@claims.add(
    "migration",
    "Multigrams move from layer 0 to layer 1",
    source=WANG,
    expects="from the checkpoint at which n-grams and skip n-grams lose most without single heads of layer 0 to the "
    "end, the share of layer 1 in what they lose rises",
    unit="rise of the share of layer 1",
)
def _(found: Findings, config: LanguageConfig, rng: Rng) -> Evidence | NotTested:
    if not config.circuit_checkpoints:
        return NotTested("circuits were not read")
    circuits = found["circuits"]
    effect = circuits["pattern_effect"].sel(kind=_NGRAMS).mean("kind").transpose("step", "head", "pattern_sequence")
    layers = np.array([str(name).partition("H")[0] for name in effect["head"].values])
    first, second = (effect.values[:, layers == name].sum(axis=1) for name in ("L0", "L1"))
    known = np.isfinite(first + second).all(axis=0)
    first, second = first[:, known], second[:, known]
    # the checkpoint is chosen on one half of the sequences and read on the other
    peak = int(first[:, ::2].mean(axis=1).argmax())
    if peak == len(first) - 1:
        return NotTested("layer 0 is needed most at the end")
    one, other = first[:, 1::2], second[:, 1::2]

    def rise(sample: np.ndarray) -> float:
        sums = [each[:, sample].mean(axis=1)[[peak, -1]] for each in (one, other)]
        before, after = sums[1] / (sums[0] + sums[1])
        return float(after - before)

    resampled, whole = curves.bootstrap(rise, one.shape[1], config.thresholds.bootstrap, rng), np.arange(one.shape[1])
    interval = curves.interval(resampled)
    sums = [each.mean(axis=1)[[peak, -1]] for each in (one, other)]
    said = f"from step {int(effect['step'].values[peak])}: layer 0 {sums[0][0]:.2f} to {sums[0][1]:.2f} nats, layer 1 "
    said += f"{sums[1][0]:.2f} to {sums[1][1]:.2f}"
    return Evidence(rise(whole), interval[0] > 0, interval, said, nulls.bootstrapped(resampled))


@claims.add(
    "multigrams-and-coefficients",
    "Heads that know more multigrams have larger refined coefficients",
    source=WANG,
    expects="within layers, the rank correlation of a head's refined coefficient at the end with the number of "
    "multigrams that it is needed for is positive",
    unit="Spearman correlation of ranks within layers",
)
def _(found: Findings, config: LanguageConfig, rng: Rng) -> Evidence | NotTested:
    if not config.circuit_checkpoints:
        return NotTested("circuits were not read")
    last = found["circuits"]["pattern_multigrams"].isel(step=-1).sel(kind=["bracket", *_NGRAMS]).sum("kind")
    names = [str(name) for name in last["head"].values]
    values = usable_curves(found["refined"], names)[0][:, -1]
    layers = np.array([name.partition("H")[0] for name in names])
    known = np.isfinite(values)
    if any(known[layers == layer].sum() < 3 for layer in np.unique(layers)):
        return NotTested(f"only {known.sum()} of {len(names)} heads have a usable estimate at the end")
    coefficient, counts, layers = values[known], last.values[known], layers[known]

    ranks, others = (_ranked(each, layers) for each in (coefficient, counts))

    def correlation(ranks: np.ndarray) -> float:
        each = [_cosine(ranks[layers == layer], others[layers == layer]) for layer in np.unique(layers)]
        return float(np.mean(each))

    value = correlation(ranks)
    null = nulls.permutations(correlation, ranks, rng, within=layers)
    said = f"{int(counts.min())} to {int(counts.max())} multigrams a head"
    return Evidence(value, value > 0, None, said, null)


@claims.add(
    "multigram-circuit",
    "A head of layer 0 and one of layer 1 come to serve multigrams together",
    source=WANG,
    expects="cutting the paths from one head of layer 0 to one of layer 1 costs n-grams and skip n-grams more, beyond "
    "other tokens, at the end than early, and more than almost any other pair",
    unit="nats, at the end less at the first checkpoint read",
)
def _(found: Findings, config: LanguageConfig, rng: Rng) -> Evidence | NotTested:
    if not config.circuit_checkpoints or "paths" not in found:
        return NotTested("paths between heads were not cut")
    effect = found["paths"]["path_effect"].stack(pair=("sender", "receiver"))
    ends = effect.isel(step=-1) - effect.isel(step=0)
    beyond = ends.sel(kind=_NGRAMS).mean("kind") - ends.sel(kind="other")
    rises = beyond.transpose("pair", "pattern_sequence").values
    rises = rises[:, np.isfinite(rises).all(axis=0)]
    # the pair is chosen on one half of the sequences and read on the other
    chosen, others = int(rises[:, ::2].mean(axis=1).argmax()), rises[:, 1::2].mean(axis=1)
    mine = rises[chosen, 1::2]
    resampled = curves.bootstrap(lambda sample: float(mine[sample].mean()), len(mine), config.thresholds.bootstrap, rng)
    interval = curves.interval(resampled)
    sender, receiver = effect["pair"].values[chosen]
    said = f"from {sender} to {receiver}; the median of all pairs is {np.median(others):.3f}"
    # among all pairs itself, so the p-value is at least one over their number
    null = nulls.Null("another pair of heads", float((others >= mine.mean()).mean()), float(np.median(others)))
    return Evidence(float(mine.mean()), interval[0] > 0, interval, said, null)


def _ranked(values: np.ndarray, layers: np.ndarray) -> np.ndarray:
    """Ranks within each layer, less their mean."""
    ranks = np.empty(len(values))
    for layer in np.unique(layers):
        own = rankdata(values[layers == layer])
        ranks[layers == layer] = own - own.mean()
    return ranks


def _cosine(one: np.ndarray, other: np.ndarray) -> float:
    """Correlation of values without mean; 0 where one of them does not vary."""
    size = np.linalg.norm(one) * np.linalg.norm(other)
    return float(one @ other / size) if size > 0 else 0.0
