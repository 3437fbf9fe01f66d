"""The opening sentences of a report: whether its numbers can be trusted, and what they show."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from ontogeny.core.joined_stages import stages_by_run, unstaged_by_run
from ontogeny.core.outcome import Outcome
from ontogeny.core.runs import differing_posteriors, runs_of
from ontogeny.reports.blocks import Sentence
from ontogeny.reports.estimate_notes import failures, tally
from ontogeny.reports.estimates import by_run, estimates, main, main_estimates, quantity
from ontogeny.reports.runs import counted_runs
from ontogeny.reports.wording import counted, listed, number, steps

# Shares of converged estimates: coefficients are called sound above the first, doubtful below the second.
SOUND, DOUBTFUL = 0.95, 0.80
CONFINED = 0.8  # share of the complexity that γ takes, in the median, from which the verdict says so
KNOWN = 0.25  # largest error of that share at a checkpoint that counts
FEW_RUNS = 4  # runs whose boundaries the verdict lists
FEW_GROUPS = 4  # groups of estimates that the verdict lists though all of them converged


def summary(trajectory: xr.Dataset) -> str:
    """One sentence on the change of loss and complexity between the first and the last checkpoint.

    Only converged coefficients are mentioned, with their steps if these are not the first and the last. Without
    complexity the LLC is used, and without verdicts all estimates. Several runs are summarised by the medians of their
    first and last values; coefficients only if they are comparable.
    """
    parts, runs, several = [], runs_of(trajectory), counted_runs(trajectory)
    every = np.concatenate([run["step"].values for run in runs.values()])
    if "loss" in trajectory:
        parts.append(_movement("the loss", [main(run.loss).values for run in runs.values()]))
    table = main_estimates(estimates(trajectory)).sort_values("step")
    sound = table[~table.hollow.astype(bool) & np.isfinite(table.shown.astype(float))]
    if len(sound) and not differing_posteriors(trajectory):
        name = "the complexity" if quantity(trajectory) == "complexity" else "the learning coefficient"
        values = [rows.shown.to_numpy(dtype=float) for rows in by_run(sound).values()]
        parts.append(_movement(name, values) + _between(sound, float(every.min()), float(every.max())))
    first, last = steps(float(every.min())), steps(float(every.max()))
    where = f"Between step {first} and step {last}" if first != last else f"At step {first}"
    where += f", in the median of {several}" if several else ""
    parts = [part for part in parts if part]
    if not parts:
        return f"{counted(len(np.unique(every)), 'checkpoint')}{f' of {several}' if several else ''}."
    return f"{where}, {' and '.join(parts)}."


def verdict(
    trajectory: xr.Dataset | None,
    stages: xr.Dataset | None,
    claims: Sequence[Mapping[str, Any]],
    unstaged: str = "",
    refined: xr.Dataset | None = None,
    others: Mapping[str, xr.Dataset] | None = None,
) -> list[Sentence]:
    """The sentences of the verdict, each only if it applies: on divergence, estimates, nβ and γ, stages, claims.

    Args:
        trajectory: of one run or several; None omits its sentences.
        stages: found in it.
        claims: records of expectations and measurements.
        unstaged: why stages were not looked for.
        refined: coefficients of components, under the same loss. Estimates also in the trajectory count once.
        others: further coefficients on the page, by description: "relative to the reference".
    """
    sentences = [_on_claims(claims)]
    if trajectory is not None:
        on_run = [
            _on_divergence(trajectory),
            _on_estimates(trajectory, refined, others or {}),
            _on_posteriors(trajectory),
            _on_localization(trajectory),
        ]
        sentences = [*on_run, _on_stages(stages, unstaged, len(runs_of(trajectory))), *sentences]
    return [sentence for sentence in sentences if sentence is not None]


def _on_estimates(
    trajectory: xr.Dataset, refined: xr.Dataset | None, others: Mapping[str, xr.Dataset]
) -> Sentence | None:
    own = estimates(trajectory)
    parts = estimates(refined) if refined is not None else own.iloc[:0]
    # An estimate present in both counts once.
    keys = ["run", "step", "component", "dataset"]
    parts = parts[~parts.set_index(keys).index.isin(own.set_index(keys).index)]
    groups = {"of the network": own, "of its parts": parts}
    groups |= {name: estimates(other) for name, other in others.items()}
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
    # At a checkpoint that is not a minimum, the complexity is still valid.
    if not share and not (table.outcome == Outcome.NOT_A_MINIMUM.value).any():
        text += " Read no coefficient on this page as a measurement."
    if len(groups) > 1 and rest:
        text += f" By group: {listed(_by_group(groups))}."
    return Sentence(grade, tally(table), text, "diagnostics")


def _by_group(groups: Mapping[str, pd.DataFrame]) -> list[str]:
    """Each group, or where they are many, those of which not all converged."""
    short = {name: each for name, each in groups.items() if len(groups) <= FEW_GROUPS or not each.converged.all()}
    told = [f"{tally(each)} {name}" for name, each in short.items()]
    return told if len(short) == len(groups) else [*told, "all of the others"]


def _on_divergence(trajectory: xr.Dataset) -> Sentence | None:
    if "training_diverged" not in trajectory:
        return None
    runs = runs_of(trajectory)
    steps_by_run = {label: np.nanmax(run["training_diverged"].values, initial=-1) for label, run in runs.items()}
    at = [f"{label} at step {steps(step)}".strip() for label, step in steps_by_run.items() if step >= 0]
    text = f"A loss was not finite: {listed(at)}. The checkpoints are those before."
    return Sentence("poor", "Training diverged", text, "loss-llc")


def _on_posteriors(trajectory: xr.Dataset) -> Sentence | None:
    differing = differing_posteriors(trajectory)
    text = f"Coefficients are not comparable: {differing}. Their median is not drawn."
    return Sentence("poor", "nβ or γ differ", text, "settings") if differing else None


def _on_localization(trajectory: xr.Dataset) -> Sentence | None:
    if "llc_withheld" not in trajectory or "component" not in trajectory.dims:
        return None
    whole = trajectory[["llc_withheld", "llc_withheld_mcse"]].isel(component=0)
    known = whole["llc_withheld"].where(whole["llc_withheld_mcse"] < KNOWN)
    share = float(known.median())
    if not share > CONFINED:
        return None
    text = (
        f"of the complexity, in the median over the {int(known.notnull().sum())} checkpoints at which it is known: the "
        "curve compares the curvature around checkpoints, and most directions are confined by γ and not by the loss. "
        "Checkpoints late in training alone can be measured at a larger nβ and a smaller γ, given by hand."
    )
    return Sentence("plain", f"γ takes {min(share, 1.0):.0%}", text, "settings")


def _on_stages(stages: xr.Dataset | None, unstaged: str, runs: int) -> Sentence | None:
    if stages is None:
        which = "No run was" if runs > 1 else "The run was not"
        told = Sentence("caution", "No stages", f"{which} divided; the reason is below.", "stages")
        return told if unstaged else None
    by_label = stages_by_run(stages)
    if len(by_label) + len(unstaged_by_run(stages)) > 1:
        return _on_stages_of_runs(by_label, len(unstaged_by_run(stages)))
    stages = next(iter(by_label.values()))
    boundaries = stages.boundary_step.values if "boundary_step" in stages else np.array([])
    if not len(boundaries):
        return Sentence("plain", "1 stage", "No boundary is distinguishable from noise.", "loss-llc")
    kinds = Counter(str(kind) for kind in stages.boundary_kind.values)
    text = f"Divided at {_places(stages)} "
    text += f"({listed([counted(count, kind) for kind, count in kinds.items()])})."
    return Sentence("plain", f"{len(boundaries) + 1} stages", text, "stages")


def _on_stages_of_runs(runs: Mapping[str, xr.Dataset], unstaged: int) -> Sentence:
    numbers = {label: len(stages.boundary_step) + 1 for label, stages in runs.items()}
    low, high = min(numbers.values()), max(numbers.values())
    figure = counted(low, "stage") if low == high else f"{low} to {high} stages"
    places = [f"{label} at {_places(stages)}" for label, stages in runs.items() if len(stages.boundary_step)]
    text = "in each run; no boundary is distinguishable from noise."
    if places:
        shown = places if len(places) <= FEW_RUNS else [*places[:FEW_RUNS], f"{len(places) - FEW_RUNS} more"]
        text = f"Each run was divided separately: {listed(shown)}."
    text += f" {counted(unstaged, 'run')} could not be divided." if unstaged else ""
    return Sentence("caution" if unstaged else "plain", figure, text, "stages")


def _places(stages: xr.Dataset) -> str:
    found = [steps(float(step)) for step in stages.boundary_step.values]
    return f"step{'s' * (len(found) > 1)} {listed(found)}"


def _on_claims(claims: Sequence[Mapping[str, Any]]) -> Sentence | None:
    if not claims:
        return None
    status = Counter(str(claim.get("status", "not tested")) for claim in claims)
    tested = status["held"] + status["not held"]
    if not tested and not status["failed"]:
        return Sentence("plain", "No claim", f"was tested, of {counted(len(claims), 'claim')}.", "claims")
    parts = [f"{status['not held']} did not"] if status["not held"] else []
    parts += [f"the {'test' if status['failed'] == 1 else 'tests'} of {status['failed']} failed"] * bool(
        status["failed"]
    )
    untested = len(claims) - tested - status["failed"]
    parts += [f"{untested} more {'was' if untested == 1 else 'were'} not tested"] if untested else []
    grade = "poor" if status["failed"] else "caution" if status["not held"] else "good"
    text = "tested claims held" + (f"; {listed(parts)}." if parts else ".")
    return Sentence(grade, f"{status['held']} of {tested}", text, "claims")


def _between(sound: pd.DataFrame, start: float, end: float) -> str:
    """The steps of the first and the last converged estimate, if they are not those of the trajectory."""
    first, last = float(sound.step.iloc[0]), float(sound.step.iloc[-1])
    if (first, last) == (start, end):
        return ""
    return f" (steps {steps(first)} to {steps(last)})" if first != last else f" (step {steps(first)})"


def _movement(name: str, by_run: Sequence[np.ndarray]) -> str:
    finite = [values[np.isfinite(values)] for values in by_run]
    known = [(float(values[0]), float(values[-1])) for values in finite if values.size]
    if not known:
        return ""
    start, end = (float(np.median(values)) for values in zip(*known, strict=True))
    if start == end:
        return f"{name} was {number(start)}"
    return f"{name} {'fell' if end < start else 'rose'} from {number(start)} to {number(end)}"
