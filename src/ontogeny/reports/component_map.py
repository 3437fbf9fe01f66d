"""A map of a network's heads by layer, with the complexity of each at one checkpoint."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import xarray as xr

from ontogeny.core.errors import InvalidArgument
from ontogeny.core.runs import one_run
from ontogeny.reports.component_groups import head_of
from ontogeny.reports.estimates import estimates
from ontogeny.reports.llc_panel import judged
from ontogeny.reports.small_multiples import axes, set_axes, small_multiples
from ontogeny.reports.style import BLUE, translucent
from ontogeny.reports.wording import number, plain, shorten, steps

STEPS_SHOWN = 6
ROW_HEIGHT = 56
MAX_TITLE = 18  # characters of a dataset's name that fit in a title on a phone
WIDE, NARROW = 820, 250  # pixels that all heads of a layer share on a page and on a phone
LARGEST_LETTER, SMALLEST_LETTER = 12.5, 7.0
LETTERS = 4  # of a value in a cell, as in 12.3
# Light enough at both ends for the page's text, dark or light, to be readable.
COMPLEXITY = [[0, translucent(BLUE, 0.05)], [1, translucent(BLUE, 0.75)]]


def fig_component_map(refined: xr.Dataset, step: float | int) -> go.Figure:
    """Refined learning coefficients of all heads at a checkpoint: one cell per head, one row per layer.

    Colours cover the range of all checkpoints, so that their maps are comparable. A hollow dot is an estimate that did
    not converge, and a cross one that is not a number. An empty cell was not measured.

    Args:
        refined: of one run, with `llc` (step, component, dataset) and its errors; the first dataset is shown.
        step: one of the steps at which a head was measured.
    """
    table = _heads(one_run(refined, "refined"))
    if step not in set(table.step):
        known = ", ".join(f"{each:g}" for each in table.step.unique())
        raise InvalidArgument("step", expected=f"a step at which heads were measured ({known})", found=str(step))
    layers, numbers = (sorted({int(value) for value in table[name]}) for name in ("layer", "head"))
    shown = table[table.step == step]
    values = np.full((len(layers), len(numbers)), np.nan)
    hover = np.full(values.shape, "not measured", dtype=object)
    dataset = shorten(shown.dataset.iloc[0], MAX_TITLE)
    where = f" on {dataset}" if dataset else ""
    figure = small_multiples([f"Heads{where}, step {steps(step)}"], ROW_HEIGHT * len(layers))
    for row in shown.itertuples():
        place = layers.index(row.layer), numbers.index(row.head)
        values[place] = row.shown
        hover[place] = f"{plain(row.component)}: {number(row.shown)} {judged(row)}"
    low, high = _limits(table)
    cells = go.Heatmap(z=values, customdata=hover, colorscale=COMPLEXITY, zmin=low, zmax=high, showscale=False)
    cells.update(xgap=3, ygap=3, hovertemplate="%{customdata}<extra></extra>", **axes(0))
    figure.add_trace(cells)
    _write_values(figure, shown, layers, numbers)
    columns = {"tickvals": list(range(len(numbers))), "ticktext": [str(k) for k in numbers], "tickangle": 0}
    rows = {"tickvals": list(range(len(layers))), "ticktext": [f"layer {k}" for k in layers], "showgrid": False}
    columns |= {"title": {"text": "head"}, "showgrid": False}
    set_axes(figure, 0, columns, rows | {"range": [len(layers) - 0.5, -0.5]})
    return figure.update_layout(hovermode="closest", margin={"r": 8})


def map_steps(refined: xr.Dataset) -> list[int | float]:
    """The checkpoints whose maps a report shows: evenly spaced over those at which heads were measured."""
    measured = sorted(set(_heads(refined).step.tolist()))
    chosen = np.unique(np.linspace(0, len(measured) - 1, STEPS_SHOWN).round().astype(int)) if measured else []
    return [measured[k] for k in chosen]


def _heads(refined: xr.Dataset) -> pd.DataFrame:
    """The estimates of heads on the first dataset, with their `layer` and `head`."""
    table = estimates(refined)
    table = table[table.component.map(head_of).notna()]
    table = table[table.dataset == table.dataset.iloc[0]] if len(table) else table
    places = [head_of(name) or (0, 0) for name in table.component]
    return table.assign(layer=[layer for layer, _ in places], head=[head for _, head in places])


def _limits(table: pd.DataFrame) -> tuple[float, float]:
    """The range of the colours: that of the converged estimates, or of all finite ones if none converged."""
    finite = table[np.isfinite(table.shown)]
    sound = finite[finite.converged]
    values = (sound if len(sound) else finite).shown
    return (float(values.min()), float(values.max())) if len(values) else (0.0, 1.0)


def _write_values(figure: go.Figure, shown: pd.DataFrame, layers: list[int], numbers: list[int]) -> None:
    """Write each value into its cell, in type that fits on a page, and smaller on a phone."""
    sizes = [_letter(width / len(numbers)) for width in (WIDE, NARROW)]
    narrow = dict(figure.layout.meta["narrow"])
    notes = []
    for row in shown.itertuples():
        text = f"<b>{_short(row.shown)}</b>" if np.isfinite(row.shown) else "<b>×</b>"
        place = {"x": numbers.index(row.head), "y": layers.index(row.layer), "xref": "x", "yref": "y"}
        text += "<br>○" if row.hollow and np.isfinite(row.shown) else ""
        narrow[f"annotations[{len(figure.layout.annotations) + len(notes)}].font.size"] = sizes[1]
        notes.append({"text": text, "showarrow": False, "font": {"size": sizes[0]}, **place})
    figure.layout.annotations += tuple(go.layout.Annotation(note) for note in notes)
    figure.layout.meta = {**figure.layout.meta, "narrow": narrow}


def _letter(width: float) -> float:
    return round(min(max(width / (0.6 * (LETTERS + 0.5)), SMALLEST_LETTER), LARGEST_LETTER), 1)


def _short(value: float) -> str:
    return number(value, 3 if abs(value) >= 1 else 2)
