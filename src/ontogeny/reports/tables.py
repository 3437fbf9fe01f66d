"""Rows of the report's tables, as text."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import xarray as xr

from ontogeny.core.intervals import Z95
from ontogeny.core.joined_stages import stages_by_run
from ontogeny.core.outcome import Outcome
from ontogeny.core.runs import recorded_posterior
from ontogeny.reports.blocks import Cell, Column, Table, Text
from ontogeny.reports.stage_marks import STAGE_TYPES, staged_quantity
from ontogeny.reports.wording import listed, measured, number, p_value, probability, steps

_UNTESTED = re.compile(r"^not tested(?: at this preset)?\W*", re.IGNORECASE)  # the sentence says so already
_COUNTS = ("No", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine", "Ten", "Eleven", "Twelve")
# Settings needed to compare two learning coefficients, with their usual symbols; the rest is listed below them.
SYMBOLS = {"nbeta": "nβ", "localization": "γ", "step_size": "ε", "num_samples": "n"}
MEANINGS = {
    "nbeta": "inverse temperature times sample size",
    "localization": "strength of the pull to the trained weights",
    "step_size": "of the sampler",
    "num_samples": "samples in the dataset",
}


def keyed_table(
    columns: Mapping[str, Column],
    rows: Sequence[Mapping[str, Cell]],
    label: str,
    caption: Text = "",
    tall: bool = False,
) -> Table:
    """A table of rows by key: each column shows the rows' values under its key."""
    cells = [[row[key] for key in columns] for row in rows]
    return Table(list(columns.values()), cells, caption, label, tall)


def stage_rows(stages: xr.Dataset) -> list[dict[str, str]]:
    """One row a stage: run, number, start, end, delta_loss, delta_llc (with interval), type and explanation."""
    rows, quantity = [], staged_quantity(stages)
    runs = stages_by_run(stages)
    for run, i in [(run, i) for run, own in runs.items() for i in range(own.sizes["stage"])]:
        stage = runs[run].isel(stage=i)
        kind = str(stage.stage_type.values)
        interval = [float(stage[f"stage_delta_llc_{edge}"]) for edge in ("low", "high")]
        row = {
            "run": run,
            "number": str(i + 1),
            "start": steps(float(stage.stage_start)),
            "end": steps(float(stage.stage_end)),
        }
        row |= {"delta_loss": _change(float(stage.stage_delta_loss)), "type": kind}
        row |= {
            "delta_llc": measured(float(stage.stage_delta_llc), interval),
            "explanation": STAGE_TYPES.get(kind, "").format(quantity),
        }
        rows.append(row)
    return rows


def boundary_rows(stages: xr.Dataset) -> list[dict[str, str]]:
    """One row a boundary between stages: run, between, step, interval, kind and its probability.

    With several runs, a run without boundaries has a row that says so.
    """
    rows, runs = [], stages_by_run(stages)
    for run, i in [
        (run, i) for run, own in runs.items() for i in range(own.sizes.get("boundary", 0) or (len(runs) > 1))
    ]:
        if not runs[run].sizes.get("boundary", 0):
            rows.append(
                {"run": run, "between": "none"} | dict.fromkeys(("step", "interval", "kind", "probability"), "–")
            )
            continue
        boundary = runs[run].isel(boundary=i)
        low, high = float(boundary.boundary_low), float(boundary.boundary_high)
        row = {"run": run, "between": f"{i + 1} → {i + 2}", "step": steps(float(boundary.boundary_step))}
        row |= {"interval": f"{steps(low)} to {steps(high)}", "kind": str(boundary.boundary_kind.values)}
        rows.append(row | {"probability": probability(float(boundary.boundary_probability))})
    return rows


