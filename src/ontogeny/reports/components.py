"""The panels on parts of a network: refined coefficients, parts that develop alike, and susceptibilities."""

import xarray as xr

from ontogeny.reports.blocks import Block, Choice, Column, Entry, Figure, Heading, Panel, Table
from ontogeny.reports.component_curves import fig_component_curves
from ontogeny.reports.component_map import fig_component_map, map_steps
from ontogeny.reports.estimate_notes import converged_sentence, negative_sentence, notes
from ontogeny.reports.estimates import estimates, has_complexity
from ontogeny.reports.signature_table import signature_rows, signature_sentences
from ontogeny.reports.style import step_text
from ontogeny.reports.susceptibility_map import fig_susceptibility
from ontogeny.reports.token_plane import fig_token_susceptibility, has_plane


def component_panels(
    refined: xr.Dataset, *, signatures: xr.Dataset | None = None, stages: xr.Dataset | None = None
) -> list[Panel]:
    """The panels of refined coefficients, in order: components, signatures.

    Args:
        refined: coefficients of the network's parts along `step`, of one run; of several datasets the first is the
            main one.
        signatures: parts clustered by their refined curves; members of run 0 are those of this run.
        stages: whose boundaries are drawn behind the curves.
    """
    return [_coefficients_panel(refined, signatures, stages), _signatures_panel(signatures)]


def susceptibility_panels(answers: xr.Dataset) -> list[Panel]:
    """The panels of susceptibilities, in order: susceptibility, tokens.

    Args:
        answers: how parts answer to datasets (`susceptibility`), to single tokens (`token_susceptibility`), or both.
    """
    datasets, tokens = list[Block](), list[Block]()
    if "susceptibility" in answers:
        alt = "Susceptibilities of components to datasets"
        datasets.append(Figure(fig_susceptibility(answers), alt, _susceptibility_caption(answers), height=520))
    if has_plane(answers):
        caption = (
            "Each dot is a token in its context, placed by the first two principal components of its "
            "susceptibilities, every part standardised over tokens; point at it to read it. Near tokens are answered "
            "alike by all parts. The first component often holds only what all parts share, such as how hard a token "
            "is to predict; and two components of little variance leave most of what parts tell apart unseen."
        )
        alt = "Tokens by the principal components of their susceptibilities"
        tokens.append(Figure(fig_token_susceptibility(answers), alt, caption, height=520))
    return [
        Panel("susceptibility", "Which data each part answers to", datasets, "Susceptibility"),
        Panel("tokens", "Tokens that parts answer to alike", tokens, "Tokens"),
    ]


def _coefficients_panel(refined: xr.Dataset, signatures: xr.Dataset | None, stages: xr.Dataset | None) -> Panel:
    blocks, table = list[Block](), estimates(refined)
    maps = {f"step {step_text(step)}": fig_component_map(refined, step) for step in map_steps(refined)}
    if maps:
        what = "Complexity" if has_complexity(refined) else "Learning coefficients"
        caption = (
            f"{what} refined to each head: how complex the solution is within the head's own weights, the rest of the "
            "network held fixed. Colours mean the same at every checkpoint. **○** did not converge, **×** is no "
            "number, an empty cell was not measured; point at a cell for its error."
        )
        alt = "Refined learning coefficients of all heads at a checkpoint"
        blocks.append(Choice(maps, alt, caption, name="component-map", height=204))
    if len(table):
        caption = (
            "Bands are 95 % of Monte Carlo error, hollow points estimates that did not converge, vertical lines the "
            "stage boundaries. Panels of heads share one range."
        )
        if signature_rows(signatures):
            caption += " Colours are the clusters below; parts that took no part in the clustering are grey."
        caption += " Coefficients of parts need not add up to that of the whole."
        curves = fig_component_curves(refined, signatures, stages)
        alt = "Refined learning coefficients of parts over training steps"
        blocks += [Heading("Along training"), Figure(curves, alt, caption, name="component-curves", height=560)]
    if blocks:
        blocks += notes(converged_sentence(table), negative_sentence(table))
    return Panel("components", "Heads and other parts", blocks, "Heads and parts")


def _signatures_panel(signatures: xr.Dataset | None) -> Panel:
    rows = signature_rows(signatures)
    if not rows:
        return Panel("signatures", "Which parts develop alike", [])
    labelled = bool(rows[0]["label"])
    columns = [Column("Cluster", "value", head=True), *([Column("Label")] if labelled else []), Column("Parts")]
    cells = [
        [Entry(row["cluster"], dot=row["color"]), *([row["label"]] if labelled else []), row["components"]]
        for row in rows
    ]
    caption = (
        "Parts are clustered by the shape of their curves along training, each curve standardised. Stability is the "
        "mean agreement (adjusted Rand index, 1 if the same, 0 as by chance) with the clusters of curves that are "
        "drawn anew from the errors of their estimates."
    )
    if labelled:
        caption += (
            " Labels come from other evidence; under the null of p they are permuted within layers, for heads of one "
            "layer resemble each other whatever they do."
        )
    caption += " A handful of curves falls into clusters whatever they are."
    blocks = [Table(columns, cells, caption, "Clusters of components"), *notes(*signature_sentences(signatures))]
    return Panel("signatures", "Which parts develop alike", blocks, "Signatures")


def _susceptibility_caption(answers: xr.Dataset) -> str:
    caption = (
        "A susceptibility χ says how the loss that changes of a part's weights cause would move if the training data "
        "moved a little towards a dataset. It is negative where such changes cost more on those data than on the "
        "training data: the part expresses their patterns; positive where they cost less, or even help: it works "
        "against them. Values of different parts differ by a factor that is not known, so that "
    )
    if answers.sizes["perturbation"] > 2:
        caption += "each row is standardised: **blue** is below the part's own mean over datasets, **orange** above."
    else:
        caption += "each row is divided by its largest magnitude: **blue** is negative, **orange** positive."
    caption += " Compare within a row, or the patterns of rows; point at a cell for χ itself."
    if "susceptibility_noise" in answers:
        caption += (
            " A hollow dot marks a cell that cannot be told from its control, the same measurement on weights that "
            "feel no loss."
        )
    return caption
