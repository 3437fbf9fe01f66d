"""The page of a comparison."""

import platform
from collections.abc import Mapping

import numpy as np
import plotly.graph_objects as go
import torch
import xarray as xr

from ontogeny.comparison.found import Comparison
from ontogeny.comparison.roles import NOTHING, OTHER, ChangeClass
from ontogeny.comparison.verdicts import BROAD, NARROW, Verdict
from ontogeny.core.intervals import Z95
from ontogeny.core.outcome import Outcome
from ontogeny.reports import Column, Facts, Figure, Page, Panel, Prose, Sentence, Table, Tag, literal
from ontogeny.reports.small_multiples import axes, set_axes, small_multiples
from ontogeny.reports.style import BLUE, NEUTRAL, ORANGE
from ontogeny.reports.wording import listed, number, p_value, plain, with_error

MADE = (
    "The twins were made here from the trusted data. Another procedure or other data of the same kind can differ from "
    "them, too: give twins that were fine-tuned as the tuned network was."
)
_SHOWN = 12  # parts in the figure and table of places
_CARRIERS, _LEVEL = 8, 0.05  # samples in the table of carriers; significance of a single one
_ROW = 30  # pixels of a dataset or part


def page_of(found: Comparison, *, given: bool, command: str) -> Page:
    """Verdict first, then behaviour, places, posteriors, fine-tuning samples and the cheap rivals."""
    kinds = found.behaviour["kind"].values
    facts = {
        "Null": f"{(kinds == 'twin').sum()} twins fine-tuned on trusted data, {(kinds != 'twin').sum()} weight noises",
        "Trusted data": str(found.behaviour["dataset"].values[0]),
        "Versions": f"Python {platform.python_version()}, torch {torch.__version__}",
    }
    panels = [
        behaviour_panel(found.behaviour),
        places_panel(found.places, found.verdict),
        *([sampled_panel(found.sampled)] if found.sampled is not None else []),
        *([carriers_panel(found.carried)] if found.carried is not None else []),
        rival_panel(found.activations),
        *([depth_panel(found.undone)] if found.undone else []),
    ]
    said = [*sentences(found.verdict), *([class_sentence(found.told)] if found.told else [])]
    if found.verdict.changed and not given:
        said.append(Sentence("plain", "!", MADE, "behaviour"))
    return Page("What the fine-tuning changed", said, facts, panels, command)


def sentences(verdict: Verdict) -> list[Sentence]:
    """The verdict in words."""
    if not verdict.changed:
        said = "No loss has changed beyond what twins and weight noise show: the change is not separable from them."
        return [Sentence("plain", "0", said, "behaviour")]
    names = listed([literal(name) for name in verdict.changed])
    reach = {
        NARROW: f"Narrow: the loss has changed on {names}, and on trusted data no more than by any fine-tuning.",
        BROAD: f"Broad: the loss has changed on {names}, trusted data among them.",
    }
    found = [Sentence("caution", str(len(verdict.changed)), reach[verdict.kind], "behaviour")]
    if verdict.parts:
        best = listed([literal(part) for part in verdict.parts[:3]])
        said = f"With its base weights put back, most of it is undone by {best}."
        return [*found, Sentence("caution", str(len(verdict.parts)), said, "where")]
    said = "No single part undoes more of it than it undoes of a twin."
    return [*found, Sentence("plain", "0", said, "where")]


def class_sentence(told: ChangeClass) -> Sentence:
    """The class of the change in words."""
    if told.name in (NOTHING, OTHER):
        said = "Of the classes that the roles of the datasets tell, it is none."
        return Sentence("plain", "0", said, "behaviour")
    said = f"By the roles of the datasets: {told.name}, on {literal(told.dataset)}, {told.excess:+.3g} nats."
    return Sentence("caution", "1", said, "behaviour")


def behaviour_panel(behaviour: xr.Dataset) -> Panel:
    """The change of the loss on each dataset beside the same of twins and weight noise."""
    columns = [
        "dataset",
        Column("base", "number"),
        Column("tuned", "number"),
        Column("change, nats", "value"),
        Column("twins", "number"),
        Column("p", "number"),
        "",
    ]
    rows = [
        [
            name,
            number(float(row["base"])),
            number(float(row["tuned"])),
            with_error(float(row["change"]), Z95 * float(row["change_error"])),
            number(float(row["usual"])),
            p_value(float(row["p_value"])),
            Tag("changed", "caution") if bool(row["changed"]) else Tag("as any fine-tuning", "plain"),
        ]
        for name, row in ((str(name), behaviour.sel(dataset=name)) for name in behaviour["dataset"].values)
    ]
    caption = (
        "Mean loss before and after, and its change with a 95 % interval over samples. A change counts if it lies "
        "beyond those of twins and of weight noise, and beyond its own error."
    )
    alt = "Change of the mean loss on each dataset, with the changes of twins and of weight noise"
    figure = Figure(fig_changes(behaviour), alt, "Grey: twins (filled) and weight noise (hollow).")
    return Panel("behaviour", "Behaviour", [figure, Table(columns, rows, caption, "Change of the loss by dataset")])


