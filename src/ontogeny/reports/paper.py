"""Figures for papers: a plotly figure redrawn by matplotlib, in the sizes and fonts of the field's proceedings."""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import plotly.graph_objects as go

from ontogeny.core.errors import InvalidArgument
from ontogeny.reports.paper_traces import DASHES, INK, draw_trace, plain_text, to_color

# Widths of text in inches, from the style files of the proceedings.
WIDTHS = {"neurips": 5.5, "iclr": 5.5, "icml-column": 3.25, "icml-page": 6.75}
_SERIF = ("Times New Roman", "Times", "Nimbus Roman", "Liberation Serif", "STIXGeneral")
_STYLE = {
    "font.family": "serif",
    "font.serif": list(_SERIF),
    "mathtext.fontset": "stix",
    "font.size": 8,
    "axes.labelsize": 8,
    "axes.linewidth": 0.5,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "pdf.fonttype": 42,  # text stays text, which submission systems ask for
    "svg.fonttype": "none",
    "svg.hashsalt": "ontogeny",
}
_PIXELS = 96.0  # of a plotly figure in an inch


def save_for_paper(
    figure: go.Figure, path: str | Path, *, width: str | float = "neurips", height: float | None = None
) -> Path:
    """Write a figure as vector graphics, PDF or SVG by the name of the file, for a paper.

    Args:
        figure: from any `fig_…` function, edited or not.
        path: where to; the suffix decides the format.
        width: "neurips", "iclr" (5.5 inches), "icml-column" (3.25), "icml-page" (6.75), or inches.
        height: inches; default in the proportions of the figure, or of the golden section.

    Returns:
        The path. Equal figures give equal files.

    Raises:
        InvalidArgument: as `to_matplotlib`.
    """
    place = Path(path)
    place.parent.mkdir(parents=True, exist_ok=True)
    dates = {"CreationDate": None} if place.suffix == ".pdf" else {"Date": None} if place.suffix == ".svg" else None
    with _styled():
        to_matplotlib(figure, width=width, height=height).savefig(place, metadata=dates)
    return place


def to_matplotlib(figure: go.Figure, *, width: str | float = "neurips", height: float | None = None) -> Any:
    """Redraw a plotly figure as a `matplotlib.figure.Figure`, to be edited further and saved.

    Lines, markers, filled bands, heat maps, reference lines, shaded ranges and annotations are drawn, on linear and
    logarithmic axes and in panels. Hover texts and buttons have no place on paper. Needs `ontogeny[paper]`.

    Args:
        figure, width, height: as for `save_for_paper`.

    Raises:
        InvalidArgument: for an unknown width, and traces of other kinds, such as those in three dimensions.
    """
    if isinstance(width, str) and width not in WIDTHS:
        raise InvalidArgument(
            "width", expected=f"{', '.join(WIDTHS)}, or inches", found=repr(width), instead='width="neurips"'
        )
    inches = WIDTHS[width] if isinstance(width, str) else float(width)
    layout = figure.to_plotly_json()["layout"] | {"template": None}
    if height is None:
        own = layout.get("height"), layout.get("width")
        height = inches * (own[0] / own[1] if own[0] and own[1] else 0.618)
    with _styled():
        from matplotlib.figure import Figure

        drawn = Figure(figsize=(inches, height))
        sheet = _sheet(figure, inches, height)
        panels = _panels(drawn, figure, sheet)
        for trace in figure.data:
            draw_trace(panels[_address(trace.xaxis, trace.yaxis)], trace, figure)
        for (x, y), axes in panels.items():
            _dress(axes, figure.layout[_axis("x", x)], figure.layout[_axis("y", y)])
        _mark(drawn, panels, figure, sheet)
    return drawn


@contextmanager
def _styled() -> Generator[None]:
    try:
        import matplotlib as mpl
    except ImportError as error:
        raise InvalidArgument(
            "figure", expected="the library matplotlib", found="none", instead='pip install "ontogeny[paper]"'
        ) from error
    with mpl.rc_context(_STYLE):
        yield


def _address(x: str | None, y: str | None) -> tuple[str, str]:
    return (x or "x")[1:], (y or "y")[1:]


def _axis(letter: str, number: str) -> str:
    return f"{letter}axis{number}"


def _sheet(figure: go.Figure, width: float, height: float) -> tuple[float, float, float, float]:
    """The part inside the margins, which plotly calls paper: left, bottom, right and top as shares of the figure."""
    margins = figure.layout.margin.r, figure.layout.template.layout.margin.r
    beside = 0.6 * next(filter(None, margins), 0) / _PIXELS  # where curves bear their names
    return 0.5 / width, 0.42 / height, 1 - max(0.1, beside) / width, 1 - 0.2 / height


