"""What a report says first: whether its numbers can be trusted and what they show, in sentences."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr

from ontogeny.core.outcome import Outcome
from ontogeny.reports.estimate_notes import failures, tally
from ontogeny.reports.estimates import estimates, main, main_estimates, quantity
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
    """What happened to loss and complexity between the first checkpoint and the last, in one sentence.

    Of the coefficients only those that converged are spoken of, with their steps where these are not the first and the
    last. A trajectory without complexity or verdicts is told by its LLC, or by all its estimates.
    """
    parts = []
    if "loss" in trajectory:
        parts.append(_movement("the loss", main(trajectory.loss).values))
    table = main_estimates(estimates(trajectory)).sort_values("step")
    sound = table[~table.hollow.astype(bool) & np.isfinite(table.shown.astype(float))]
    if len(sound):
        name = "the complexity" if quantity(trajectory) == "complexity" else "the learning coefficient"
        parts.append(_movement(name, sound.shown.to_numpy(dtype=float)) + _between(sound, trajectory))
    first, last = (steps(float(step)) for step in (trajectory.step.values[0], trajectory.step.values[-1]))
    where = f"Between step {first} and step {last}" if first != last else f"At step {first}"
    parts = [part for part in parts if part]
    return f"{where}, {' and '.join(parts)}." if parts else f"{counted(trajectory.sizes['step'], 'checkpoint')}."


def verdict(
    trajectory: xr.Dataset,
    stages: xr.Dataset | None,
    claims: Sequence[Mapping[str, Any]],
    unstaged: str = "",
    refined: xr.Dataset | None = None,
    relative: xr.Dataset | None = None,
) -> list[Sentence]:
    """The sentences of the verdict: on all estimates of the page, on the stages, on the claims; each only if there are
    any.
    """
    sentences = [_on_estimates(trajectory, refined, relative), _on_stages(stages, unstaged), _on_claims(claims)]
    return [sentence for sentence in sentences if sentence is not None]


def _on_estimates(trajectory: xr.Dataset, refined: xr.Dataset | None, relative: xr.Dataset | None) -> Sentence | None:
    own = estimates(trajectory)
    parts = estimates(refined) if refined is not None else own.iloc[:0]
    # An estimate that was measured for both is one estimate.
    keys = ["step", "component", "dataset"]
    parts = parts[~parts.set_index(keys).index.isin(own.set_index(keys).index)]
    groups = {"of the network": own, "of its parts": parts}
    groups["relative to the reference"] = estimates(relative) if relative is not None else own.iloc[:0]
    groups = {name: table for name, table in groups.items() if len(table)}
    if not groups:
        return None
    table = pd.concat([each[["outcome", "converged"]] for each in groups.values()])
    if not table.outcome.any():
        text = "learning coefficients were estimated; whether they converged was not recorded."
        return Sentence("caution", f"{len(table):,}", text, "diagnostics")
    share = float(table.converged.mean())
    grade = "good" if share >= SOUND else "caution" if share >= DOUBTFUL else "poor"
    rest = failures(table)
    text = "learning-coefficient estimates converged" + (f"; {rest} (hollow in the figures)." if rest else ".")
    # Where the checkpoint is not a minimum, the complexity holds all the same.
    if not share and not (table.outcome == Outcome.NOT_A_MINIMUM.value).any():
        text += " Read no coefficient on this page as a measurement."
    if len(groups) > 1 and rest:
        text += f" By group: {listed([f'{tally(each)} {name}' for name, each in groups.items()])}."
    return Sentence(grade, tally(table), text, "diagnostics")


def _on_stages(stages: xr.Dataset | None, unstaged: str) -> Sentence | None:
    if stages is None:
        told = Sentence("caution", "No stages", "The run was not divided; the reason is below.", "stages")
        return told if unstaged else None
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
    if not tested:
        return Sentence("plain", "No claim", f"was tested, of {counted(len(claims), 'claim')}.", "claims")
    parts = [f"{status['not held']} did not"] if status["not held"] else []
    untested = len(claims) - tested
    parts += [f"{untested} more {'was' if untested == 1 else 'were'} not tested"] if untested else []
    grade = "caution" if status["not held"] else "good"
    text = "tested claims held" + (f"; {listed(parts)}." if parts else ".")
    return Sentence(grade, f"{status['held']} of {tested}", text, "claims")


def _between(sound: pd.DataFrame, trajectory: xr.Dataset) -> str:
    """The steps of the first and the last converged estimate, where they are not those of the trajectory."""
    first, last = float(sound.step.iloc[0]), float(sound.step.iloc[-1])
    if (first, last) == (float(trajectory.step.values[0]), float(trajectory.step.values[-1])):
        return ""
    return f" (steps {steps(first)} to {steps(last)})" if first != last else f" (step {steps(first)})"


def _movement(name: str, values: np.ndarray) -> str:
    known = values[np.isfinite(values)]
    if not known.size:
        return ""
    start, end = float(known[0]), float(known[-1])
    if start == end:
        return f"{name} was {number(start)}"
    return f"{name} {'fell' if end < start else 'rose'} from {number(start)} to {number(end)}"