def fig_changes(behaviour: xr.Dataset) -> go.Figure:
    """One row for each dataset: its change, and the null."""
    names = [str(name) for name in behaviour["dataset"].values]
    rows = np.arange(len(names), dtype=float)
    figure = small_multiples(["Change of the mean loss, nats"], _ROW * len(names) + 40)
    null = behaviour["null_change"].transpose("dataset", "like").values
    for kind, symbol in (("twin", "circle"), ("weight noise", "circle-open")):
        chosen = behaviour["kind"].values == kind
        x, y = null[:, chosen].ravel(), np.repeat(rows, chosen.sum())
        marker = {"color": NEUTRAL, "size": 6, "symbol": symbol, "opacity": 0.7}
        figure.add_trace(go.Scatter(x=x, y=y, mode="markers", marker=marker, name=kind, **axes(0)))
    colors = [ORANGE if flag else BLUE for flag in behaviour["changed"].values]
    bars = {"type": "data", "array": Z95 * behaviour["change_error"].values, "thickness": 1.2}
    tuned = go.Scatter(x=behaviour["change"].values, y=rows, mode="markers", name="tuned", error_x=bars)
    figure.add_trace(tuned.update(marker={"color": colors, "size": 10}, **axes(0)))
    _name_rows(figure, names)
    return figure.update_layout(hovermode="closest")


def places_panel(places: xr.Dataset, verdict: Verdict) -> Panel:
    """How much of each change each part undoes."""
    sets = list(verdict.changed) or [str(name) for name in places["dataset"].values]
    strength = abs(places["restored"].sel(dataset=sets)).sum("dataset").values
    order = np.argsort(-strength)[:_SHOWN]
    names = [str(places["part"].values[at]) for at in order]
    figure = small_multiples([f"Loss undone on {plain(name)}, nats" for name in sets[:4]], _ROW * len(names) + 40)
    for panel, name in enumerate(sets[:4]):
        rows, here = np.arange(len(names), dtype=float), places.sel(dataset=name).isel(part=order)
        twins = here["twin_restored"].transpose("part", "like").values
        if twins.size:
            marker = {"color": NEUTRAL, "size": 6, "opacity": 0.7}
            x, y = twins.ravel(), np.repeat(rows, twins.shape[1])
            figure.add_trace(go.Scatter(x=x, y=y, mode="markers", marker=marker, name="twins", **axes(panel)))
        dots = go.Scatter(x=here["restored"].values, y=rows, mode="markers", name="tuned", marker={"color": ORANGE})
        figure.add_trace(dots.update(marker={"size": 9}, **axes(panel)))
        _name_rows(figure, names, panel)
    columns = ["part", Column("moved", "number"), Column("twins moved", "number")]
    columns += [Column(f"undone on {name}", "number") for name in sets]
    rows_ = [_place_row(places.sel(part=name), name, sets) for name in names]
    caption = (
        "Moved is the length of a part's displacement over that of its weights. Undone is by how much the loss of the "
        "tuned network falls if the part gets its base weights back: negative where the change lowered the loss. Parts "
        "act together, so the numbers do not add up to the change."
    )
    alt = "Change of the loss that is undone by putting back the base weights of each part, with the same of twins"
    blocks = [Figure(figure.update_layout(hovermode="closest"), alt, "Grey: the same of twins.")]
    return Panel("where", "Where", [*blocks, Table(columns, rows_, caption, "Parts and what they undo")])


