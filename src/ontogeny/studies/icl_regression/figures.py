"""Figures of the study of in-context regression: curves of every diversity, the joint path, and the two phases."""

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go
import xarray as xr

from ontogeny.reports.small_multiples import Curve, add_key, around, axes, draw_curves, set_axes, small_multiples
from ontogeny.reports.style import NEUTRAL, PALETTE, TEMPLATE, StepAxis, along_sequence, distinct_colors
from ontogeny.studies.icl_regression.measures import DMMSE, IN, OUT, RIDGE

Curves = Mapping[str, xr.Dataset]


def colors_of(labels: Sequence[str]) -> dict[str, str]:
    """One colour for each diversity, from few tasks to infinitely many."""
    return dict(zip(labels, distinct_colors(len(labels)), strict=True))


def fig_distances(curves: Curves) -> go.Figure:
    """Mean squared distance to ridge and to each network's own dMMSE, on Gaussian tasks and on the trained ones."""
    wanted = {
        "To ridge, Gaussian tasks": (RIDGE, OUT),
        "To dMMSE, Gaussian tasks": (DMMSE, OUT),
        "To ridge, trained tasks": (RIDGE, IN),
        "To dMMSE, trained tasks": (DMMSE, IN),
    }
    return _by_diversity(
        {
            title: {
                label: each["distance"].sel(reference=reference, distribution=distribution)
                for label, each in curves.items()
            }
            for title, (reference, distribution) in wanted.items()
        },
        "squared distance",
    )


def fig_errors(curves: Curves) -> go.Figure:
    """Loss on Gaussian tasks and on the trained ones, the mean square of predictions, and the in-context gain."""
    panels = {
        "Loss, Gaussian tasks": lambda each: each["loss_by_position"].sel(distribution=OUT).mean("pair"),
        "Loss, trained tasks": lambda each: each["loss_by_position"].sel(distribution=IN).mean("pair"),
        "Mean square of predictions": lambda each: each["squared_by_sequence"].mean("sequence"),
        "Loss at the last pair less the first": lambda each: each["icl_by_sequence"].mean("sequence"),
    }
    return _by_diversity(
        {title: {label: read(each) for label, each in curves.items()} for title, read in panels.items()},
        "squared error",
    )


def fig_inside(curves: xr.Dataset) -> go.Figure:
    """What changes inside one network: spectra, LayerNorms, and attention."""
    axis = StepAxis.of(curves["step"].values)
    panels: dict[str, dict[str, xr.DataArray]] = {
        "Effective rank of the embeddings": {
            str(name): _effective_rank(curves["singular_values"].sel(matrix=name)) for name in curves["matrix"].values
        },
        "Collapsed share of gains and unembedding": {
            str(name).removeprefix("blocks."): curves["gain_collapsed"].sel(norm=name) for name in curves["norm"].values
        }
        | {"unembedding": curves["unembedding_collapsed"]},
    }
    if "attention_entropy" in curves:
        places = [(layer, head) for layer in range(curves.sizes["layer"]) for head in range(curves.sizes["head"])]
        for title, name in (("Attention entropy", "attention_entropy"), ("Variability", "attention_variability")):
            panels[title] = {f"L{a}H{b}": curves[name].isel(layer=a, head=b) for a, b in places}
    figure = small_multiples(list(panels))
    for place, (title, named) in enumerate(panels.items()):
        shades = distinct_colors(len(named))
        drawn = [
            Curve(name, axis.place(each["step"].values), each.values, color)
            for (name, each), color in zip(named.items(), shades, strict=True)
        ]
        draw_curves(figure, axes(place), drawn)
        unit = {"Attention entropy": "nats", "Variability": "total variation"}.get(title, "")
        set_axes(figure, place, axis.layout(), {"title": {"text": unit}})
    return figure


