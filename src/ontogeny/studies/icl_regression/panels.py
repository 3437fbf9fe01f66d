"""The panels of the study of in-context regression."""

from collections.abc import Iterator, Sequence

import numpy as np
import xarray as xr

from ontogeny.core.intervals import Z95
from ontogeny.reports import Choice, Column, Figure, Panel, Table, Tag, insert_after
from ontogeny.studies.findings import Findings
from ontogeny.studies.icl_regression.config import INFINITE
from ontogeny.studies.icl_regression.evidence import phase_table, rebound, ridge_distance, steps_of
from ontogeny.studies.icl_regression.figures import (
    fig_coefficients,
    fig_distances,
    fig_errors,
    fig_essential,
    fig_free_energies,
    fig_inside,
    fig_scales,
    fig_space,
)
from ontogeny.studies.icl_regression.recipe import coefficients_of, curves_of
from ontogeny.studies.pages import trajectory_panels


def panels(found: Findings) -> list[Panel]:
    """What the report of one seed shows: those of the network of infinite diversity, and of all together."""
    shown = trajectory_panels(found) if "trajectory" in found else []
    own = list(_own(found))
    return insert_after(shown, "stages", own) if shown else own


def _own(found: Findings) -> Iterator[Panel]:
    labels = labels_in(found)
    curves = {label: found[curves_of(label)] for label in labels}
    if curves:
        yield _distances_panel(found, curves)
    if "pca" in found:
        caption = (
            "Predictions of all networks on the same sequences of Gaussian tasks, in their first three principal "
            "components. The exact predictors are projected and have no part in the fit. Networks begin with the same "
            "weights. Drag to turn."
        )
        alt = "Joint trajectory of all task diversities in three principal components"
        yield Panel(
            "space", "All diversities in one space", [Figure(fig_space(found["pca"]), alt, caption, height=520)]
        )
    coefficients = {label: found[name] for label in labels if (name := coefficients_of(label)) in found}
    if coefficients:
        yield _coefficients_panel(coefficients)
    if all(f"ridge-phase-{label}" in found for label in labels if label != INFINITE) and coefficients:
        yield _phases_panel(found, [int(label) for label in labels if label != INFINITE])
    if curves:
        yield _inside_panel(curves)
    if "essential" in found:
        yield _essential_panel(found["essential"])


def labels_in(found: Findings) -> list[str]:
    """The diversities that were measured, from few tasks to infinitely many."""
    finite = [name.removeprefix("curves-") for name in found if name.startswith("curves-")]
    known = sorted((label for label in finite if label.isdigit()), key=int)
    return [*known, *([INFINITE] if curves_of(INFINITE) in found else [])]


def _distances_panel(found: Findings, curves: dict[str, xr.Dataset]) -> Panel:
    caption = (
        "Mean squared distance of a network's predictions to those of ridge, which is best for infinitely many tasks, "
        "and of dMMSE, which is best for its own M. A network is like ridge for a time where the distance to ridge on "
        "Gaussian tasks falls and then rises again."
    )
    errors = "Squared errors of predictions, their mean square, and how much the last pair gains over the first."
    numbers = ("Nearest to ridge at step", "Distance there", "At the end", "End over nearest")
    columns = [Column("M", head=True), *(Column(title, "number") for title in numbers)]
    rows = []
    for label in curves:
        path = ridge_distance(found, label).mean(1)
        at = float(steps_of(found, label)[path.argmin()])
        rows.append([label, at, float(path.min()), float(path[-1]), rebound(path)])
    blocks = [
        Figure(fig_distances(curves), "Distances to ridge and dMMSE along training", caption, height=570),
        Table(columns, rows, "Out of distribution, on sequences of Gaussian tasks.", label="Nearest to ridge"),
        Figure(fig_errors(curves), "Losses along training by task diversity", errors, name="errors", height=570),
    ]
    return Panel("distances", "Between ridge and dMMSE", blocks, "Ridge or dMMSE")