def sampled_panel(sampled: xr.Dataset) -> Panel:
    """Cross-coefficients and susceptibilities of the most telling parts, in the base and in the tuned network."""
    columns = ["part", "dataset", Column("base", "value"), Column("tuned", "value")]
    columns += [Column("tuned, nβ = 0", "value"), Column("twins", "value"), Column("verdict", "small")]
    rows = []
    for part in sampled["component"].values:
        for name in sampled["probe"].values:
            here = sampled.sel(component=part, probe=name)
            values, errors = (here[each].values for each in ("cross_llc", "cross_llc_mcse"))
            noise = with_error(float(here["cross_llc_noise"][1]), Z95 * float(here["cross_llc_mcse_noise"][1]))
            pair = [with_error(float(values[at]), Z95 * float(errors[at])) for at in (0, 1)]
            twins = " to ".join(number(float(edge(values[2:]))) for edge in (min, max)) if len(values) > 2 else "none"
            worst = max(map(Outcome, map(str, here["outcome"].values[:2])), key=list(Outcome).index)
            rows.append([str(part), str(name), *pair, noise, twins, worst.value.replace("_", " ")])
    caption = (
        "Cross-coefficients: the posterior of the trusted data over this part, read on each dataset, corrected for the "
        "slope there, in nats with 95 % intervals, and the worse of both verdicts. At nβ = 0 the weights are perturbed "
        "at random to the same distance: what is seen there, too, is no finding about the loss."
    )
    return Panel("posterior", "Posterior of the parts", [Table(columns, rows, caption, "Cross-coefficients")])


def carriers_panel(carried: xr.Dataset) -> Panel:
    """The fine-tuning samples that carry each change the most."""
    shares, rows = {}, []
    for name in carried["dataset"].values:
        here = carried.sel(dataset=name)
        beyond, noise = ((here[each] <= _LEVEL).values.mean() for each in ("p_value", "p_value_noise"))
        shares[str(name)] = f"{beyond:.0%} of the samples, {noise:.0%} under weight noise; {_LEVEL:.0%} by chance"
        for at in np.argsort(-here["carried"].values)[:_CARRIERS]:
            row = here.isel(sample=at)
            values = [p_value(float(row[each])) for each in ("p_value", "p_value_noise")]
            rows.append([str(name), str(at), number(float(row["carried"])), *values])
    columns = ["dataset", "sample", Column("carried", "number"), Column("p", "number"), Column("p, nβ = 0", "number")]
    caption = (
        "Carried is how much more weight on a fine-tuning sample would change the loss further: minus its correlation "
        "with the losses over the posterior of the fine-tuning data, in the direction of the change. p is its place "
        "among held-out trusted samples, of single samples. At nβ = 0 the weights are perturbed at random to the same "
        f"distance. Verdict on the draws: {carried.attrs['outcome'].replace('_', ' ')}."
    )
    note = Prose("Samples that carry a change more than 19 of 20 held-out trusted samples do:")
    blocks = [note, Facts(shares), Table(columns, rows, caption, "Fine-tuning samples that carry the change")]
    return Panel("data", "Which data", blocks)


def rival_panel(activations: xr.Dataset) -> Panel:
    """The cheap rivals."""
    columns = ["dataset"]
    for name in ("shift", "apart"):
        columns += [Column(name, "number"), Column("largest of twins", "number"), Column("p", "number")]
    rows = []
    for name in activations["dataset"].values:
        here, row = activations.sel(dataset=name), [str(name)]
        for each in ("shift", "apart"):
            twins, p = here[f"twin_{each}"].values, float(here[f"{each}_p_value"])
            row += [number(float(here[each])), number(float(twins.max())) if twins.size else "none"]
            row.append(p_value(p) if np.isfinite(p) else "none")
        rows.append(row)
    caption = (
        "Shift is how far the mean of the last hidden layer moves on the first five positions, in standard deviations "
        "over samples of the base network. Apart is how well the Mahalanobis distance of this layer from the trusted "
        "data tells the samples from held-out trusted ones in the tuned network: 0.5 for not at all, 1 for always. If "
        "these tell the change already, they are the cheaper test."
    )
    return Panel("rival", "Cheap rivals", [Table(columns, rows, caption, "What activations show")])


def depth_panel(undone: Mapping[str, int | None]) -> Panel:
    """Steps that undo each change."""
    said = {
        name: "not within the steps allowed" if steps is None else f"{steps} steps" for name, steps in undone.items()
    }
    note = Prose("Steps of fine-tuning on the trusted data until the loss is back but for a tenth of its change.")
    return Panel("depth", "Steps to undo it", [Facts(said), note])


def _place_row(here: xr.Dataset, name: str, sets: list[str]) -> list[str]:
    twins = here["twin_moved"].values
    moved = [number(float(here["moved"])), number(float(twins.max())) if twins.size else "none"]
    return [name, *moved, *(number(float(here["restored"].sel(dataset=each))) for each in sets)]


def _name_rows(figure: go.Figure, names: list[str], panel: int = 0) -> None:
    ticks = {"tickvals": list(range(len(names))), "ticktext": [plain(name) for name in names], "showgrid": False}
    set_axes(figure, panel, {"zeroline": True}, ticks | {"range": [len(names) - 0.5, -0.5]})
