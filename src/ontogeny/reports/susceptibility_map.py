"""A map of the susceptibilities of components to datasets."""

import numpy as np
import plotly.graph_objects as go
import xarray as xr

from ontogeny.core.intervals import Z95
from ontogeny.reports.component_groups import ordered
from ontogeny.reports.small_multiples import axes, lengthen, room_below, set_axes, small_multiples
from ontogeny.reports.style import BLUE, NEUTRAL, ORANGE, translucent
from ontogeny.reports.wording import number, plain, shorten, with_error

ROW_HEIGHT = 21
MAX_NAME = 18  # characters of a dataset's name below its column
MAX_COMPONENT = 8  # characters of a component's name left of its row
LETTER = 6.4  # width in pixels of a letter of a dataset's name
SPARE = 20  # pixels below the columns that upright names leave free
ANGLE = 40  # angle of dataset names that do not fit side by side
WIDE, NARROW = 740, 210  # pixels that all columns share on a page and on a phone
STANDARDISED_FROM = 3  # datasets; with two, standardised values are always plus and minus one
# From below a component's mean over datasets to above it; pale in the middle.
AROUND_ZERO = [
    *([0, translucent(BLUE, 0.95)], [0.5, translucent(BLUE, 0.03)]),
    *([0.5, translucent(ORANGE, 0.03)], [1, translucent(ORANGE, 0.95)]),
]


def fig_susceptibility(susceptibility: xr.Dataset) -> go.Figure:
    """Susceptibilities of components (rows) to datasets (columns), each row on its own scale.

    Values of different components differ by an unknown factor. With three or more datasets each row is therefore
    standardised over them; with fewer it is divided by its largest magnitude. Hover texts show the measured value. A
    hollow dot marks a cell whose 95 % interval contains the value of the control without the loss.

    Args:
        susceptibility: with `susceptibility` (component, perturbation), and if recorded `mcse` and, from draws without
            the loss, `susceptibility_noise` (component, perturbation).
    """
    rows = susceptibility.sel(component=ordered(susceptibility.component.values))
    values, errors, noise = (_values(rows, name) for name in ("susceptibility", "mcse", "susceptibility_noise"))
    scaled = row_scaled(values)
    limit = float(np.nanmax(np.abs(scaled), initial=0)) or 1.0
    components, datasets = ([str(name) for name in rows[dim].values] for dim in ("component", "perturbation"))
    standardised = len(datasets) >= STANDARDISED_FROM
    unit = "s.d." if standardised else "of largest"
    hover = [
        [_hover(*told) for told in zip([name] * len(datasets), datasets, *cells, strict=True)]
        for name, *cells in zip(components, values, errors, noise, scaled, strict=True)
    ]
    title = "Susceptibility, standardised over datasets" if standardised else "Susceptibility, by row"
    figure = small_multiples([title], ROW_HEIGHT * len(components))
    cells = go.Heatmap(z=scaled, customdata=hover, colorscale=AROUND_ZERO, zmin=-limit, zmax=limit, xgap=2, ygap=2)
    bar = {"thickness": 9, "outlinewidth": 0, "len": 1, "ypad": 0, "xpad": 12, "nticks": 5, "tickfont": {"size": 11}}
    cells.update(colorbar=bar | {"title": {"text": unit, "font": {"size": 11}}}, name="susceptibility")
    figure.add_trace(cells.update(hovertemplate="%{customdata}<extra></extra>", **axes(0)))
    _mark_noise(figure, np.abs(values - noise) < Z95 * errors)
    _name_cells(figure, components, datasets)
    return figure.update_layout(hovermode="closest")


def row_scaled(values: np.ndarray) -> np.ndarray:
    """Each row standardised over its columns; with fewer than three columns, divided by its largest magnitude."""
    known = np.ma.masked_invalid(values)
    center, scale = np.zeros((len(values), 1)), abs(known).max(axis=1, keepdims=True)
    if values.shape[1] >= STANDARDISED_FROM:
        center, scale = known.mean(axis=1, keepdims=True), known.std(axis=1, keepdims=True)
    return ((known - center) / np.where(scale > 0, scale, 1)).filled(np.nan)


def _values(susceptibility: xr.Dataset, name: str) -> np.ndarray:
    """A variable by component and dataset; NaN where it was not recorded."""
    if name in susceptibility:
        return susceptibility[name].transpose("component", "perturbation").values.astype(float)
    return np.full((susceptibility.sizes["component"], susceptibility.sizes["perturbation"]), np.nan)


def _hover(component: str, dataset: str, value: float, error: float, noise: float, scaled: float) -> str:
    control = f"<br>weights alone {number(noise, 2)}" if np.isfinite(noise) else ""
    told = f"χ = {with_error(value, Z95 * error)}, drawn as {number(scaled, 2)}{control}"
    return f"<b>{plain(component)}</b>, {plain(dataset)}<br>{told}"


def _mark_noise(figure: go.Figure, alike: np.ndarray) -> None:
    """Draw hollow dots in cells indistinguishable from the control."""
    rows, columns = np.nonzero(alike)
    marker = {"symbol": "circle-open", "size": 6, "color": NEUTRAL, "line": {"width": 1.2}}
    dots = go.Scatter(x=columns, y=rows, mode="markers", marker=marker, name="as the weights alone", hoverinfo="skip")
    figure.add_trace(dots.update(**axes(0)))


def _name_cells(figure: go.Figure, components: list[str], datasets: list[str]) -> None:
    """Names of rows and columns; those of columns at an angle where there is no room for them side by side."""
    names = [shorten(name, MAX_NAME) for name in datasets]
    longest = LETTER * max(map(len, names))
    columns = {"tickvals": list(range(len(names))), "ticktext": [plain(name) for name in names]}
    columns |= {"tickangle": 0, "range": [-0.5, len(names) - 0.5], "showgrid": False}
    labels = [plain(shorten(name, MAX_COMPONENT)) for name in components]
    rows = {"tickvals": list(range(len(labels))), "ticktext": labels, "tickfont": {"size": 11}, "showgrid": False}
    set_axes(figure, 0, columns, rows | {"range": [len(labels) - 0.5, -0.5]})
    room = round(longest * np.sin(np.radians(ANGLE)))
    if longest > WIDE / len(names):
        figure.update_layout(xaxis={"tickangle": ANGLE})
        lengthen(figure, room - SPARE)
    elif longest > NARROW / len(names):
        narrow = figure.layout.meta["narrow"]
        changes = {"height": narrow["height"] + room - SPARE, "margin.b": room_below(figure) + room - SPARE}
        figure.layout.meta = {**figure.layout.meta, "narrow": {**narrow, "xaxis.tickangle": ANGLE, **changes}}
