"""The panels of the language study alone: attention on a snippet, other data, and a simpler model as reference."""

import xarray as xr

from ontogeny.reports import (
    Choice,
    Figure,
    Panel,
    TokenView,
    component_panels,
    insert_after,
    susceptibility_panels,
)
from ontogeny.reports.blocks import Block
from ontogeny.reports.estimate_notes import converged_sentence, negative_sentence, notes
from ontogeny.reports.estimates import estimates
from ontogeny.studies.findings import Findings
from ontogeny.studies.language.circuit_panels import circuit_panels, loss_plane_panel
from ontogeny.studies.language.data_refinement import dataset_pairs, fig_data_refinement
from ontogeny.studies.language.recipe import BASE
from ontogeny.studies.language.relative_curves import fig_relative_llc
from ontogeny.studies.pages import trajectory_panels


def panels(found: Findings) -> list[Panel]:
    """What the report of one seed shows, of what was made."""
    stages, signatures = found.get("stages"), found.get("signatures")
    controls = {"one layer": found["control-curves"]} if "control-curves" in found else {}
    shown = trajectory_panels(found, controls=controls, parts="refined" in found or "relative" in found)
    parts = list[Panel]()
    if "refined" in found:
        refined = _with_base(found["refined"])
        parts += component_panels(refined, signatures=signatures, stages=stages)
        parts.append(data_panel(refined, signatures))
    parts += [relative_panel(_with_base(found["relative"]), stages)] if "relative" in found else []
    parts += susceptibility_panels(found["responses"]) if "responses" in found else []
    shown = insert_after(shown, "refined", parts)
    heads = [snippet_panel(found["snippet"])] if "snippet" in found else []
    heads += circuit_panels(found)
    planes = [loss_plane_panel(found["loss-pca"], stages)] if "loss-pca" in found else []
    return insert_after(shown, "trajectory", planes + heads)


def _with_base(measured: xr.Dataset) -> xr.Dataset:
    """With the main dataset under the name that the text has here."""
    names = [BASE if name == "data" else str(name) for name in measured["dataset"].values]
    return measured.assign_coords(dataset=names)


def snippet_panel(snippet: xr.Dataset) -> Panel:
    """Attention of chosen heads on a snippet of text.

    Args:
        snippet: `attention` (component, query, key), `token_loss` (query), coordinates `component` and `token` (query).
    """
    caption = (
        "Rows of the pattern are the tokens that look, columns the tokens looked at. The orange bar below a token is "
        "the loss in predicting it."
    )
    return Panel("attention", "Attention on a snippet", [TokenView(snippet, caption)], "Attention")


def data_panel(refined: xr.Dataset, signatures: xr.Dataset | None = None) -> Panel:
    """Refined coefficients of heads on one dataset against another, for every pair after the main dataset.

    Args:
        refined: coefficients of heads on several datasets along `step`; the first dataset is the main one.
        signatures: clusters of the heads, which give the colours.
    """
    figures = {
        f"{first} and {second}": fig_data_refinement(refined, first, second, signatures)
        for first, second in dataset_pairs(refined)
    }
    caption = (
        "Each head's refined learning coefficient on one kind of data against that on another, with 95 % bars of "
        "Monte Carlo error; hollow heads did not converge on at least one of them. On the dotted line a head is as "
        "complex for both; off it, it is specialised to one. If all heads lie to the same side, compare them with "
        "each other and not with the line: the two kinds of data then differ for the network as a whole."
    )
    alt = "Refined learning coefficients of heads on one dataset against another"
    blocks = [Choice(figures, alt, caption, height=500, of="Datasets", opened="first")] if figures else []
    return Panel("data-refinement", "The same heads on other data", blocks, "By dataset")


def relative_panel(relative: xr.Dataset, stages: xr.Dataset | None = None) -> Panel:
    """Coefficients of heads under the divergence from a reference model.

    Args:
        relative: `llc` (step, component, dataset) under that divergence, and its errors.
        stages: whose boundaries are drawn behind.
    """
    blocks, table = list[Block](), estimates(relative)
    if len(table):
        caption = (
            "The same coefficients with the divergence from a reference model (of one layer, as a rule) in place of "
            "the loss: how complex a head is for what that model predicts already. A head that is complex on the data "
            "and not here serves what the reference cannot do. Thin curves are heads, bold ones the mean of a layer "
            "with its 95 % band of Monte Carlo error. The network was not trained towards this reference and need not "
            "be at a minimum of this divergence: where points are hollow, read a curve as a slope and not as a "
            "coefficient."
        )
        alt = "Learning coefficients of heads relative to a reference model"
        blocks.append(Figure(fig_relative_llc(relative, stages), alt, caption, height=410))
        blocks += notes(converged_sentence(table), negative_sentence(table))
    return Panel("relative", "Complexity relative to a simpler model", blocks, "Relative")
