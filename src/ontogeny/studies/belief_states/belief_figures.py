"""What activations tell of the exact beliefs along training, by site, and beside every rival and control."""

from collections.abc import Mapping

import numpy as np
import plotly.graph_objects as go
import xarray as xr

from ontogeny.core.runs import one_run
from ontogeny.reports.small_multiples import Curve, axes, draw_curves, padded_range, set_axes, small_multiples, thinned
from ontogeny.reports.stage_marks import mark_boundaries
from ontogeny.reports.style import NEUTRAL, StepAxis, along_sequence, color_key, step_text, translucent
from ontogeny.reports.wording import counted, plain
from ontogeny.studies.belief_states.belief_pictures import site_colors

ROW_HEIGHT, LABEL_WIDTH = 22, 132  # of a predictor's row and of its name, in pixels
LENGTHS_DRAWN, CHECKPOINTS_DRAWN = 5, 5
LEAST_ROOM = 0.02  # nats above the optimum in which checkpoints are drawn beside it, or its own fall if that is more
LEAST_EXCESS = 1e-6  # nats; smaller ones lie on this line
BEST_R2 = 4  # nines after the point; R² is drawn up to there, and down to -1
LOWEST_R2 = -1.0
_PREDICTORS = {
    "activations": "activations",
    "untrained": "untrained network",
    "random_projection": "random projection",
    "next_token_law": "next-token law",
}


def fig_belief_r2(trajectory: xr.Dataset, stages: xr.Dataset | None = None) -> go.Figure:
    """Held-out R² of the beliefs along training, and of distances with those of beliefs and of next-token laws.

    Args:
        trajectory: of one run, with `belief_r2` (step, site) and, where recorded, `belief_distance_r2` (step, site,
            against).
        stages: whose boundaries are drawn behind.
    """
    trajectory = one_run(trajectory)
    axis, colors = StepAxis.of(trajectory.step.values), site_colors(trajectory.site.values)
    tables, include = {"R² of the exact beliefs, held out": trajectory.belief_r2}, [np.ones(1)]
    if "belief_distance_r2" in trajectory:
        for against in trajectory.against.values:
            distances = trajectory.belief_distance_r2.sel(against=against)
            tables[f"R² of distances between {against}"] = distances
            include.append(trajectory.belief_distance_r2.values.ravel())  # one range, so that they can be compared
    figure = small_multiples(list(tables))
    keep = thinned(trajectory.sizes["step"], len(tables) * len(colors))
    x = axis.place(trajectory.step.values[keep])
    for i, table in enumerate(tables.values()):
        values = table.transpose("site", "step").values[:, keep]
        curves = [Curve(name, x, y, color) for (name, color), y in zip(colors.items(), values, strict=True)]
        draw_curves(figure, axes(i), curves, include=include[i])
        set_axes(figure, i, axis.layout(), {"title": {"text": "R²"}})
        mark_boundaries(figure, axes(i), stages, axis)
    return figure


def fig_context_loss(trajectory: xr.Dataset, stages: xr.Dataset | None = None) -> go.Figure:
    """Loss after contexts of each length beside the optimum, and the excess over it along training.

    Args:
        trajectory: of one run, with `loss_by_length` (step, length) and `optimal_loss` (length), in nats.
        stages: whose boundaries are drawn behind the excess.
    """
    trajectory = one_run(trajectory)
    axis, losses = StepAxis.of(trajectory.step.values), trajectory.loss_by_length.transpose("step", "length")
    lengths, optimum = losses.length.values.astype(float), trajectory.optimal_loss.values
    near = np.flatnonzero(losses.values.max(axis=1) < optimum.max() + max(float(np.ptp(optimum)), LEAST_ROOM))
    shown = near if len(near) else np.array([losses.sizes["step"] - 1])
    fractions = axis.fraction(losses.step.values)
    wanted = np.linspace(fractions[shown[0]], fractions[shown[-1]], CHECKPOINTS_DRAWN)
    figure = small_multiples(["Loss by length of the context", "Excess over the optimum"])
    curves = [
        Curve(f"step {step_text(int(losses.step.values[k]))}", lengths, losses.values[k], along_sequence(fractions[k]))
        for k in np.unique([shown[np.abs(fractions[shown] - fraction).argmin()] for fraction in wanted])
    ]
    curves.append(Curve("optimum", lengths, optimum, NEUTRAL, width=2.4, dash="dash"))
    draw_curves(figure, axes(0), curves)
    set_axes(figure, 0, {"title": {"text": "tokens in the context"}}, {"title": {"text": "nats"}})
    _draw_excess(figure, losses - trajectory.optimal_loss, axis)
    mark_boundaries(figure, axes(1), stages, axis)
    return figure