def fig_scales(curves: Curves) -> go.Figure:
    """Loss at the last checkpoint over the scale of inputs and of tasks, relative to that of the prediction 0."""
    figure, colors = small_multiples(["Larger inputs", "Larger tasks"]), colors_of(list(curves))
    for place, kind in enumerate(("input", "task")):
        drawn = [
            Curve(
                f"M {label}", each["scale"].values, each[f"error_by_{kind}_scale"].isel(step=-1).values, colors[label]
            )
            for label, each in curves.items()
        ]
        draw_curves(figure, axes(place), drawn)
        set_axes(figure, place, {"type": "log", "title": {"text": "scale"}}, {"title": {"text": "relative loss"}})
    return figure


def fig_space(pca: xr.Dataset) -> go.Figure:
    """All paths in three components, one colour for each diversity, with the exact predictors."""
    names = list(dict.fromkeys(pca["trajectory"].values.tolist()))
    figure, shares = go.Figure(layout={"template": TEMPLATE, "height": 520}), pca["explained_variance"].values
    for name, color in colors_of(names).items():
        own = pca.isel(point=pca["trajectory"].values == name)
        x, y, z = own["score"].values.T
        told = {"customdata": own["step"].values, "hovertemplate": f"{name}, step %{{customdata:,}}<extra></extra>"}
        look = {"line": {"color": color, "width": 4}, "marker": {"color": color, "size": 2.5}, "mode": "lines+markers"}
        figure.add_trace(go.Scatter3d(x=x, y=y, z=z, name=name, **look, **told))
    x, y, z = pca["reference_score"].transpose("pc", "reference").values
    figure.add_trace(
        go.Scatter3d(
            x=x,
            y=y,
            z=z,
            mode="markers+text",
            text=pca["reference"].values.astype(str),
            textfont={"size": 11, "color": NEUTRAL},
            marker={"symbol": "diamond", "size": 4, "color": NEUTRAL},
            name="exact predictors",
            hoverinfo="text",
        )
    )
    titles = [f"PC{place + 1} ({share:.0%})".replace("%", " %") for place, share in enumerate(shares[:3])]
    scene = {f"{key}axis": {"title": {"text": title}} for key, title in zip("xyz", titles, strict=True)}
    legend = {"orientation": "h", "y": -0.02, "font": {"color": NEUTRAL}}
    return figure.update_layout(scene=scene, showlegend=True, legend=legend, margin={"l": 0, "r": 0, "t": 10, "b": 10})


def fig_coefficients(coefficients: Curves) -> go.Figure:
    """Complexity along training, at the end against M, and against the loss."""
    figure = small_multiples(["Complexity at the end", "Along training", "Against the loss"])
    colors = colors_of(list(coefficients))
    axis = StepAxis.of(np.concatenate([each["step"].values for each in coefficients.values()]))
    ends, errors, along = [], [], []
    for label, each in coefficients.items():
        one = each[["llc_complexity", "llc_complexity_mcse", "loss"]].squeeze()
        ends.append(float(one["llc_complexity"][-1]))
        errors.append(float(one["llc_complexity_mcse"][-1]))
        along.append((label, one["step"].values, one["llc_complexity"].values, one["loss"].values))
    places = np.arange(len(ends), dtype=float)
    band = around(np.array(ends), np.array(errors))
    draw_curves(figure, axes(0), [Curve("", places, np.array(ends), PALETTE[0], band=band, named=False)])
    ticks = {"tickvals": places, "ticktext": list(coefficients), "title": {"text": "number of tasks M"}}
    set_axes(figure, 0, ticks, {"title": {"text": "complexity"}})
    draw_curves(figure, axes(1), [Curve(f"M {n}", axis.place(s), c, colors[n]) for n, s, c, _ in along])
    set_axes(figure, 1, axis.layout(), {"title": {"text": "complexity"}})
    for label, steps, complexity, loss in along:
        trace = go.Scatter(x=loss, y=complexity, mode="lines+markers", name=f"M {label}", customdata=steps, **axes(2))
        trace.update(line={"color": colors[label], "width": 1.5}, marker={"color": colors[label], "size": 6})
        figure.add_trace(trace.update(hovertemplate=f"M {label}, step %{{customdata:,}}<extra></extra>"))
    set_axes(figure, 2, {"title": {"text": "loss, nats a sequence"}}, {"title": {"text": "complexity"}})
    add_key(figure, {f"M {label}": color for label, color in colors.items()})
    return figure


