"""Panels of the many-shot study."""

from collections.abc import Iterator

import numpy as np
import plotly.graph_objects as go
import xarray as xr

from ontogeny.core.intervals import Z95
from ontogeny.reports import Choice, Column, Panel, Table
from ontogeny.reports.small_multiples import Curve, axes, draw_curves, set_axes, small_multiples
from ontogeny.reports.style import NEUTRAL, PALETTE
from ontogeny.studies.findings import Findings

_TOKENS = {"title": {"text": "tokens of context"}}


def panels(found: Findings) -> Iterator[Panel]:
    """Log-odds and losses along the context, the laws, coefficients by position, and heads."""
    table = found["behaviour"]
    cases = {title_of(table.isel(case=i)): table.isel(case=i) for i in range(table.sizes["case"])}
    caption = "Left, the log-odds of the language, median over its sequences: of the network, and dashed of the exact "
    caption += "mixture whose prior is that of the data it was trained on last. Right, the expected loss."
    figures = {title: fig_odds(case) for title, case in cases.items()}
    shown = Choice(figures, "Log-odds and loss along the context", caption, of="Network", opened="first")
    yield Panel("odds", "How a language is inferred", [shown], "Log-odds")

    columns = [Column("Network", head=True), "Offset", "±", "Slope", "±", "Slope, median of sequences", "Shuffled"]
    columns += ["Crosses 0 at", "n* = m/d"]
    keys = ("offset", "offset_error", "slope", "slope_error", "single", "slope_shuffled", "crossing", "expected")
    rows = [[title, *(_number(case, key) for key in keys)] for title, case in cases.items()]
    caption = "Log-odds are offset + slope · exact evidence, by maximum likelihood, with 95 % intervals clustered by "
    caption += (
        "sequence; an exact observer has slope 1. Shuffled: tokens permuted within the context, evidence in order."
    )
    yield Panel("lines", "Offset and slope", [Table(columns, rows, caption, "Offset and slope", tall=True)], "Slopes")

    names = [f"{law}, {split}" for split in table["split"].values for law in table["law"].values]
    errors = table["held_out"].transpose("case", "split", "law").values.reshape(len(cases), -1)
    rows = [[title, *map(float, own)] for title, own in zip(cases, 1000 * errors, strict=True)]
    caption = "Root mean square error in thousandths of a nat on lengths and sequences that the law was not fitted to. "
    caption += (
        "Later: fitted on the first half of the lengths and judged on the second. Between: on every other length."
    )
    yield Panel("laws", "Four laws", [Table([Column("Network", head=True), *names], rows, caption, "Laws")], "Laws")

    caption = (
        "λ_k, the rise of the loss on the token after k tokens, times nβ, on sequences of the language; grey, the "
    )
    caption += "same for weights perturbed at random as far away. The dotted line is n* = m/d."
    figures = {
        title: fig_positions(found[f"positions-{int(case['network'])}"].isel(part=0), case)
        for title, case in cases.items()
        if f"positions-{int(case['network'])}" in found
    }
    shown = Choice(figures, "Coefficient by position", caption, of="Network", opened="first")
    yield Panel("positions", "The coefficient at every position", [shown], "Positions")

    heads = {name: found[name] for name in sorted(found) if name.startswith("heads-")}
    if heads:
        caption = "χ(k) of each head to more of the token after k tokens, on sequences of the last language."
        titles = dict(zip(heads, ("before fine-tuning", "language suppressed"), strict=True))
        figures = {titles[name]: fig_heads(each) for name, each in heads.items()}
        shown = Choice(figures, "Susceptibilities of heads by position", caption, of="Network", opened="first")
        yield Panel("heads", "Susceptibilities of heads by position", [shown], "Heads")


def title_of(case: xr.Dataset) -> str:
    """A case in words."""
    language, shift = int(case["language"]), float(case["shift"])
    if int(case["network"]) == 0:
        return f"language {language}, before"
    if np.isneginf(shift):
        return f"language {language} alone"
    if np.isposinf(shift):
        return f"language {language}, never shown"
    return f"language {language}, {shift:g} nats against" if shift else f"language {language}, twin"


def fig_odds(case: xr.Dataset) -> go.Figure:
    """Log-odds and losses of one network over the length of the context."""
    figure, n = small_multiples(["Log-odds", "Loss (nats)"], 260), case["length"].values
    pairs = [(case["odds"].values, case["exact_odds"].values)]
    pairs.append(tuple(case[name].transpose("half", "length").values.mean(0) for name in ("loss", "exact_loss")))
    for panel, (seen, exact) in enumerate(pairs):
        drawn = [Curve("network", n, seen, PALETTE[0])]
        if np.isfinite(exact).all():
            drawn.append(Curve("exact", n, exact, NEUTRAL, dash="dash"))
        draw_curves(figure, axes(panel), drawn, height=260)
        set_axes(figure, panel, _TOKENS, {"title": {"text": "nats"}})
    return figure


def fig_positions(positions: xr.Dataset, case: xr.Dataset) -> go.Figure:
    """λ_k and its weight noise, and the loss."""
    here = positions.sel(set=f"language {int(case['language'])}").transpose("sequence", "length")
    figure, n = small_multiples(["λ_k", "Loss (nats)"], 260), here["length"].values
    value, noise, error = here["rise"].values.mean(0), here["rise_noise"].values.mean(0), Z95 * here["mcse"].values
    drawn = [
        Curve("nβ = 0", n, noise, NEUTRAL),
        Curve("λ_k", n, value, PALETTE[0], band=(value - error, value + error)),
    ]
    draw_curves(figure, axes(0), drawn, include=[0], height=260)
    draw_curves(figure, axes(1), [Curve("loss", n, here["loss"].values, PALETTE[1], named=False)], height=260)
    for panel in range(2):
        set_axes(figure, panel, _TOKENS, {"title": {"text": "nats"}})
    if 0 < float(case["expected"]) <= n[-1]:
        ends = {"x0": float(case["expected"]), "x1": float(case["expected"]), "y0": 0, "y1": 1}
        figure.add_shape(type="line", xref="x", yref="y domain", line={"dash": "dot", "color": NEUTRAL}, **ends)
    return figure


def fig_heads(heads: xr.Dataset) -> go.Figure:
    """χ(k) of every head, and at nβ = 0."""
    figure, name = small_multiples(["χ(k)", "χ(k) at nβ = 0"], 260), str(heads["set"].values[-1])
    for panel, kind in enumerate(("susceptibility", "susceptibility_noise")):
        values = heads[kind].sel(set=name).transpose("part", "length").values
        drawn = [
            Curve(str(part), heads["length"].values, own, PALETTE[i % len(PALETTE)])
            for i, (part, own) in enumerate(zip(heads["part"].values, values, strict=True))
        ]
        draw_curves(figure, axes(panel), drawn, include=[0], height=260)
        set_axes(figure, panel, _TOKENS, {"title": {"text": "χ"}})
    return figure


def _number(case: xr.Dataset, key: str) -> float:
    if key == "single":
        return float(case["single_slope"].median())
    return float(case[key]) * (Z95 if key.endswith("_error") else 1)