def claim_rows(claims: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """One row a tested claim: what was expected and measured, against which control, and whether it held."""
    return [
        {
            "id": str(claim.get("id", "")),
            "title": str(claim.get("title", "")),
            "source": str(claim.get("source") or ""),
            "expectation": str(claim.get("expectation") or ""),
            "measured": measured(claim.get("measured"), claim.get("interval")),
            "unit": str(claim.get("unit") or "") if claim.get("measured") is not None else "",
            "interval_of": str(claim.get("interval_of") or "") if claim.get("interval") else "",
            "control": str(claim.get("control") or "–"),
            "p": p_value(claim.get("p_value")),
            "p_adjusted": p_value(claim.get("p_adjusted")),
            "status": str(claim.get("status", "not tested")),
            "note": str(claim.get("note") or ""),
            "caution": str(claim.get("caution") or ""),
        }
        for claim in claims
        if _is_tested(claim)
    ]


def untested_sentences(claims: Sequence[Mapping[str, Any]]) -> list[str]:
    """The untested claims, in one sentence per reason."""
    left = [claim for claim in claims if not _is_tested(claim)]
    more = " more" if len(left) < len(claims) else ""
    by_reason: dict[str, list[str]] = {}
    for claim in left:
        by_reason.setdefault(_UNTESTED.sub("", str(claim.get("note") or "")).rstrip("."), []).append(
            f"“{claim.get('title') or claim.get('id', '')}”"
        )
    sentences = []
    for reason, titles in by_reason.items():
        count = _COUNTS[len(titles)] if len(titles) < len(_COUNTS) else f"{len(titles):,}"
        what = f"{count}{more} claim{' was' if len(titles) == 1 else 's were'} not tested"
        sentences.append(f"{what}{f' ({reason[0].lower()}{reason[1:]})' if reason else ''}: {listed(titles)}.")
    return sentences


def _is_tested(claim: Mapping[str, Any]) -> bool:
    return claim.get("status") in ("held", "not held", "failed")


def diagnostics_rows(table: pd.DataFrame) -> list[dict[str, str]]:
    """One row an estimate: where it was made, its values with their 95 % errors, its diagnostics and its outcome."""
    return [
        {
            "run": row.run,
            "step": steps(row.step),
            "component": row.component,
            "dataset": row.dataset,
            "llc": number(row.llc),
            "error": number(Z95 * row.mcse, 2),
            "complexity": number(row.complexity),
            "complexity_error": number(Z95 * row.complexity_mcse, 2),
            "descent": number(row.descent),
            "withheld": probability(row.withheld),
            "mcse": number(row.mcse, 2),
            "rhat": "–" if pd.isna(row.rhat) else f"{row.rhat:.3f}",
            "ess": "–" if pd.isna(row.ess) else steps(row.ess),
            "gradients": "–" if pd.isna(row.gradients) else steps(row.gradients),
            "outcome": row.outcome,
        }
        for row in table.itertuples()
    ]


def advice_rows(table: pd.DataFrame) -> list[dict[str, str]]:
    """One row for each kind of trouble among the estimates: outcome and what to do about it."""
    present = [outcome for outcome in Outcome if outcome.advice and (table.outcome == outcome.value).any()]
    return [{"outcome": outcome.value, "advice": outcome.advice} for outcome in present]


def settings_rows(trajectory: xr.Dataset) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    """The sampler's settings: those with a symbol, and all others.

    They are those of `attrs["settings"]`, but nβ and γ, where each run recorded its own, those of every run.
    """
    kept = trajectory.attrs.get("settings", "{}")
    settings = json.loads(kept) if isinstance(kept, str) else {}
    values = {name: _large(settings[name]) for name in SYMBOLS if isinstance(settings.get(name), int | float)}
    for name in ("nbeta", "localization"):
        by_run = recorded_posterior(trajectory, f"llc_{name}")
        distinct = list(dict.fromkeys(value for found in by_run.values() for value in found))
        values |= {name: ", ".join(_large(value) for value in distinct)} if distinct else {}
    first = [
        {"symbol": symbol, "name": name, "value": values[name], "meaning": MEANINGS[name]}
        for name, symbol in SYMBOLS.items()
        if name in values
    ]
    rest = [{"name": name, "value": str(value)} for name, value in settings.items() if name not in values]
    return first, rest


def _change(value: float) -> str:
    return f"+{number(value)}" if value > 0 else number(value)


def _large(value: float | int) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:,.6g}".replace("e-0", "e-")
