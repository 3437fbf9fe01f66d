"""The report of a user's own trajectory."""

import json
import platform
from pathlib import Path

import torch
import xarray as xr

from ontogeny.core.errors import InvalidArgument
from ontogeny.core.runs import labels_along, runs_of
from ontogeny.development import StageConfig, joint_pca, stages
from ontogeny.measurement.trajectory import choice_of
from ontogeny.reports import Page, summary, trajectory_panels, verdict, write_page


def write_report(
    trajectory: xr.Dataset,
    path: str | Path,
    *,
    title: str = "A training run",
    stage_config: StageConfig | None = None,
    command: str = "",
) -> Path:
    """Find the stages of a trajectory and write its report: one offline HTML file.

    Args:
        trajectory: from `measure`. Panels appear for what it contains. Runs may be joined along one further dimension,
            `xr.concat([t0, t1, t2], dim="seed")`. Each is then staged separately and drawn faint, with the median in
            bold. Dimensions may be selected away, and steps may be in any order.
        path: where to write the page.
        title: its heading.
        stage_config: how stages are found. The default looks for those of the whole network, or of the first component
            if the whole was not measured. A trajectory that cannot be staged, for example because too few estimates are
            usable, is shown without stages and with the reason.
        command: shown as the command that reproduces the page.

    Returns:
        The path.

    Raises:
        InvalidArgument: if stages cannot be found under `stage_config`, or for an unsupported dimension. The message
            says how to select from it.
    """
    runs = runs_of(trajectory)
    facts = {"Runs": ", ".join(runs)} if len(runs) > 1 else {}
    facts |= _of_the_series(trajectory)
    facts |= {"Versions": f"Python {platform.python_version()}, torch {torch.__version__}"}
    found, unstaged = None, ""
    if "llc" in trajectory:
        try:
            found = stages(trajectory, stage_config or StageConfig(component=_component(trajectory)))
        except InvalidArgument as error:
            if stage_config is not None:
                raise
            unstaged = _reason(error)
    pca = None
    outputs = {
        label or "outputs": run["outputs"] for label, run in runs.items() if "outputs" in run and run["outputs"].size
    }
    if sum(run.sizes["step"] for run in outputs.values()) > 3:
        try:
            pca = joint_pca(outputs if len(outputs) > 1 else next(iter(outputs.values())))
        except InvalidArgument as error:
            facts["Trajectory of the outputs"] = f"not drawn: it needs {error.expected}; found {error.found}"
    panels = trajectory_panels(trajectory, stages=found, unstaged=unstaged, pca=pca, choice=choice_of(trajectory))
    page = Page(title, verdict(trajectory, found, (), unstaged), facts, panels, command, summary(trajectory))
    return write_page(path, page)


def _of_the_series(trajectory: xr.Dataset) -> dict[str, str]:
    """What a public series says of itself: the tokens that it saw, and the checkpoints that it lacks."""
    facts = {}
    if "tokens" in trajectory and trajectory["tokens"].ndim == 1:
        steps, tokens = trajectory["step"].values, trajectory["tokens"].values
        ends = [f"{_count(tokens[at])} tokens at step {steps[at]:,}" for at in (steps.argmin(), steps.argmax())]
        facts["Tokens"] = " to ".join(ends)
    if "missing" in trajectory.attrs:
        missing = [f"{int(step):,} ({why})" for step, why in json.loads(trajectory.attrs["missing"]).items()]
        more = f", and {len(missing) - 20} more" if len(missing) > 20 else ""
        facts["Missing checkpoints"] = ", ".join(missing[:20]) + more
    return facts


def _count(tokens: float) -> str:
    for size, word in ((1e12, " trillion"), (1e9, " billion"), (1e6, " million")):
        if tokens >= size:
            return f"{tokens / size:.3g}{word}"
    return f"{tokens:,.0f}"


def _component(trajectory: xr.Dataset) -> str:
    """The whole network if it was measured, else the first component."""
    names = labels_along(trajectory, "component", "all")
    return "all" if "all" in names or not names else names[0]


def _reason(error: InvalidArgument) -> str:
    """Why stages were not looked for, as text for the page."""
    advice = f" {error.instead[0].upper()}{error.instead[1:]}" if error.instead else ""
    return f"Stages were not looked for: they need {error.expected}; found {error.found}.{advice}".replace("`", "")
