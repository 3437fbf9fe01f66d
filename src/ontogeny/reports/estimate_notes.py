"""Notes on learning coefficients: how many converged, and why some are negative."""

from collections import Counter

import numpy as np
import pandas as pd
import xarray as xr

from ontogeny.core.joined_stages import stages_by_run, unstaged_by_run
from ontogeny.core.runs import POSTERIOR, differing_posteriors, run_dimension, runs_of
from ontogeny.reports.blocks import Prose
from ontogeny.reports.wording import counted, listed, literal, steps

_FEW = 6  # most steps that a sentence lists; beyond that it gives the range


def notes(*sentences: str) -> list[Prose]:
    """The non-empty sentences as paragraphs of a panel."""
    return [Prose(literal(sentence)) for sentence in sentences if sentence]


def tally(table: pd.DataFrame) -> str:
    """The count of converged estimates, as shown throughout a page: "171 of 174"."""
    return f"{int(table.converged.sum()):,} of {len(table):,}"


def failures(table: pd.DataFrame) -> str:
    """The outcomes of estimates that did not converge, the most frequent first; empty if all converged."""
    others = Counter(table.outcome[~table.converged])
    return listed([f"{count:,} {outcome.replace('_', ' ') or 'not judged'}" for outcome, count in others.most_common()])


def converged_sentence(table: pd.DataFrame) -> str:
    """How many of these estimates converged; empty if there are none or none has a verdict."""
    if table.empty or not table.outcome.any():
        return ""
    rest = failures(table)
    return f"{tally(table)} estimates converged" + (f"; {rest}." if rest else ".")


def excluded_sentence(stages: xr.Dataset) -> str:
    """How many estimates were left out of the stages, by outcome; empty if none was."""
    reasons = Counter(
        reason for own in stages_by_run(stages).values() for reason in own.attrs.get("excluded_outcome", [])
    )
    if not reasons:
        return ""
    several = reasons.total() > 1
    rest = listed([f"{count:,} {reason.replace('_', ' ')}" for reason, count in reasons.most_common()])
    return f"{counted(reasons.total(), 'estimate')} {'were' if several else 'was'} left out of the fit: {rest}."


def unstaged_sentences(stages: xr.Dataset) -> list[str]:
    """Which of several runs were not divided into stages, and why."""
    return [
        f"{label[0].upper()}{label[1:]} was not divided: it {reason}.".replace("`", "")
        for label, reason in unstaged_by_run(stages).items()
    ]


def runs_sentences(trajectory: xr.Dataset) -> list[str]:
    """Whether nβ and γ of several runs agree; empty for one run."""
    runs = runs_of(trajectory)
    if len(runs) < 2 or "llc" not in trajectory:
        return []
    dimension = str(run_dimension(trajectory)).replace("_", " ")
    differing = differing_posteriors(trajectory)
    if differing:
        found = f"The numbers of different runs are not comparable: {differing}. Measure all with one nβ and one γ."
    elif all(name in run for run in runs.values() for name in POSTERIOR):
        found = f"nβ and γ are the same for every {dimension}."
    else:
        found = f"Whether nβ and γ are the same for every {dimension} was not recorded. They are comparable only then."
    return [found, f"Other settings are usually those of the first {dimension}: joining runs keeps no others."]


def negative_sentence(table: pd.DataFrame) -> str:
    """Why some learning coefficients are below zero; empty if none are."""
    negative = table[table.llc < 0]
    if negative.empty:
        return ""
    where = _places(negative)
    if np.isfinite(negative.descent).all():
        return (
            f"The LLC is negative {where} because descent exceeds complexity there: the chains reached losses below "
            "that of the checkpoint, which is not a minimum."
        )
    return (
        f"The LLC is negative {where}: the chains reached losses below that of the checkpoint, which is not a minimum, "
        "or the error is larger than the value."
    )


def _places(table: pd.DataFrame) -> str:
    places = [int(step) for step in sorted(set(table.step))]
    if len(places) <= _FEW:
        where = f"at step{'s' * (len(places) > 1)} {listed([steps(step) for step in places])}"
    else:
        where = f"at {len(places)} steps between {steps(places[0])} and {steps(places[-1])}"
    alone = table.component.nunique() * table.dataset.nunique() == 1
    return where if alone else f"in {counted(len(table), 'estimate')} {where}"
