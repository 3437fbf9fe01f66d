"""A user's own trajectory as a report."""

import platform
from pathlib import Path

import torch
import xarray as xr

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
        stage_config: how stages are found.
        command: shown as the way to reproduce it.

    Returns:
        The path.
    """
    content = ReportContent(
        title=title,
        trajectory=trajectory,
        stages=stages(trajectory, stage_config or StageConfig()) if "llc" in trajectory else None,
        pca=joint_pca(trajectory["outputs"]) if "outputs" in trajectory else None,
        facts={"Versions": f"Python {platform.python_version()}, torch {torch.__version__}"},
        command=command,
    )
    return write_page(Path(path), content)