def fig_free_energies(phases: xr.Dataset) -> dict[str, go.Figure]:
    """Of each M: how far the free energy of the dMMSE-like phase lies below that of the ridge-like one, over n."""
    figures = {}
    for label in phases["M"].values.astype(str):
        own, n = phases.sel(M=label), phases["nbeta"].values
        figure = small_multiples(["Log odds of dMMSE against ridge", "λ̂ at each nβ"])
        odds = own["log_odds"].values
        curve = Curve("log odds", n, odds, PALETTE[0], band=around(odds, own["log_odds_mcse"].values), named=False)
        draw_curves(figure, axes(0), [Curve("even", n, 0 * n, NEUTRAL, dash="dash"), curve])
        drawn = [
            Curve(str(phase), n, own["ladder_value"].sel(phase=phase).values, color)
            for phase, color in zip(own["phase"].values, PALETTE, strict=False)
        ]
        draw_curves(figure, axes(1), drawn)
        for place, title in enumerate(("nats", "λ̂")):
            x = {"type": "log", "title": {"text": "n, sequences"}}
            set_axes(figure, place, x, {"title": {"text": title}})
        figures[f"M {label}"] = figure
    return figures


def fig_essential(essential: xr.Dataset) -> go.Figure:
    """The smoothed path of one network in each plane, from start (blue) to end (orange), with its forms."""
    planes = [tuple(int(pc) - 1 for pc in str(name).split("-")) for name in essential["plane"].values]
    figure, path = (
        small_multiples([f"PC{x + 1} and PC{y + 1}" for x, y in planes], height=260),
        essential["path"].values,
    )
    fractions = np.linspace(0, 1, len(path))
    for place, (x, y) in enumerate(planes):
        colors = [along_sequence(float(fraction)) for fraction in fractions]
        trace = go.Scatter(
            x=path[:, x], y=path[:, y], mode="markers", marker={"color": colors, "size": 3}, **axes(place)
        )
        figure.add_trace(trace.update(hoverinfo="skip"))
        at = np.searchsorted(essential["decade"].values, essential["form_decade"].values).clip(max=len(path) - 1)
        steps = essential["form_step"].values
        forms = go.Scatter(x=path[at, x], y=path[at, y], mode="markers", customdata=steps, **axes(place))
        forms.update(marker={"symbol": "circle-open", "size": 12, "color": NEUTRAL, "line": {"width": 2}})
        figure.add_trace(forms.update(hovertemplate="form at step %{customdata:,.0f}<extra></extra>"))
        set_axes(figure, place, {"title": {"text": f"PC{x + 1}"}}, {"title": {"text": f"PC{y + 1}"}})
    return figure.update_layout(hovermode="closest")


def _by_diversity(panels: Mapping[str, Mapping[str, xr.DataArray]], unit: str) -> go.Figure:
    figure = small_multiples(list(panels))
    for place, named in enumerate(panels.values()):
        axis, colors = StepAxis.of(next(iter(named.values()))["step"].values), colors_of(list(named))
        drawn = [Curve(f"M {n}", axis.place(each["step"].values), each.values, colors[n]) for n, each in named.items()]
        draw_curves(figure, axes(place), drawn)
        set_axes(figure, place, axis.layout(), {"title": {"text": unit}})
    return figure


def _effective_rank(singular: xr.DataArray) -> xr.DataArray:
    """The exponential of the entropy of the normalised squared singular values."""
    share = singular**2 / (singular**2).sum("singular")
    entropy = -(share * np.log(share.clip(min=1e-300))).sum("singular")
    return entropy.copy(data=np.exp(entropy.values))