def fig_rivals(regressions: xr.Dataset) -> go.Figure:
    """R² of the beliefs of one network at each site beside every rival and control.

    The axis of R² is spaced by what is left unexplained: from 0.9 to 0.99 is as far as from 0.99 to 0.999. What the
    next-token law cannot see of the belief has its own panel, where there is such a part.

    Args:
        regressions: over `site`: `r2` (site, predictor, target) and `shuffled_mean`.
    """
    colors = site_colors(regressions.site.values)
    tables = {"R² of the beliefs, held out": _by_predictor(regressions, "belief")}
    if np.isfinite(regressions.r2.sel(target="hidden", predictor="activations")).any():
        tables["R² of what the next-token law cannot see"] = _by_predictor(regressions, "hidden")
    figure = small_multiples(list(tables), ROW_HEIGHT * max(len(rows) for rows in tables.values()))
    for i, rows in enumerate(tables.values()):
        _draw_rivals(figure, i, rows, colors)
    for title in figure.layout.annotations:
        title.xshift = 8 - LABEL_WIDTH
    return figure.update_layout(hovermode="closest", margin={"l": LABEL_WIDTH, "r": 24, "b": 64})


def fig_belief_lengths(beliefs: Mapping[str, xr.Dataset]) -> go.Figure:
    """R² of the beliefs after contexts of each length, about their own mean, one panel a network.

    Args:
        beliefs: for each network `r2_by_length` (site, length).
    """
    figure = small_multiples([f"R² by length of the context: {network}" for network in beliefs])
    for i, found in enumerate(beliefs.values()):
        table, colors = found.r2_by_length.transpose("site", "length"), site_colors(found.site.values)
        x = table.length.values.astype(float)
        curves = [Curve(name, x, y, color) for (name, color), y in zip(colors.items(), table.values, strict=True)]
        draw_curves(figure, axes(i), curves)
        limits = list(padded_range(np.append(np.maximum(table.values, LOWEST_R2), 1)))
        set_axes(figure, i, {"title": {"text": "tokens in the context"}}, {"range": limits, "title": {"text": "R²"}})
    return figure


def predictor_title(name: str) -> str:
    """What a predictor of a belief regression is called: `last_3` is `last 3 tokens`."""
    if name.startswith("last_"):
        count = int(name.removeprefix("last_"))
        return "last token" if count == 1 else f"last {count} tokens"
    return _PREDICTORS.get(name, name.replace("_", " "))


def _draw_excess(figure: go.Figure, excess: xr.DataArray, axis: StepAxis) -> None:
    """Excess loss over steps for a few lengths and on average, its decimal logarithm on a linear axis."""
    keep = thinned(excess.sizes["step"], LENGTHS_DRAWN + 1)
    chosen = np.unique(np.linspace(0, excess.sizes["length"] - 1, LENGTHS_DRAWN).round().astype(int))
    x, curves, values = axis.place(excess.step.values[keep]), [], []
    for k in chosen:
        values.append(excess.values[keep, k])
        color = along_sequence(k / max(excess.sizes["length"] - 1, 1))
        curves.append(Curve(counted(int(excess.length.values[k]), "token"), x, _log(values[-1]), color))
    values.append(excess.values[keep].mean(1))
    curves.append(Curve("mean", x, _log(values[-1]), NEUTRAL, width=2.6, dash="dash"))
    first = len(figure.data)
    draw_curves(figure, axes(1), curves)
    for trace, y in zip(figure.data[first:], values, strict=True):
        trace.update(customdata=y, hovertemplate="%{customdata:.2g}", meta={"told": "nats"})
    decades = list(range(round(np.log10(LEAST_EXCESS)), 3))
    ticks = {"tickvals": decades, "ticktext": [f"{10.0**k:g}".replace("e-0", "e-") for k in decades]}
    set_axes(figure, 1, axis.layout(), {"title": {"text": "nats"}, **ticks})


