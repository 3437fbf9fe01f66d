"""Claims of a study: what was expected, what was measured, against which control, and whether it held."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
from scipy.stats import combine_pvalues

Status = Literal["held", "not held", "not tested"]


@dataclass(frozen=True)
class Evidence:
    """What one seed says of one claim.

    Attributes:
        measured, interval: the effect and its 95 % interval.
        p_value: probability of as much under the claim's null.
        met: whether the effect itself meets the expectation.
        control: the control's own number, in words.
    """

    measured: float
    interval: tuple[float, float] | None
    p_value: float
    met: bool
    control: str


@dataclass(frozen=True)
class Claim:
    """One row of `claims.json`; `status` is "held" only if every seed meets it and the corrected pooled p is below
    0.05.
    """

    id: str
    title: str
    source: str
    expectation: str
    unit: str
    measured: float | None = None
    interval: tuple[float, float] | None = None
    control: str = ""
    p_value: float | None = None
    p_adjusted: float | None = None
    status: Status = "not tested"
    note: str = ""

    def record(self) -> dict[str, Any]:
        """As written to `claims.json`."""
        return asdict(self)


def judge(claims: Sequence[Claim], evidence: Sequence[dict[str, Evidence]], alpha: float = 0.05) -> list[Claim]:
    """Claims filled in from the evidence of every seed.

    p-values are pooled over seeds by Fisher's method and corrected for the number of tested claims by Holm's. A claim
    without evidence in every seed stays "not tested".

    Args:
        claims: what is claimed.
        evidence: for each seed, claim id -> evidence.
        alpha: level of the corrected test.
    """
    tested = [claim for claim in claims if all(claim.id in seed for seed in evidence)]
    pooled = [_pool([seed[claim.id].p_value for seed in evidence]) for claim in tested]
    adjusted = dict(zip((claim.id for claim in tested), holm(pooled), strict=True))
    raw = dict(zip((claim.id for claim in tested), pooled, strict=True))
    return [
        _filled(claim, [seed[claim.id] for seed in evidence], raw[claim.id], adjusted[claim.id], alpha)
        if claim.id in adjusted
        else replace(claim, note="not tested at this preset: it needs longer training")
        for claim in claims
    ]


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction: sorted p times the number of hypotheses left, made monotone, at most 1."""
    order = np.argsort(p_values)
    factors = len(p_values) - np.arange(len(p_values))
    stepped = np.minimum(1, np.maximum.accumulate(np.asarray(p_values)[order] * factors))
    return [float(stepped[np.flatnonzero(order == place)[0]]) for place in range(len(p_values))]


def _pool(p_values: Sequence[float]) -> float:
    return float(combine_pvalues(np.clip(p_values, 1e-12, 1), method="fisher").pvalue)


def _filled(claim: Claim, evidence: Sequence[Evidence], p_value: float, p_adjusted: float, alpha: float) -> Claim:
    met = sum(item.met for item in evidence)
    values = [item.measured for item in evidence]
    single = evidence[0].interval if len(evidence) == 1 else (min(values), max(values))
    over = f"{met} of {len(evidence)} seeds meet it" if len(evidence) > 1 else ("met" if met else "not met")
    spread = f"; seeds: {', '.join(f'{value:.3g}' for value in values)}" if len(evidence) > 1 else ""
    return Claim(
        **{name: getattr(claim, name) for name in ("id", "title", "source", "expectation", "unit")},
        measured=float(np.mean(values)),
        interval=single,
        control="; ".join(dict.fromkeys(item.control for item in evidence)),
        p_value=p_value,
        p_adjusted=p_adjusted,
        status="held" if met == len(evidence) and p_adjusted < alpha else "not held",
        note=over + spread,
    )
