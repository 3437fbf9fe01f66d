"""Claims judged over seeds, each of which is a replicate: intervals, pooled and corrected p-values, what is said."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from scipy.stats import combine_pvalues, t

from ontogeny.development.nulls import holm
from ontogeny.studies.evidence import AT_PRESET, Claim, Evidence, Failed, Finding

Status = Literal["held", "not held", "not tested", "failed"]
FEWEST_FOR_INTERVAL = 3
WITHIN, OVER = "95 % within the seed", "95 % over {} seeds (t)"


@dataclass(frozen=True)
class Judged:
    """One row of `claims.json`: a claim over all seeds, each of which is a replicate.

    Attributes:
        measured: mean of the effect over the seeds that were tested.
        interval, interval_of: and of what it is an interval: within the only seed, or Student's t over three or more.
        p_value: pooled by Fisher's method over the seeds that have a null; p_adjusted: corrected by Holm's for all
            such claims. None where there is no null.
        status: "held" only if every seed was tested and met it and, where there is a null, p_adjusted < 0.05.
        note: how many seeds meet it, their values, and why others say nothing.
        seeds: of each seed its status (met, not met, not tested, failed), its effect, interval, p-value and control.
        caution: what else must be known to read it, such as a training that diverged.
    """

    id: str
    title: str
    source: str
    expectation: str
    unit: str
    measured: float | None
    interval: tuple[float, float] | None
    interval_of: str
    control: str
    null: str
    p_value: float | None
    p_adjusted: float | None
    status: Status
    note: str
    seeds: list[dict[str, Any]]
    caution: str = ""

    def record(self) -> dict[str, Any]:
        """As written to `claims.json`."""
        return asdict(self)


def judge(claims: Sequence[Claim], by_seed: Mapping[int, Mapping[str, Finding]], alpha: float) -> list[Judged]:
    """Every claim over all seeds; see `Claims.judge`."""
    pooled = {claim.id: _pooled(_evidence(by_seed, claim.id)) for claim in claims}
    with_null = [name for name, p_value in pooled.items() if p_value is not None]
    adjusted = dict(zip(with_null, holm([float(pooled[name] or 0) for name in with_null]), strict=True))
    return [
        _judged(
            claim,
            {seed: found.get(claim.id, AT_PRESET) for seed, found in by_seed.items()},
            (pooled[claim.id], adjusted.get(claim.id)),
            alpha,
        )
        for claim in claims
    ]


def _evidence(by_seed: Mapping[int, Mapping[str, Finding]], claim: str) -> list[Evidence]:
    return [item for found in by_seed.values() if isinstance(item := found.get(claim), Evidence)]


def _pooled(evidence: Sequence[Evidence]) -> float | None:
    p_values = [item.null.p_value for item in evidence if item.null is not None]
    return float(combine_pvalues(np.clip(p_values, 1e-12, 1), method="fisher").pvalue) if p_values else None


def _judged(
    claim: Claim, by_seed: Mapping[int, Finding], p_values: tuple[float | None, float | None], alpha: float
) -> Judged:
    evidence = [item for item in by_seed.values() if isinstance(item, Evidence)]
    values = [float(item.effect) for item in evidence]
    all_met = len(evidence) == len(by_seed) and all(item.met for item in evidence)
    significant = p_values[1] is None or p_values[1] < alpha
    failed = any(isinstance(item, Failed) for item in by_seed.values())
    status: Status = "held" if all_met and significant else "not held"
    if not evidence:
        status = "failed" if failed else "not tested"
    interval, interval_of = _interval(evidence)
    return Judged(
        claim.id,
        claim.title,
        claim.source,
        claim.expects,
        claim.unit,
        _finite(np.mean(values)) if values else None,
        interval,
        interval_of,
        "; ".join(dict.fromkeys(item.control for item in evidence if item.control)),
        "; ".join(dict.fromkeys(item.null.name for item in evidence if item.null)),
        *p_values,
        status,
        _note(list(by_seed.values()), evidence),
        [{"seed": seed} | _record(item) for seed, item in by_seed.items()],
    )


def _interval(evidence: Sequence[Evidence]) -> tuple[tuple[float, float] | None, str]:
    """That of the only seed within it, or Student's t over three or more; two seeds have a range and no interval."""
    values = np.array([item.effect for item in evidence], dtype=float)
    if len(values) == 1 and evidence[0].interval is not None:
        low, high = evidence[0].interval
        return (float(low), float(high)), WITHIN
    if len(values) < FEWEST_FOR_INTERVAL or not np.isfinite(values).all():
        return None, ""
    half = t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return (float(values.mean() - half), float(values.mean() + half)), OVER.format(len(values))


def _record(item: Finding) -> dict[str, Any]:
    if not isinstance(item, Evidence):
        told = ("failed", item.error) if isinstance(item, Failed) else ("not tested", item.reason)
        return {"status": told[0], "note": told[1]}
    null = {} if item.null is None else {"null": item.null.name, "p_value": item.null.p_value}
    interval = None if item.interval is None else [_finite(each) for each in item.interval]
    effect = {"measured": _finite(item.effect), "interval": interval, "control": item.control}
    return {"status": "met" if item.met else "not met"} | effect | null


def _note(found: Sequence[Finding], evidence: Sequence[Evidence]) -> str:
    """How many seeds meet a claim, their values, and why the others say nothing."""
    silent = Counter(
        (
            "failed" if isinstance(item, Failed) else "not tested",
            item.error if isinstance(item, Failed) else item.reason,
        )
        for item in found
        if not isinstance(item, Evidence)
    )
    if not evidence:
        return "; ".join(f"{kind}: {reason}" for kind, reason in silent)
    met = sum(bool(item.met) for item in evidence)
    if len(found) == 1:
        return "met" if met else "not met"
    values = ", ".join(f"{item.effect:.3g}" for item in evidence)
    said = [f"{met} of {len(evidence)} seeds meet it; seeds: {values}"]
    verb = {"failed": "failed", "not tested": "could not test it"}
    said += [f"{count} of {len(found)} seeds {verb[kind]}: {reason}" for (kind, reason), count in silent.items()]
    return "; ".join(said)


def _finite(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None