def _coefficients_panel(coefficients: dict[str, xr.Dataset]) -> Panel:
    caption = (
        "The complexity part of the learning coefficient of every network on its own task distribution, all at one nβ "
        "and γ: at the last checkpoint with its 95 % band of Monte Carlo error, along training, and against the loss."
    )
    alt = "Learning coefficients by task diversity"
    columns = [Column("M", head=True), "Step", "Complexity", "± (95 %)", "Descent", "Withheld by γ", Column("Outcome")]
    rows = []
    for label, each in coefficients.items():
        last = each.isel(step=-1).squeeze()
        numbers = [float(last[f"llc_{name}"]) for name in ("complexity", "complexity_mcse", "descent", "withheld")]
        numbers[1] *= Z95
        rows.append([label, float(last["step"]), *numbers, Tag(str(last["llc_outcome"].values))])
    blocks = [Figure(fig_coefficients(coefficients), alt, caption, height=600), Table(columns, rows, label=alt)]
    return Panel("coefficients", "Complexity and the number of tasks", blocks, "Complexity")


def _phases_panel(found: Findings, diversities: list[int]) -> Panel:
    table = phase_table(found, diversities)
    caption = (
        "Δλ is the coefficient of the last network of each M less that of the ridge-like phase, for which the last "
        "network of infinite M stands, on the sequences of M; ΔL how far its loss lies below, in nats a sequence. "
        "Free energies n L + λ ln n cross at n/ln n = Δλ/ΔL: beyond this number of sequences the posterior prefers "
        "dMMSE; 0 says that it does at every n. Training is no sampling from a posterior: only the order of the "
        "crossovers is compared with that of the steps."
    )
    columns = [Column("M", head=True), "Δλ", "ΔL", "Crossover n", "Turned at step", "End over nearest"]
    names = ("complexity_gap", "loss_gap", "crossover", "turn", "rebound")
    rows = [
        [str(M), *(_shown(float(table[name].values[place])) for name in names[:3]), *_floats(table, names[3:], place)]
        for place, M in enumerate(table["M"].values)
    ]
    blocks: list[Table | Choice] = [Table(columns, rows, caption, label="Loss gap and complexity gap of two phases")]
    if "phases" in found:
        phases = found["phases"]
        crossings = ", ".join(
            f"M {label} at {_shown(float(n))}"
            for label, n in zip(phases["M"].values, phases["crossing"].values, strict=True)
        )
        caption = (
            "The posterior itself: log of the mass around the dMMSE-like network over that around the ridge-like one, "
            "each under a Gaussian of variance 1/γ around it, by thermodynamic integration of chains from both, with "
            f"95 % of their Monte Carlo error. The dMMSE-like phase holds more mass for good from: {crossings}."
        )
        alt = "Log odds of the two phases over the number of sequences"
        blocks.append(
            Choice(fig_free_energies(phases), alt, caption, name="free-energy", of="Diversity", opened="first")
        )
    return Panel("phases", "Which phase the posterior prefers", blocks, "Two phases")


def _inside_panel(curves: dict[str, xr.Dataset]) -> Panel:
    figures = {f"M {label}": fig_inside(each) for label, each in curves.items()}
    caption = (
        "The effective rank is the exponential of the entropy of the squared singular values. A gain counts as "
        "collapsed below 0.1, an entry of the unembedding below a tenth of the largest. The variability of a head is "
        "the mean total variation between the pattern on a sequence and its mean over sequences."
    )
    scales = "Squared error at the last checkpoint over that of the prediction 0, on Gaussian tasks that are scaled."
    blocks = [
        Choice(figures, "Spectra, gains and attention along training", caption, height=570, of="Diversity"),
        Figure(fig_scales(curves), "Loss over the scale of inputs and tasks", scales, name="scales"),
    ]
    return Panel("inside", "Inside the networks, and far from the training distribution", blocks, "Inside")


def _essential_panel(essential: xr.Dataset) -> Panel:
    count, p_value = essential.sizes["form"], float(essential["p_value"])
    typical = float(np.median(essential["null_forms"]))
    caption = (
        "The smoothed path of the network of infinite diversity in each plane of its own principal components, from "
        f"blue to orange. Rings are forms, times at which every plane has a cusp or a vertex: {count} here, "
        f"{typical:g} typically in Brownian motion over the same steps, which has as many with probability "
        f"{p_value:.2g}."
    )
    figure = Figure(fig_essential(essential), "Path of one network in planes of its components", caption, height=640)
    return Panel("essential", "Essential dynamics", [figure])


def _floats(table: xr.Dataset, names: Sequence[str], place: int) -> list[float]:
    return [float(table[name].values[place]) for name in names]


def _shown(value: float) -> str:
    if np.isnan(value):
        return "not usable"
    return "∞" if np.isinf(value) else f"{value:.3g}" if abs(value) < 1e4 else f"{value:.2e}"
