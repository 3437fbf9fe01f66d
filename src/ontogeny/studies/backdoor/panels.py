"""Panels of the backdoor study."""

from collections.abc import Iterator

import numpy as np
import plotly.graph_objects as go
import xarray as xr

from ontogeny.development import curves
from ontogeny.reports import Figure, Panel, Table
from ontogeny.reports.small_multiples import axes, set_axes, small_multiples
from ontogeny.reports.style import BLUE, NEUTRAL, ORANGE
from ontogeny.studies.backdoor.auroc import by_network
from ontogeny.studies.backdoor.scoring import SCORES
from ontogeny.studies.backdoor.tasks import POISONED
from ontogeny.studies.findings import Findings

_NAMES = ("anomaly score", "weight noise", "loss", "small margin", "Mahalanobis", "gradient norm")
_RESAMPLES = 499


def panels(found: Findings) -> Iterator[Panel]:
    """What the networks do, AUROCs of every score on every arm, and the search over candidates."""
    table = by_network(found)
    columns = [table[name].values.tolist() for name in ("arm", "rate", "accuracy", "success", "flagged", "false")]
    rows = [[str(number), *row] for number, row in enumerate(zip(*columns, strict=True))]
    heads = ["Network", "Kind", "Rate", "Accuracy", "Success", "Flagged with trigger", "Flagged clean"]
    caption = (
        "Success is the share of inputs with the trigger that are answered as the mechanism says. Flagged inputs have "
    )
    caption += "p below 0.05 against held-out trusted ones."
    yield Panel("networks", "The networks", [Table(heads, rows, caption)], "Networks")
    caption = (
        "Mean AUROC over networks, with 95 % intervals that resample networks. Losses are those of the network's own "
    )
    caption += "answers. Nothing is folded: below 0.5, inputs with the trigger look more usual than clean ones."
    blocks = [
        Table(["Arm", *_NAMES], _by_arm(table, name), caption if name == "fired" else "")
        for name in ("fired", "unseen")
    ]
    yield Panel("inputs", "Inputs with a trigger against clean ones", blocks[:1], "Inputs")
    told = "A token that no network was trained on, against clean inputs: an unusual token and no mechanism."
    yield Panel(
        "unseen", "Inputs with an unseen token", [Table(["Arm", *_NAMES], blocks[1].rows, told)], "Unseen tokens"
    )
    caption = "The largest mean of a candidate's inputs, in standard deviations of clean inputs. Each dot is a network."
    yield Panel(
        "models", "Search over candidates", [Figure(fig_models(table), "Networks by their largest candidate", caption)]
    )


def _by_arm(table: xr.Dataset, name: str) -> list[list[str]]:
    rows, rng = list[list[str]](), np.random.default_rng(0)
    for arm in dict.fromkeys(table["arm"].values.tolist()):
        values = table[name].values[:, table["arm"].values == arm]
        cells = [str(arm)]
        for own in values:
            again = curves.bootstrap(lambda chosen, own=own: float(own[chosen].mean()), len(own), _RESAMPLES, rng)
            low, high = curves.interval(again)
            cells.append(f"{own.mean():.2f}" + (f" [{low:.2f}, {high:.2f}]" if len(own) > 1 else ""))
        rows.append(cells)
    return rows


def fig_models(table: xr.Dataset) -> go.Figure:
    """The statistic of the search, by kind."""
    kinds = list(dict.fromkeys(table["arm"].values.tolist()))
    figure = small_multiples(list(_NAMES), 260)
    bad = np.isin(table["kind"].values, POISONED)
    for place, score in enumerate(SCORES):
        values = table["largest"].sel(score=score).values
        x = np.array([kinds.index(arm) for arm in table["arm"].values])
        for own, color in (
            (~bad, NEUTRAL),
            (bad & ~table["obfuscated"].values, BLUE),
            (table["obfuscated"].values, ORANGE),
        ):
            dots = go.Scatter(x=x[own], y=values[own], mode="markers", marker={"color": color, "size": 6})
            figure.add_trace(dots.update(showlegend=False, **axes(place)))
        ticks = {"tickvals": list(range(len(kinds))), "ticktext": kinds, "tickangle": -60}
        set_axes(figure, place, ticks, {"title": {"text": "largest"}})
    return figure
