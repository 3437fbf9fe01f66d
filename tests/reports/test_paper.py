"""Figures of papers: the same data, in vectors, in the proceedings' sizes and fonts."""

from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest
from tests.made_up_run import make_trajectory

from ontogeny.core.errors import InvalidArgument
from ontogeny.reports import fig_loss_and_llc, fig_traces
from ontogeny.reports.paper import save_for_paper, to_matplotlib
from ontogeny.reports.small_multiples import axes, small_multiples

pytest.importorskip("matplotlib")
pytestmark = pytest.mark.filterwarnings("ignore:findfont")


def test_lines_keep_their_numbers_scales_and_titles() -> None:
    figure = go.Figure(go.Scatter(x=[1, 10, 100], y=[1.0, 2.0, 3.0], line={"color": "#112233"}))
    figure.update_xaxes(type="log", title="step <b>t</b>", range=[0, 2])
    drawn = to_matplotlib(figure, width="icml-column")
    (panel,) = drawn.axes
    (line,) = panel.lines
    np.testing.assert_array_equal(line.get_xydata(), [[1, 1], [10, 2], [100, 3]])
    assert (panel.get_xscale(), panel.get_xlabel(), panel.get_xlim()) == ("log", "step t", (1, 100))
    assert drawn.get_size_inches()[0] == 3.25


def test_our_figures_become_vector_files_with_text(tmp_path: Path) -> None:
    made: Any = make_trajectory()
    for name, figure in {"curve": fig_loss_and_llc(made), "traces": fig_traces(made, made["step"].values[-1])}.items():
        figure.update_xaxes(title="My title")  # edited first
        svg = save_for_paper(figure, tmp_path / f"{name}.svg").read_text(encoding="utf-8")
        assert "My title" in svg
        assert 'width="396pt"' in svg  # 5.5 inches
        pdf = save_for_paper(figure, tmp_path / f"{name}.pdf").read_bytes()
        assert pdf.startswith(b"%PDF")
        assert b"/Type3" not in pdf
        assert save_for_paper(figure, tmp_path / "again.pdf").read_bytes() == pdf


def test_titles_of_panels_stand_over_their_panels() -> None:
    titles = ["Descent / complexity", "Second", "Third", "Fourth"]
    figure = small_multiples(titles)
    for panel in range(len(titles)):
        figure.add_trace(go.Scatter(x=[0, 1], y=[0, 1], **axes(panel)))
    drawn = to_matplotlib(figure)
    drawn.draw_without_rendering()
    notes = [note for panel in drawn.axes for note in panel.texts]
    assert [note.get_text() for note in notes] == titles
    for note, panel in zip(notes, drawn.axes, strict=True):
        written, below = note.get_window_extent(), panel.get_window_extent()
        assert written.x0 >= 0
        assert written.y1 <= drawn.bbox.y1
        assert 0 < written.y0 - below.y1 < 10
        assert written.x0 < below.x0 < written.x1


def test_what_cannot_be_drawn_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="scatter3d"):
        to_matplotlib(go.Figure(go.Scatter3d(x=[0], y=[0], z=[0])))
    with pytest.raises(InvalidArgument, match="width"):
        to_matplotlib(go.Figure(), width="nature")
