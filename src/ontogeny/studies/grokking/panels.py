"""Panels of the grokking study."""

from collections.abc import Iterator

import numpy as np
import plotly.graph_objects as go
import xarray as xr

from ontogeny.core.intervals import Z95
from ontogeny.measurement import settings_in
from ontogeny.reports import Choice, Column, Figure, Panel, Table
from ontogeny.reports.small_multiples import Curve, around, axes, draw_curves, set_axes, small_multiples
from ontogeny.reports.style import NEUTRAL, PALETTE, StepAxis, translucent
from ontogeny.studies.findings import Findings
from ontogeny.studies.pages import trajectory_panels

SUMS, LABELS = "sums-", "labels"


def panels(found: Findings) -> Iterator[Panel]:
    """Curves with phases shaded, spectra, coefficients against the loss, the pairs of equal loss, and the sweeps."""
    names = {
        **{f"sums {i}": f"{SUMS}{i}" for i in range(_networks(found))},
        "AdamW": "other",
        "random labels": LABELS,
    }
    figures = {label: fig_curves(found, name) for label, name in names.items()}
    caption = (
        "Shaded: first, until training accuracy is 95 %; second, until test accuracy is. Restricted is the loss on "
    )
    caption += "all pairs with the key frequencies of a + b alone, excluded the training loss without them."
    shown = Choice(figures, "Accuracy, losses, coefficient along training", caption, of="Network", opened="first")
    yield Panel("grokking", "Memorisation, then generalisation", [shown], "Grokking")
    figures = {label: fig_spectra(found, name) for label, name in names.items()}
    caption = "The share of each frequency in the variance over tokens of the embedding, and over sums of the logits. "
    caption += "Named are the largest four at the end."
    shown = Choice(figures, "Fourier spectra along training", caption, of="Network", opened="first")
    yield Panel("spectra", "Frequencies", [shown], "Frequencies")
    caption = "The coefficient at each checkpoint over the training loss there. Training goes from right to left."
    figure = Figure(fig_against_loss(found), "Coefficient over training loss", caption)
    yield Panel("against-loss", "The coefficient against the training loss", [figure, _pairs(found)], "Equal loss")
    caption = "Left, networks on sums that generalise and networks on random labels, at nβ = n / log n; dashed, the "
    caption += "coefficient of a posterior at chance, nβ log p. Right, networks on n random labels at fixed nβ/n."
    yield Panel("sweeps", "Over the modulus and the items", [Figure(fig_sweeps(found), "Sweeps", caption)], "Sweeps")
    yield from trajectory_panels(found)


def _networks(found: Findings) -> int:
    return sum(name.startswith(f"curves-{SUMS}") for name in found)