def _panels(drawn: Any, figure: go.Figure, sheet: tuple[float, float, float, float]) -> dict[tuple[str, str], Any]:
    """An axes for each pair of axes that a trace is drawn on, in its part of the sheet."""
    left, bottom, right, top = sheet
    found: dict[tuple[str, str], Any] = {}
    for trace in figure.data:
        if trace.type not in ("scatter", "scattergl", "heatmap"):
            raise InvalidArgument("figure", expected="lines, markers and heat maps", found=f"a trace {trace.type}")
        address = _address(trace.xaxis, trace.yaxis)
        if address in found:
            continue
        across = figure.layout[_axis("x", address[0])].domain or (0, 1)
        up = figure.layout[_axis("y", address[1])].domain or (0, 1)
        corner = left + across[0] * (right - left), bottom + up[0] * (top - bottom)
        size = (across[1] - across[0]) * (right - left), (up[1] - up[0]) * (top - bottom)
        found[address] = drawn.add_axes((*corner, *size))
    return found


def _dress(axes: Any, across: Any, up: Any) -> None:
    """Scales, ranges, ticks and titles of one panel."""
    for axis, scale, limit, ticks, label in (
        (across, axes.set_xscale, axes.set_xlim, axes.set_xticks, axes.set_xlabel),
        (up, axes.set_yscale, axes.set_ylim, axes.set_yticks, axes.set_ylabel),
    ):
        if axis.type == "log":
            scale("log")
        if axis.range is not None:
            limit(*(10.0**end if axis.type == "log" else end for end in axis.range))
        if axis.tickvals is not None and axis.showticklabels is not False:
            ticks(list(axis.tickvals), [plain_text(each) for each in axis.ticktext or axis.tickvals])
            ticks([], minor=True)
        if axis.title.text:
            label(plain_text(axis.title.text))
    axes.tick_params(length=2, width=0.5, labelbottom=across.showticklabels is not False)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(linewidth=0.3, alpha=0.4)
    axes.set_axisbelow(True)


def _mark(
    drawn: Any, panels: Mapping[tuple[str, str], Any], figure: go.Figure, sheet: tuple[float, float, float, float]
) -> None:
    """Shapes and annotations, at data or at shares of a panel or of the sheet."""
    from matplotlib.transforms import Bbox, BboxTransformTo, TransformedBbox

    whole = BboxTransformTo(TransformedBbox(Bbox.from_extents(*sheet), drawn.transFigure))
    for shape in figure.layout.shapes:
        axes, transform, log = _place(whole, panels, figure, shape.xref, shape.yref)
        x, y = ([getattr(shape, letter + end) for end in "01"] for letter in "xy")
        if shape.type == "line":
            style = {
                "color": to_color(shape.line.color or INK),
                "linestyle": DASHES.get(shape.line.dash or "", "-"),
            }
            axes.plot(x, y, transform=transform, linewidth=0.5 * (shape.line.width or 1), scalex=False, **style)
        elif shape.type == "rect":
            paint = {"color": to_color(shape.fillcolor or INK), "alpha": shape.opacity, "linewidth": 0}
            axes.fill([x[0], x[1], x[1], x[0]], [y[0], y[0], y[1], y[1]], transform=transform, zorder=0, **paint)
    for note in figure.layout.annotations:
        axes, transform, log = _place(whole, panels, figure, note.xref, note.yref)
        at = [10.0**value if is_log else value for value, is_log in zip((note.x, note.y), log, strict=True)]
        shift = [0.6 * 72 / _PIXELS * (each or 0) for each in (note.xshift, note.yshift)]
        sides = {"ha": note.xanchor if note.xanchor in ("left", "right") else "center"}
        sides |= {"va": note.yanchor if note.yanchor in ("top", "bottom") else "center"}
        axes.annotate(
            plain_text(note.text or ""), at, shift, xycoords=transform, textcoords="offset points", fontsize=7,
            color=to_color(note.font.color or INK), annotation_clip=False, **sides,
        )  # fmt: skip


def _place(
    whole: Any, panels: Mapping[tuple[str, str], Any], figure: go.Figure, x: str | None, y: str | None
) -> tuple[Any, Any, tuple[bool, bool]]:
    """The panel that a mark belongs to, the transform of its places, and which of them are logarithms."""
    from matplotlib.transforms import blended_transform_factory

    refs = (x or "paper"), (y or "paper")
    named = [None if ref == "paper" else ref.split()[0][1:] for ref in refs]
    fits = {address: [own == asked for own, asked in zip(address, named, strict=True)] for address in panels}
    best = max(fits, key=lambda address: (sum(fits[address]), fits[address][1]))
    axes = panels[best]
    parts, log = [], []
    for ref, letter in zip(refs, "xy", strict=True):
        data = ref.isalnum() and ref != "paper"
        parts.append(axes.transData if data else whole if ref == "paper" else axes.transAxes)
        log.append(data and figure.layout[_axis(letter, ref[1:])].type == "log")
    return axes, blended_transform_factory(*parts), (log[0], log[1])
