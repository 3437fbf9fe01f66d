"""What a report says first: whether its numbers can be trusted and what they show, in sentences."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import xarray as xr

from ontogeny.core.outcome import Outcome
from ontogeny.reports.estimates import estimates, main, main_estimates, trusted
from ontogeny.reports.wording import counted, listed, number, steps

# Shares of converged estimates: from the first on, coefficients are called sound; below the second, doubtful.
SOUND, DOUBTFUL = 0.95, 0.80


class Sentence(NamedTuple):
    """A sentence of the verdict, how good its news are, and the panel that it is about."""

    grade: Literal["good", "caution", "poor", "plain"]
    figure: str
    text: str
    panel: str


def summary(trajectory: xr.Dataset) -> str:
    """What happened to loss and learning coefficient between the first checkpoint and the last, in one sentence."""
    parts = []
    if "loss" in trajectory:
        parts.append(_movement("the loss", main(trajectory.loss).values))
    table = main_estimates(estimates(trajectory)).sort_values("step")
    if len(table.llc.dropna()):
        parts.append(_movement("the learning coefficient", table.llc.dropna().to_numpy(dtype=float)))
    first, last = (steps(float(step)) for step in (trajectory.step.values[0], trajectory.step.values[-1]))
    where = f"Between step {first} and step {last}" if first != last else f"At step {first}"
    parts = [part for part in parts if part]
    return f"{where}, {' and '.join(parts)}." if parts else f"{counted(trajectory.sizes['step'], 'checkpoint')}."


def verdict(trajectory: xr.Dataset, stages: xr.Dataset | None, claims: Sequence[Mapping[str, Any]]) -> list[Sentence]:
    """The sentences of the verdict: on the estimates, on the stages, on the claims; each only if there are any."""
    sentences = [_on_estimates(trajectory), _on_stages(stages), _on_claims(claims)]
    return [sentence for sentence in sentences if sentence is not None]


def _on_estimates(trajectory: xr.Dataset) -> Sentence | None:
    table = estimates(trajectory)
    if table.empty:
        return None
    if not table.outcome.any():
        text = "learning coefficients were estimated; whether they converged was not recorded."
        return Sentence("caution", f"{len(table):,}", text, "diagnostics")
    good = int(trusted(table).sum())
    others = Counter(outcome for outcome in table.outcome if outcome != Outcome.CONVERGED)
    rest = listed([f"{count} {outcome.replace('_', ' ') or 'not judged'}" for outcome, count in others.most_common()])
    share = good / len(table)
    grade = "good" if share >= SOUND else "caution" if share >= DOUBTFUL else "poor"
    text = "learning-coefficient estimates converged" + (f"; {rest} (hollow in the figures)." if rest else ".")
    return Sentence(grade, f"{good:,} of {len(table):,}", text, "diagnostics")


def _on_stages(stages: xr.Dataset | None) -> Sentence | None:
    if stages is None:
        return None
    boundaries = stages.boundary_step.values if "boundary_step" in stages else np.array([])
    if not len(boundaries):
        return Sentence("plain", "1 stage", "No boundary can be told from noise.", "loss-llc")
    kinds = Counter(str(kind) for kind in stages.boundary_kind.values)
    where = listed([steps(float(step)) for step in boundaries])
    text = f"Divided at step{'s' * (len(boundaries) > 1)} {where} "
    text += f"({listed([counted(count, kind) for kind, count in kinds.items()])})."
    return Sentence("plain", f"{len(boundaries) + 1} stages", text, "stages")


def _on_claims(claims: Sequence[Mapping[str, Any]]) -> Sentence | None:
    if not claims:
        return None
    status = Counter(str(claim.get("status", "not tested")) for claim in claims)
    tested = status["held"] + status["not held"]
    parts = [f"{status['not held']} did not"] if status["not held"] else []
    untested = "was" if status["not tested"] == 1 else "were"
    parts += [f"{status['not tested']} more {untested} not tested"] if status["not tested"] else []
    grade = "plain" if not tested else "caution" if status["not held"] else "good"
    text = "tested claims held" + (f"; {listed(parts)}." if parts else ".")
    return Sentence(grade, f"{status['held']} of {tested}", text, "claims")


def _movement(name: str, values: np.ndarray) -> str:
    known = values[np.isfinite(values)]
    if not known.size:
        return ""
    start, end = float(known[0]), float(known[-1])
    if start == end:
        return f"{name} was {number(start)}"
    return f"{name} {'fell' if end < start else 'rose'} from {number(start)} to {number(end)}"
