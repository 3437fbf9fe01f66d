"""The panels of the sampler: its traces, every estimate with its diagnostics, and its settings."""

from collections.abc import Mapping

import pandas as pd
import plotly.graph_objects as go
import xarray as xr

from ontogeny.core.runs import runs_of
from ontogeny.reports.blocks import Block, Choice, Column, Facts, Heading, Panel, Prose, Table, Tag, Tone
from ontogeny.reports.diagnostics import TRACES_SHOWN, fig_traces, listed_estimates, trace_steps
from ontogeny.reports.estimates import estimates, has_complexity
from ontogeny.reports.runs import run_title
from ontogeny.reports.style import step_text
from ontogeny.reports.tables import advice_rows, diagnostics_rows, keyed_table, settings_rows
from ontogeny.reports.wording import literal

_TONES: dict[str, Tone] = {"converged": "good", "diverged": "poor"}
_DOUBTED = {"not_converged", "not_a_minimum", "step_too_large", "too_few_draws"}


def diagnostics_panel(trajectory: xr.Dataset, parts: bool = False) -> Panel:
    """Traces of a few checkpoints, and the table of all estimates.

    Args:
        trajectory: of one run or several, with coefficients from `measure`.
        parts: whether estimates of components have their own panels.
    """
    blocks, table = list[Block](), estimates(trajectory)
    traces = _traces(runs_of(trajectory))
    if traces:
        caption = (
            "In a sound estimate the chains level off before the warm-up ends and then overlap. On the "
            "right is the running estimate: thin lines are single chains, the band is 95 % of Monte Carlo "
            "error."
        )
        alt = "Sampler traces and running estimate at a checkpoint"
        blocks.append(Choice(traces, alt, caption, name="traces", height=330))
    if len(table):
        every, listed = _estimates_table(trajectory, parts)
        advice = [Prose([outcome_tag(row["outcome"]), f" {literal(row['advice'])}"]) for row in advice_rows(listed)]
        blocks += [every, *advice]
    return Panel("diagnostics", "Sampler diagnostics", blocks, "Diagnostics")


def settings_panel(trajectory: xr.Dataset) -> Panel:
    """The settings of the sampler that a reader needs to compare coefficients, and all others."""
    symbols, others = settings_rows(trajectory)
    blocks = list[Block]()
    if symbols:
        blocks.append(
            Facts(
                {row["name"]: row["value"] for row in symbols},
                {row["name"]: row["symbol"] for row in symbols},
                {row["name"]: row["meaning"] for row in symbols},
            )
        )
    if others:
        blocks += [Heading("All settings of the sampler"), Facts({row["name"]: row["value"] for row in others})]
    return Panel("settings", "Settings of the sampler", blocks, "Settings")


def outcome_tag(outcome: str, quiet: bool = False) -> Tag:
    """The outcome of an estimate, coloured by whether it can be trusted."""
    tone = _TONES.get(outcome, "caution" if outcome in _DOUBTED else "plain")
    return Tag(outcome.replace("_", " ") or "not judged", tone, quiet)


def _traces(runs: dict[str, xr.Dataset]) -> dict[str, go.Figure]:
    count = max(TRACES_SHOWN // len(runs), 2)
    return {
        f"{label}, step {step_text(step)}" if len(runs) > 1 else f"step {step_text(step)}": fig_traces(run, step)
        for label, run in runs.items()
        for step in trace_steps(run, count)
    }


def _estimates_table(trajectory: xr.Dataset, parts: bool) -> tuple[Table, pd.DataFrame]:
    """The table of the listed estimates, and the same as data."""
    table, (listed, omitted), apart = estimates(trajectory), listed_estimates(trajectory), has_complexity(trajectory)
    runs, several = run_title(trajectory), table.groupby(["component", "dataset"]).ngroups > 1
    titles = {"complexity": "Complexity", "complexity_error": "± 95 %", "descent": "Descent"} if apart else {}
    titles |= {"llc": "LLC", "error": "± 95 %"} | ({} if apart else {"mcse": "MCSE"})
    titles |= {"withheld": "Withheld"} if table.withheld.notna().any() else {}
    titles |= {"rhat": "R-hat", "ess": "ESS"}
    titles |= {"gradients": "Gradients"} if table.gradients.notna().any() else {}
    columns = {"run": Column(runs, "value", head=True)} if runs else {}
    columns["step"] = Column("Step", "number", head=not runs)
    columns |= {"component": Column("Component"), "dataset": Column("Dataset")} if several else {}
    columns |= {name: Column(title, "number") for name, title in titles.items()}
    columns["outcome"] = Column("Outcome")
    rows = [row | {"outcome": outcome_tag(row["outcome"], quiet=True)} for row in diagnostics_rows(listed)]
    caption = _estimates_caption(titles, omitted, parts)
    return keyed_table(columns, rows, "Estimates and their diagnostics", caption, tall=True), listed


def _estimates_caption(titles: Mapping[str, str], omitted: int, parts: bool) -> str:
    """The meaning of the columns, and the estimates omitted from the table."""
    error = "MCSE is the Monte Carlo standard error." if "mcse" in titles else ""
    sentences = [
        "R-hat compares chains and is near 1 when they agree; ESS is the equivalent number "
        f"of independent draws; {error or 'the ± columns are 1.96 Monte Carlo standard errors.'}",
        "Withheld is the share of the value that localization removes." if "withheld" in titles else "",
        "Gradients are per-sample gradients." if "gradients" in titles else "",
        "Estimates of components are in their own panels." if parts else "",
        f"{omitted:,} more estimates that converged are not listed." if omitted else "",
    ]
    return " ".join(sentence for sentence in sentences if sentence)
