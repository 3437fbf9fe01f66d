"""Panels of the parity study."""

from collections.abc import Iterator

import numpy as np
import plotly.graph_objects as go

from ontogeny.reports import Choice, Figure, Panel
from ontogeny.reports.small_multiples import Curve, add_key, around, axes, draw_curves, set_axes, small_multiples
from ontogeny.reports.style import PALETTE, StepAxis
from ontogeny.studies.findings import Findings


def panels(found: Findings) -> Iterator[Panel]:
    """Accuracy by task with the coefficient below, susceptibilities to each task's data, and the sweep."""
    count = sum(name.startswith("curves-") for name in found)
    figures = {f"network {i}": fig_curves(found, i, count) for i in range(count)}
    caption = "Tasks are numbered from the most frequent. The coefficient is the complexity, with 95 % intervals."
    shown = Choice(figures, "Accuracy of each task, and the coefficient", caption, of="Network", opened="first")
    yield Panel("parity", "Learned one by one", [shown], "Tasks")
    caption = "Each curve is a task, of the first network. The draws are of the posterior of the mixture. The "
    caption += "cross-coefficient is what they add to the loss of one task, in nats at the same nβ."
    figure = Figure(fig_answers(found), "What answers to the data of each task", caption)
    yield Panel("answers", "Answers to each task's data", [figure], "Answers")
    caption = "Each dot is a network after the same number of steps; colours tell the exponent of its frequencies."
    figure = Figure(fig_sweep(found), "Coefficient over learned tasks and over the loss", caption)
    yield Panel("sweep", "Over networks", [figure], "Networks")


def fig_curves(found: Findings, number: int, count: int) -> go.Figure:
    """Accuracies and λ̂ of one network over steps."""
    figure = small_multiples(["Accuracy", "Coefficient"], 320)
    shown = found[f"curves-{number}"].sel(step=slice(1, None))
    steps, accuracy = shown["step"].values, shown["accuracy"].transpose("task", "step").values
    drawn = [
        Curve(f"task {t + 1}", steps, own, PALETTE[t % len(PALETTE)], width=1.5, opacity=1 - 0.07 * t)
        for t, own in enumerate(accuracy)
    ]
    draw_curves(figure, axes(0), drawn, limits=(0.45, 1.02), height=320)
    at = found["steps"]["at"].values
    value, error = (
        found["coefficients"][name].values.reshape(count, -1)[number]
        for name in ("llc_complexity", "llc_complexity_mcse")
    )
    drawn = [Curve("λ̂", at, value, PALETTE[0], band=around(value, error))]
    draw_curves(figure, axes(1), drawn, include=[0], height=320)
    x = StepAxis.of(steps[steps >= 10]).layout()
    set_axes(figure, 0, x, {"title": {"text": "share"}})
    set_axes(figure, 1, x, {"title": {"text": "complexity"}})
    return figure


def fig_answers(found: Findings) -> go.Figure:
    """Susceptibilities and cross-coefficients of each task over steps."""
    figure = small_multiples(["Susceptibility", "Cross-coefficient"], 320)
    table = found["responses"].squeeze("component")
    steps = table["step"].values
    for i, (name, axis) in enumerate((("susceptibility", "perturbation"), ("cross_llc", "probe"))):
        each = table[name].transpose(axis, "step").values
        each = each if axis == "perturbation" else each[1:]
        drawn = [
            Curve(f"task {t + 1}", steps, own, PALETTE[t % len(PALETTE)], width=1.5, opacity=1 - 0.07 * t, named=i == 0)
            for t, own in enumerate(each)
        ]
        draw_curves(figure, axes(i), drawn, include=[0], height=320)
        x = StepAxis.of(steps).layout()
        set_axes(figure, i, x, {"title": {"text": "nats" if i else "susceptibility"}})
    return figure


def fig_sweep(found: Findings) -> go.Figure:
    """λ̂ over the number of learned tasks and over the loss."""
    figure = small_multiples(["Over learned tasks", "Over the loss"], 280)
    table, kept = found["coefficients-swept"], found["swept"]
    value, loss = table["llc_complexity"].values.ravel(), table["loss"].values.ravel()
    learned, exponent = kept["learned"].values, kept["exponent"].values
    for i, (x, title) in enumerate(((learned, "learned tasks"), (loss, "loss (nats)"))):
        for number, law in enumerate(np.unique(exponent)):
            own = exponent == law
            color = PALETTE[number % len(PALETTE)]
            dots = go.Scatter(x=x[own], y=value[own], mode="markers", marker={"size": 8, "color": color})
            hover = f"exponent {law:g}: %{{y:.1f}} at %{{x:.3g}}<extra></extra>"
            figure.add_trace(dots.update(hovertemplate=hover, showlegend=False, **axes(i)))
        set_axes(figure, i, {"title": {"text": title}}, {"title": {"text": "complexity"}})
    laws = np.unique(exponent)
    add_key(figure, {f"exponent {law:g}": PALETTE[number % len(PALETTE)] for number, law in enumerate(laws)})
    return figure
