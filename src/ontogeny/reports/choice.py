"""The choice of temperature for a training run: results of the pilots at each setting, and the chosen setting."""

import numpy as np
import plotly.graph_objects as go
import xarray as xr

from ontogeny.reports.small_multiples import Curve, axes, draw_curves, set_axes, small_multiples
from ontogeny.reports.style import BLUE, NEUTRAL, StepAxis, along_sequence, step_text
from ontogeny.reports.wording import number

HEIGHT = 230
_DECADES = 2.5  # a shorter axis is also marked at 2 and 5
_NEAR = 1e-6  # relative difference below which two settings are the same


def fig_choice(choice: xr.Dataset) -> go.Figure:
    """Complexity, descent as a share of it, and the rise of the loss, over the settings tried.

    There is one curve per pilot checkpoint, from blue (early) to orange (late). A setting is good if descent is small
    compared with complexity and the loss along the chains rises by much less than training gained. The dotted line is
    the chosen setting, and its trials are the large points. The horizontal axis is whichever of γ and nβ was varied, or
    their ratio if both were. Values that are not finite are left out.

    Args:
        choice: `nbeta`, `localization`, `complexity`, `descent` and `rise` (nats of mean loss) over `pilot` (its
            coordinate: training steps) and `trial`; attributes `nbeta` and `localization` (those chosen) and
            `loss_gain` (nats that training gained). Settings may be over `trial` alone. Without a loss gain, the rise
            is in nats.
    """
    steps = choice.pilot.values if "pilot" in choice.coords else np.arange(choice.sizes["pilot"])
    gain = float(choice.attrs.get("loss_gain", np.nan))
    related = bool(np.isfinite(gain) and gain > 0)
    columns = {
        "Complexity": choice.complexity,
        "Descent / complexity": (choice.descent / choice.complexity).where(choice.complexity != 0),
        "Rise / loss gain" if related else "Rise of the loss (nats)": choice.rise / gain if related else choice.rise,
    }
    settings, name, chosen = _settings(choice)
    figure = small_multiples(list(columns), HEIGHT)
    along = StepAxis.of(np.asarray(steps)).fraction(np.asarray(steps))
    for i, column in enumerate(columns.values()):
        values = column.broadcast_like(choice.complexity).transpose("pilot", "trial").values.astype(float)
        curves = []
        for step, fraction, x, y in zip(steps, along, settings, values, strict=True):
            order = np.argsort(x, kind="stable")
            order = order[np.isfinite(x[order]) & (x[order] > 0) & np.isfinite(y[order])]
            color = along_sequence(float(fraction)) if len(steps) > 1 else BLUE
            curves.append(Curve(f"step {step_text(float(step))}", x[order], y[order], color, hover=False))
        # The reference level: no descent, or a rise as large as the gain if that is in range.
        draw_curves(figure, axes(i), curves, HEIGHT, include=[0.0])
        for pilot, curve in enumerate(curves):
            _draw_trials(figure, axes(i), curve, choice.isel(pilot=pilot), settings[pilot], chosen)
        _mark_chosen(figure, axes(i), chosen)
        set_axes(figure, i, _axis(settings, chosen) | {"title": {"text": name}}, {})
    return figure.update_layout(hovermode="closest")


def _settings(choice: xr.Dataset) -> tuple[np.ndarray, str, float]:
    """The settings (pilot, trial) on the horizontal axis, their name, and the chosen value."""
    nbeta, localization = (
        choice[name].broadcast_like(choice.complexity).transpose("pilot", "trial").values.astype(float)
        for name in ("nbeta", "localization")
    )
    chosen_nbeta, chosen_localization = (float(choice.attrs.get(name, np.nan)) for name in ("nbeta", "localization"))
    if not _varies(localization):
        return nbeta, "nβ", chosen_nbeta
    if not _varies(nbeta):
        return localization, "localization γ", chosen_localization
    if not _varies(localization / nbeta):
        return nbeta, "nβ (γ in proportion)", chosen_nbeta
    return nbeta / localization, "nβ / γ", chosen_nbeta / chosen_localization


def _varies(values: np.ndarray) -> bool:
    finite = values[np.isfinite(values)]
    return bool(finite.size) and not np.allclose(finite, finite[0], rtol=_NEAR, atol=0)


def _axis(settings: np.ndarray, chosen: float) -> dict:
    """A logarithmic axis over all settings, including the chosen one."""
    values = np.append(settings, chosen)
    values = np.log10(values[np.isfinite(values) & (values > 0)])
    low, high = (values.min(), values.max()) if len(values) else (0.0, 1.0)
    room = 0.06 * (high - low) or 0.5
    ends = float(low - room), float(high + room)
    decades = np.arange(np.floor(ends[0]), np.ceil(ends[1]) + 1)
    marks = (1, 2, 5) if ends[1] - ends[0] < _DECADES else (1,)
    ticks = [m * 10.0**d for d in decades for m in marks if ends[0] <= np.log10(m * 10.0**d) <= ends[1]]
    labels = [step_text(tick) for tick in ticks]
    return {"type": "log", "range": list(ends), "tickmode": "array", "tickvals": ticks, "ticktext": labels}


def _draw_trials(
    figure: go.Figure, where: dict[str, str], curve: Curve, pilot: xr.Dataset, settings: np.ndarray, chosen: float
) -> None:
    """Draw a pilot's trials as points, large at the chosen setting. Hover texts show all measurements."""
    told = {}
    for trial, setting in enumerate(settings):
        row = {
            name: float(pilot[name].isel(trial=trial) if "trial" in pilot[name].dims else pilot[name]) for name in _TOLD
        }
        told[setting] = "<br>".join(f"{spoken} {number(row[name])}" for name, spoken in _TOLD.items())
    size = np.where(np.isclose(curve.x, chosen, rtol=_NEAR, atol=0), 12, 6)
    trace = go.Scatter(x=curve.x, y=curve.y, mode="markers", name=curve.name, cliponaxis=False)
    trace.update(marker={"color": curve.color, "size": size, "opacity": 1}, customdata=[told[x] for x in curve.x])
    trace.update(hovertemplate="<b>%{fullData.name}</b><br>%{customdata}<extra></extra>")
    figure.add_trace(trace.update(**where))


def _mark_chosen(figure: go.Figure, where: dict[str, str], chosen: float) -> None:
    if not (np.isfinite(chosen) and chosen > 0):
        return
    line = {"color": NEUTRAL, "width": 1.4, "dash": "dot"}
    ends = {"x0": chosen, "x1": chosen, "xref": where["xaxis"], "y0": 0, "y1": 1, "yref": f"{where['yaxis']} domain"}
    figure.add_shape(type="line", line=line, layer="below", **ends)
    place = {"x": float(np.log10(chosen)), "xref": where["xaxis"], "y": 1, "yref": f"{where['yaxis']} domain"}
    figure.add_annotation(text="chosen", showarrow=False, xanchor="left", yanchor="top", xshift=4, **place)


_TOLD = {
    **{"nbeta": "nβ", "localization": "γ", "complexity": "complexity", "descent": "descent"},
    **{"rise": "rise of the loss (nats)"},
}