def measured(found: Findings, name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Steps, complexities and their errors of a network."""
    if name.startswith(SUMS):
        table, steps = found["coefficients"], found["steps"]["at"].values
        own = slice(int(name[len(SUMS) :]) * len(steps), (int(name[len(SUMS) :]) + 1) * len(steps))
    else:
        table, steps, own = found[f"coefficients-{name}"], found[f"steps-{name}"]["at"].values, slice(None)
    value, error = (table[f"llc_{key}"].values.ravel()[own] for key in ("complexity", "complexity_mcse"))
    return steps, value, error


def fig_curves(found: Findings, name: str) -> go.Figure:
    """Accuracies, losses and coefficient of one network, over steps on a logarithmic axis."""
    figure = small_multiples(["Accuracy", "Loss", "Coefficient"])
    shown = found[f"curves-{name}"].sel(step=slice(1, None))
    steps = shown["step"].values
    pairs = (("training", "train", PALETTE[0]), ("test", "test", PALETTE[1]))
    accuracy = [Curve(label, steps, shown[f"{key}_accuracy"].values, color) for label, key, color in pairs]
    draw_curves(figure, axes(0), accuracy, limits=(0, 1.05))
    others = (*pairs, ("restricted", "restricted", PALETTE[2]), ("excluded", "excluded", PALETTE[3]))
    losses = [Curve(label, steps, shown[f"{key}_loss"].values, color) for label, key, color in others]
    draw_curves(figure, axes(1), losses, include=[0])
    at, value, error = measured(found, name)
    draw_curves(figure, axes(2), [Curve("λ̂", at, value, PALETTE[0], band=around(value, error))], include=[0])
    x = StepAxis.of(steps[steps >= 10]).layout()
    for i, title in enumerate(("share", "nats", "complexity")):
        set_axes(figure, i, x, {"title": {"text": title}})
    _shade(figure, shown, float(steps[0]), float(steps[-1]))
    return figure


def _shade(figure: go.Figure, shown: xr.Dataset, first: float, last: float) -> None:
    """Until training accuracy, and from there until test accuracy."""
    ends = [first]
    for key in ("train", "test"):
        learned = shown["step"].values[shown[f"{key}_accuracy"].values >= 0.95]
        ends.append(float(learned[0]) if len(learned) else last)
    for panel in range(3):
        for start, stop, color in ((ends[0], ends[1], PALETTE[0]), (ends[1], max(ends[1:]), PALETTE[1])):
            where = axes(panel)
            place = {"xref": where["xaxis"], "yref": f"{where['yaxis']} domain", "y0": 0, "y1": 1, "layer": "below"}
            box = {
                "x0": max(start, 10),
                "x1": max(stop, 10),
                "fillcolor": translucent(color, 0.1),
                "line": {"width": 0},
            }
            figure.add_shape(type="rect", **box, **place)


def fig_spectra(found: Findings, name: str) -> go.Figure:
    """The spectra of the embedding and of the function of the sum, over steps."""
    figure = small_multiples(["Embedding", "Logits as a function of a + b"])
    shown = found[f"curves-{name}"].sel(step=slice(1, None))
    steps = shown["step"].values
    largest = shown["sum_spectrum"].values[-1].argsort()[::-1][:4].tolist()
    for i, key in enumerate(("embedding_spectrum", "sum_spectrum")):
        rows = shown[key].transpose("frequency", "step").values
        others = [j for j in range(len(rows)) if j not in largest]
        drawn = [Curve(f"k = {j + 1}", steps, rows[j], NEUTRAL, width=1, named=False, opacity=0.6) for j in others]
        drawn += [Curve(f"k = {j + 1}", steps, rows[j], PALETTE[n]) for n, j in enumerate(largest)]
        draw_curves(figure, axes(i), drawn, limits=(0, max(0.5, float(rows.max()) * 1.05)))
        x = StepAxis.of(steps[steps >= 10]).layout()
        set_axes(figure, i, x, {"title": {"text": "share"}})
    return figure


def fig_against_loss(found: Findings) -> go.Figure:
    """λ̂ over training loss, both logarithmic, for every network."""
    figure = small_multiples(["Coefficient over training loss"], 300)
    names = [(f"{SUMS}{i}", "sums", PALETTE[0]) for i in range(_networks(found))]
    names += [("other", "AdamW", PALETTE[2]), (LABELS, "random labels", PALETTE[1])]
    drawn = []
    for number, (name, label, color) in enumerate(names):
        steps, value, _ = measured(found, name)
        loss = found[f"curves-{name}"]["train_loss"].sel(step=steps).values
        named = number == 0 or not name.startswith(SUMS)
        drawn.append(Curve(label, loss, _log(value), color, named=named, width=1.5))
    draw_curves(figure, axes(0), drawn, height=300)
    ticks = [0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500]
    y = {"title": {"text": "complexity"}, "tickvals": np.log10(ticks), "ticktext": [f"{tick:g}" for tick in ticks]}
    set_axes(figure, 0, {"title": {"text": "training loss (nats)"}, "type": "log", "autorange": "reversed"}, y)
    return figure


def fig_sweeps(found: Findings) -> go.Figure:
    """λ̂ over p of both kinds of networks, and over the number of random labels."""
    figure = small_multiples(["Over the modulus", "Over the number of random labels"], 250)
    moduli = sorted(int(name.removeprefix("moduli-")) for name in found if name.startswith("moduli-"))
    halves = np.array([np.split(found[f"moduli-{p}"]["llc"].values.ravel(), 2) for p in moduli])  # p, kind, copy
    counts = np.array([_count(found[f"moduli-{p}"]) for p in moduli])
    chance = counts / np.log(counts) * np.log(moduli)
    kinds = [
        Curve(label, np.array(moduli), _log(halves[:, i].mean(1)), PALETTE[i])
        for i, label in enumerate(("sums", "random"))
    ]
    draw_curves(
        figure, axes(0), [*kinds, Curve("chance", np.array(moduli), _log(chance), NEUTRAL, dash="dash")], height=250
    )
    items = sorted(int(name.removeprefix("labels-")) for name in found if name.startswith("labels-"))
    values = np.array([found[f"labels-{n}"]["llc_complexity"].values.ravel() for n in items])
    mean, line = values.mean(1), np.polyfit(np.repeat(items, values.shape[1]), values.ravel(), 1)
    fit = Curve("line", np.array(items), np.polyval(line, items), NEUTRAL, dash="dash")
    draw_curves(figure, axes(1), [fit, Curve("λ̂", np.array(items), mean, PALETTE[1])], include=[0], height=250)
    ticks = [50, 100, 200, 500, 1000]
    y = {"title": {"text": "λ̂"}, "tickvals": np.log10(ticks), "ticktext": [f"{tick:g}" for tick in ticks]}
    set_axes(figure, 0, {"title": {"text": "modulus p"}, "type": "log", "tickvals": moduli}, y)
    set_axes(figure, 1, {"title": {"text": "items"}}, {"title": {"text": "complexity"}})
    return figure


def _log(values: np.ndarray) -> np.ndarray:
    """Logarithms to base 10; NaN of what has none."""
    return np.log10(np.where(values > 0, values, np.nan))


def _count(table: xr.Dataset) -> int:
    return int(settings_in(table)["num_samples"])


def _pairs(found: Findings) -> Table:
    table = found["pairs"]
    columns = [Column("Network", head=True), "Training loss", "Generalises: λ̂", "± (95 %)", "Memorises: λ̂", "± (95 %)"]
    value, error, loss = (table[k].values.ravel() for k in ("llc_complexity", "llc_complexity_mcse", "loss"))
    half = len(value) // 2
    rows = [
        [
            str(i),
            float(loss[i]),
            float(value[i]),
            float(Z95 * error[i]),
            float(value[half + i]),
            float(Z95 * error[half + i]),
        ]
        for i in range(half)
    ]
    return Table(
        columns, rows, "Each pair has the same training pairs and the same training loss.", label="Pairs of equal loss"
    )