def _log(excess: np.ndarray) -> np.ndarray:
    return np.log10(np.maximum(excess, LEAST_EXCESS))


def _by_predictor(regressions: xr.Dataset, target: str) -> dict[str, np.ndarray]:
    """R² at every site of each predictor that was given, the shuffled beliefs after those that see the network."""
    table = regressions.r2.sel(target=target).transpose("predictor", "site")
    rows = {predictor_title(str(name)): r2 for name, r2 in zip(table.predictor.values, table.values, strict=True)}
    if target == "belief":
        rows["shuffled beliefs"] = regressions.shuffled_mean.values
    order = [*list(_PREDICTORS.values())[:3], "shuffled beliefs", _PREDICTORS["next_token_law"], *rows]
    return {name: rows[name] for name in dict.fromkeys(order) if name in rows and np.isfinite(rows[name]).any()}


def _draw_rivals(figure: go.Figure, panel: int, rows: dict[str, np.ndarray], colors: dict[str, str]) -> None:
    """One row a predictor, one dot a site; a predictor that is the same at every site is one grey diamond."""
    names, r2 = list(rows), np.array(list(rows.values()))
    same = (np.nanmax(r2, axis=1) - np.nanmin(r2, axis=1) < 1e-9) & (len(colors) > 1)
    alone = np.where(same, np.nanmean(r2, axis=1), np.nan)
    apart = 0.5 / max(len(colors), 1)
    for k, (site, color) in enumerate(colors.items()):
        values, y = np.where(same, np.nan, r2[:, k]), np.arange(len(rows)) + (k - (len(colors) - 1) / 2) * apart
        _dots(figure, panel, values, y, names, {"color": color, "size": 8.5}, site)
        at, suffix = float(_spaced(r2[:1, k])[0]), panel + 1 if panel else ""
        line = {"color": translucent(color, 0.45), "width": 1, "dash": "dot"}
        figure.add_shape(
            **{"type": "line", "x0": at, "x1": at, "xref": f"x{suffix}", "line": line, "layer": "below"},
            **{"y0": y[0], "y1": len(rows) - 0.5, "yref": f"y{suffix}"},
        )
    marker = {"color": NEUTRAL, "size": 9, "symbol": "diamond"}
    _dots(figure, panel, alone, np.arange(len(rows)), names, marker, "every site")
    low, high = padded_range(_spaced(r2), 0.05)
    ticks = (0, 0.5, 0.9, 0.99, 0.999, 0.9999) if high - low > 1.2 else (-0.5, 0, 0.2, 0.4, 0.6, 0.7, 0.8, 0.9, 0.95)
    title = {"text": color_key(colors), "standoff": 6}
    set_axes(
        figure,
        panel,
        {
            "range": [low, high],
            "tickvals": list(_spaced(np.array(ticks))),
            "ticktext": list(ticks),
            "tickangle": 0,
            "title": title,
        },
        {"range": [len(rows) - 0.5, -0.5], "tickvals": list(range(len(rows))), "ticktext": [plain(n) for n in names]},
    )


def _dots(
    figure: go.Figure, panel: int, r2: np.ndarray, y: np.ndarray, names: list[str], marker: dict, site: str
) -> None:
    known = np.flatnonzero(np.isfinite(r2))
    trace = go.Scatter(x=_spaced(r2[known]), y=y[known], mode="markers", marker=marker, name=plain(site))
    trace.update(customdata=[[plain(names[k]), f"{r2[k]:.4f}"] for k in known], cliponaxis=False)
    trace.update(hovertemplate="%{customdata[0]}, %{fullData.name}: R² %{customdata[1]}<extra></extra>")
    trace.update(meta={"told": ["predictor", "R²"]})
    figure.add_trace(trace.update(**axes(panel)))


def _spaced(r2: np.ndarray) -> np.ndarray:
    """Where an R² is drawn: by the number of nines in it."""
    return -np.log10(np.clip(1 - r2, 10.0**-BEST_R2, 1 - LOWEST_R2))
