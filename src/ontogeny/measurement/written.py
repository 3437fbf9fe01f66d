"""A user's own trajectory as a report."""

import platform
from pathlib import Path

import torch
import xarray as xr

from ontogeny.core.errors import InvalidArgument
from ontogeny.development import StageConfig, joint_pca, stages
from ontogeny.reports import ReportContent, write_page


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
        trajectory: from `measure`; panels appear for what it holds.
        path: where the page goes.
        title: its heading.
        stage_config: how stages are found. Without it, a trajectory whose stages cannot be looked for (fewer than
            eight usable estimates, say) is shown without them, with the reason.
        command: shown as the way to reproduce it.

    Returns:
        The path.

    Raises:
        InvalidArgument: if stages cannot be found as `stage_config` says.
    """
    facts = {"Versions": f"Python {platform.python_version()}, torch {torch.__version__}"}
    try:
        found = stages(trajectory, stage_config or StageConfig()) if "llc" in trajectory else None
    except InvalidArgument as error:
        if stage_config is not None:
            raise
        found, facts["Stages"] = None, f"not looked for: {error}"  # what was measured is shown all the same
    content = ReportContent(
        title=title,
        trajectory=trajectory,
        stages=found,
        pca=joint_pca(trajectory["outputs"]) if "outputs" in trajectory and trajectory.sizes["step"] > 3 else None,
        facts=facts,
        command=command,
    )
    return write_page(Path(path), content)
