"""Claims of a study: what was expected, what was measured, against which control, and whether it held."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
from scipy.stats import combine_pvalues

from ontogeny.core.errors import InvalidArgument

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
class NotTested:
    """Why one seed cannot speak of one claim."""

    reason: str

    @classmethod
    def because(cls, error: InvalidArgument) -> "NotTested":
        """What an analysis needed and did not find."""
        return cls(f"it needs {error.expected}; found {error.found}".replace("`", ""))


Finding = Evidence | NotTested
Findings = Mapping[str, Finding]
AT_PRESET = NotTested("this preset is too small to show it")


@dataclass(frozen=True)
class Claim:
    """One row of `claims.json`.

    `status` is "held" only if every seed was tested and meets it and the corrected pooled p is below 0.05. `interval`
    is the 95 % interval of a single seed; the values of several stand in `note`.
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


def find(tests: Mapping[str, Callable[[], Finding]], tested: Collection[str]) -> dict[str, Finding]:
    """The finding of every claim: a test that its data do not suffice for costs its own claim and no other.

    Args:
        tests: claim id -> test.
        tested: ids of the claims that the preset can show.
    """

    def one(name: str) -> Finding:
        try:
            return tests[name]() if name in tested else AT_PRESET
        except InvalidArgument as error:
            return NotTested.because(error)

    return {name: one(name) for name in tests}


def judge(claims: Sequence[Claim], found: Sequence[Findings], alpha: float = 0.05) -> list[Claim]:
    """Claims filled in from the findings of every seed.

    p-values are pooled over seeds by Fisher's method and corrected for the number of tested claims by Holm's. A claim
    is tested if any seed has evidence of it; the note says how many have, and why others have not.

    Args:
        claims: what is claimed.
        found: for each seed, claim id -> finding.
        alpha: level of the corrected test.
    """
    evidence = {claim.id: _evidence(found, claim.id) for claim in claims}
    tested = [claim.id for claim in claims if evidence[claim.id]]
    pooled = [_pool([item.p_value for item in evidence[name]]) for name in tested]
    p_values = dict(zip(tested, zip(pooled, holm(pooled), strict=True), strict=True))
    return [
        _filled(claim, evidence[claim.id], _reasons(found, claim.id), len(found), *p_values[claim.id], alpha)
        if claim.id in p_values
        else replace(claim, note=f"not tested: {'; '.join(_reasons(found, claim.id))}")
        for claim in claims
    ]


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction: sorted p times the number of hypotheses left, made monotone, at most 1."""
    order = np.argsort(p_values)
    factors = len(p_values) - np.arange(len(p_values))
    stepped = np.minimum(1, np.maximum.accumulate(np.asarray(p_values)[order] * factors))
    return [float(stepped[np.flatnonzero(order == place)[0]]) for place in range(len(p_values))]


def _evidence(found: Sequence[Findings], claim: str) -> list[Evidence]:
    """What the seeds that could test a claim say of it."""
    return [item for seed in found if isinstance(item := seed.get(claim), Evidence)]


def _reasons(found: Sequence[Findings], claim: str) -> list[str]:
    """Why seeds have no evidence of a claim, each reason once."""
    missing = [seed.get(claim, AT_PRESET) for seed in found]
    return list(dict.fromkeys(item.reason for item in missing if isinstance(item, NotTested)))


def _pool(p_values: Sequence[float]) -> float:
    return float(combine_pvalues(np.clip(p_values, 1e-12, 1), method="fisher").pvalue)


def _filled(
    claim: Claim,
    evidence: Sequence[Evidence],
    reasons: Sequence[str],
    num_seeds: int,
    p_value: float,
    p_adjusted: float,
    alpha: float,
) -> Claim:
    met = sum(item.met for item in evidence)
    values = [item.measured for item in evidence]
    complete = len(evidence) == num_seeds
    return replace(
        claim,
        measured=float(np.mean(values)),
        interval=evidence[0].interval if len(evidence) == 1 else None,
        control="; ".join(dict.fromkeys(item.control for item in evidence)),
        p_value=p_value,
        p_adjusted=p_adjusted,
        status="held" if complete and met == num_seeds and p_adjusted < alpha else "not held",
        note=_note(met, values, num_seeds, reasons),
    )


def _note(met: int, values: Sequence[float], num_seeds: int, reasons: Sequence[str]) -> str:
    """How many seeds meet a claim, their values, and why the others could not test it."""
    if num_seeds == 1:
        return "met" if met else "not met"
    tested = len(values)
    said = f"{met} of {tested} seeds meet it; seeds: {', '.join(f'{value:.3g}' for value in values)}"
    if tested < num_seeds:
        said += f"; {num_seeds - tested} of {num_seeds} seeds could not test it: {'; '.join(reasons)}"
    return said
