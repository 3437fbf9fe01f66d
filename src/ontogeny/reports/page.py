"""The report: one HTML file that holds its data, figures, style and scripts, and opens without a network."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import xarray as xr
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from ontogeny.core.errors import InvalidArgument
from ontogeny.core.joined_stages import stages_by_run
from ontogeny.core.runs import run_dimension, runs_of
from ontogeny.reports.attention import attention_view
from ontogeny.reports.behaviour import fig_behaviour, fig_head_scores
from ontogeny.reports.belief_pictures import fig_simplex
from ontogeny.reports.belief_tables import (
    distance_rows,
    excess_sentence,
    linear_in_law,
    regression_table,
    steering_sentences,
)
from ontogeny.reports.beliefs import fig_belief_lengths, fig_belief_r2, fig_context_loss, fig_rivals
from ontogeny.reports.choice import fig_choice
from ontogeny.reports.component_curves import fig_component_curves, fig_relative_llc
from ontogeny.reports.component_map import fig_component_map, map_steps
from ontogeny.reports.content import ReportContent
from ontogeny.reports.data_refinement import dataset_pairs, fig_data_refinement
from ontogeny.reports.diagnostics import TRACES_SHOWN, fig_traces, listed_estimates, trace_steps
from ontogeny.reports.estimate_notes import (
    converged_sentence,
    excluded_sentence,
    negative_sentence,
    runs_sentences,
    unstaged_sentences,
)
from ontogeny.reports.estimates import estimates, has_complexity, main_estimates
from ontogeny.reports.learning_curves import fig_loss_and_llc, fig_refined_llc, fig_slope
from ontogeny.reports.presentation_graph import fig_presentation
from ontogeny.reports.signature_table import signature_rows, signature_sentences
from ontogeny.reports.stage_marks import staged_quantity
from ontogeny.reports.style import step_text
from ontogeny.reports.susceptibility_map import fig_susceptibility
from ontogeny.reports.tables import (
    advice_rows,
    boundary_rows,
    claim_rows,
    diagnostics_rows,
    settings_rows,
    stage_rows,
    untested_sentences,
)
from ontogeny.reports.token_plane import fig_token_susceptibility, has_plane
from ontogeny.reports.trajectory_plane import fig_trajectory_pca
from ontogeny.reports.verdict import summary, verdict

_LINK = re.compile(r'((?:href|src)="https?)://')
_BEHAVIOUR = {"ngram_cross_entropy", "icl_score", "repeated_gain", "loss_by_position", "test_loss"}


def write_page(path: str | Path, content: ReportContent) -> Path:
    """Write the report as one self-contained HTML file and return its path.

    Args:
        path: of the file; folders above it are made.
        content: what to show.

    Raises:
        InvalidArgument: the trajectory has no steps, or dimensions that cannot be told apart (see `core.runs`).
    """
    runs_of(content.trajectory, "content.trajectory")
    if content.trajectory["step"].size == 0:
        found = f"dimensions {dict(content.trajectory.sizes)}"
        raise InvalidArgument("content.trajectory", expected="a Dataset with at least one `step`", found=found)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(_render(content), encoding="utf-8")
    return path


@cache
def _plotly() -> str:
    r"""plotly.js without links that read like addresses the page fetches: in a string of JavaScript `\/` is `/`.

    They are the credits of maps, which no figure here draws.
    """
    return _LINK.sub(r"\1:\\/\\/", get_plotlyjs())


@cache
def _environment() -> Environment:
    """Kept, since it keeps its templates once they are compiled."""
    return Environment(
        loader=PackageLoader("ontogeny.reports"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )


def _render(content: ReportContent) -> str:
    assets = files("ontogeny.reports") / "templates"
    names = ("page.css", "figures.js", "attention.js", "controls.js")
    content = replace(content, trajectory=_measured(content.trajectory))
    trajectory, stages = content.trajectory, content.stages
    shown, omitted = listed_estimates(trajectory)
    symbols, settings = settings_rows(trajectory)
    table, runs = estimates(trajectory), runs_of(trajectory)
    return (
        _environment()
        .get_template("page.html.j2")
        .render(
            content=content,
            summary=summary(trajectory),
            verdict=verdict(trajectory, stages, content.claims, content.unstaged, content.refined, content.relative),
            figures={name: _json(figures) for name, figures in _figures(content).items()},
            stages=[] if stages is None else stage_rows(stages),
            boundaries=[] if stages is None else boundary_rows(stages),
            excluded="" if stages is None else excluded_sentence(stages),
            claims=claim_rows(content.claims),
            untested=untested_sentences(content.claims),
            run_title=_run_title(trajectory) if len(runs) > 1 else "",
            staged_runs=len(stages_by_run(stages)),
            unstaged=[] if stages is None else unstaged_sentences(stages),
            runs_sentences=runs_sentences(trajectory),
            quantity="LLC" if stages is None else staged_quantity(stages),
            apart=has_complexity(trajectory),
            refined_apart=content.refined is not None and has_complexity(content.refined),
            withheld=bool(table.withheld.notna().any()),
            gradients=bool(table.gradients.notna().any()),
            notes=_notes(content),
            attention=None if content.snippet is None else _json(attention_view(content.snippet)),
            estimates=diagnostics_rows(shown),
            advice=advice_rows(shown),
            omitted=omitted,
            regressions=_regressions(content),
            signature_rows=signature_rows(content.signatures),
            signature_sentences=signature_sentences(content.signatures),
            symbols=symbols,
            settings=settings,
            plotly=Markup(_plotly()),
            assets={name: Markup((assets / name).read_text(encoding="utf-8")) for name in names},
        )
    )


def _figures(content: ReportContent) -> dict[str, list[dict[str, Any]]]:
    """Every figure that there are data for, by panel: a list of choices, each with a label."""
    trajectory, stages = content.trajectory, content.stages
    table = estimates(trajectory)
    figures: dict[str, list[dict[str, Any]]] = {}
    if "loss" in trajectory or len(table):
        figures["loss-llc"] = [_choice("", fig_loss_and_llc(trajectory, stages))]
    if stages is not None and "slope" in stages:
        figures["slope"] = [_choice("", fig_slope(stages))]
    if table.groupby(["component", "dataset"]).ngroups > 1:
        figures["refined"] = [_choice("", fig_refined_llc(trajectory, stages))]
    several_losses = "loss" in trajectory and trajectory.sizes.get("dataset", 0) > 1
    if several_losses or _BEHAVIOUR & set(trajectory.data_vars):
        figures["behaviour"] = [_choice("", fig_behaviour(trajectory, stages))]
    if "head_score" in trajectory:
        figures["heads"] = _by_run(lambda run, own: fig_head_scores(run, content.controls, own), trajectory, stages)
    if content.pca is not None:
        figures["trajectory"] = [_choice("", fig_trajectory_pca(content.pca, stages))]
    figures |= _belief_figures(content) | _component_figures(content)
    if content.choice is not None:
        figures["choice"] = [_choice("", fig_choice(content.choice))]
    if traces := _traces(runs_of(trajectory)):
        figures["traces"] = traces
    return figures


def _by_run(
    draw: Callable[[xr.Dataset, xr.Dataset | None], go.Figure], trajectory: xr.Dataset, stages: xr.Dataset | None
) -> list[dict[str, Any]]:
    """A figure that shows one run, as a choice for each."""
    own = stages_by_run(stages)
    runs = {label: run for label, run in runs_of(trajectory).items() if run.sizes["step"]}
    return [
        _choice(label if len(runs) > 1 else "", draw(run, own.get(label, own.get("")))) for label, run in runs.items()
    ]


def _traces(runs: dict[str, xr.Dataset]) -> list[dict[str, Any]]:
    count = max(TRACES_SHOWN // len(runs), 2)
    return [
        _choice(
            f"{label}, step {step_text(step)}" if len(runs) > 1 else f"step {step_text(step)}", fig_traces(run, step)
        )
        for label, run in runs.items()
        for step in trace_steps(run, count)
    ]


def _run_title(trajectory: xr.Dataset) -> str:
    """What a column of runs is called."""
    return str(run_dimension(trajectory)).replace("_", " ").capitalize()


def _measured(trajectory: xr.Dataset) -> xr.Dataset:
    """The trajectory without variables that hold no value at all. Coefficients stay: their outcomes say why."""
    empty = [
        name
        for name, values in trajectory.data_vars.items()
        if not str(name).startswith("llc") and values.dtype.kind == "f" and not bool(values.notnull().any())
    ]
    return trajectory.drop_vars(empty)


def _notes(content: ReportContent) -> dict[str, list[str]]:
    """By section, the sentences on how many of its estimates converged and why some are negative."""
    table = estimates(content.trajectory)
    tables = {"loss-llc": main_estimates(table), "refined": table}
    tables |= {"components": estimates(content.refined)} if content.refined is not None else {}
    tables |= {"relative": estimates(content.relative)} if content.relative is not None else {}
    notes = {name: [converged_sentence(each), negative_sentence(each)] for name, each in tables.items()}
    return {name: [sentence for sentence in sentences if sentence] for name, sentences in notes.items()}


def _belief_figures(content: ReportContent) -> dict[str, list[dict[str, Any]]]:
    trajectory, stages = content.trajectory, content.stages
    figures: dict[str, list[dict[str, Any]]] = {}
    if content.picture is not None:
        figures["simplex"] = [_choice("", fig_simplex(content.picture))]
    if "belief_r2" in trajectory:
        figures["belief-r2"] = _by_run(fig_belief_r2, trajectory, stages)
    if content.beliefs:
        figures["rivals"] = [_choice(network, fig_rivals(found)) for network, found in content.beliefs.items()]
        figures["belief-lengths"] = [_choice("", fig_belief_lengths(content.beliefs))]
    if {"loss_by_length", "optimal_loss"} <= set(trajectory.data_vars):
        figures["context-loss"] = _by_run(fig_context_loss, trajectory, stages)
    if content.presentation is not None:
        figures["presentation"] = [_choice("", fig_presentation(content.presentation))]
    return figures


def _component_figures(content: ReportContent) -> dict[str, list[dict[str, Any]]]:
    refined, relative, answers = content.refined, content.relative, content.susceptibility
    signatures, stages = content.signatures, content.stages
    figures: dict[str, list[dict[str, Any]]] = {}
    if refined is not None:
        figures["component-map"] = [
            _choice(f"step {step_text(step)}", fig_component_map(refined, step)) for step in map_steps(refined)
        ]
        if len(estimates(refined)):
            figures["component-curves"] = [_choice("", fig_component_curves(refined, signatures, stages))]
        figures["data-refinement"] = [
            _choice(f"{first} and {second}", fig_data_refinement(refined, first, second, signatures))
            for first, second in dataset_pairs(refined)
        ]
    if relative is not None and len(estimates(relative)):
        figures["relative"] = [_choice("", fig_relative_llc(relative, stages))]
    if answers is not None and "susceptibility" in answers:
        figures["susceptibility"] = [_choice("", fig_susceptibility(answers))]
    if answers is not None and has_plane(answers):
        figures["tokens"] = [_choice("", fig_token_susceptibility(answers))]
    return {name: choices for name, choices in figures.items() if choices}


def _regressions(content: ReportContent) -> dict[str, Any]:
    """What the page says of the belief regressions in tables and sentences."""
    columns, rows = regression_table(content.beliefs)
    excess = "optimal_loss" in content.trajectory
    return {
        "columns": columns,
        "rows": rows,
        "distances": distance_rows(content.beliefs),
        "linear_in_law": linear_in_law(content.beliefs),
        "steering": steering_sentences(content.beliefs),
        "excess": excess_sentence(content.beliefs, content.trajectory) if excess else "",
    }


def _choice(label: str, figure: go.Figure) -> dict[str, Any]:
    return {"label": label, "figure": json.loads(figure.to_json())}


def _json(value: object) -> Markup:
    """JSON that may stand inside a script element, whatever strings it holds."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)
