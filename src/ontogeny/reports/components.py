"""The panels on components: refined coefficients, components that develop alike, and susceptibilities."""

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
        refined: coefficients of components along `step`, for one run. The first of several datasets is the main one.
        signatures: components clustered by their refined curves; members of run 0 are those of this run.
        stages: whose boundaries are drawn behind the curves.
    """
    return [_coefficients_panel(refined, signatures, stages), _signatures_panel(signatures)]


def susceptibility_panels(answers: xr.Dataset) -> list[Panel]:
    """The panels of susceptibilities, in order: susceptibility, tokens.

    Args:
        answers: susceptibilities of components to datasets (`susceptibility`), to single tokens
            (`token_susceptibility`), or both.
    """
    datasets, tokens = list[Block](), list[Block]()
    if "susceptibility" in answers:
        alt = "Susceptibilities of components to datasets"
        datasets.append(Figure(fig_susceptibility(answers), alt, _susceptibility_caption(answers), height=520))
    if has_plane(answers):
        caption = (
            "Each dot is a token in its context, placed by the first two principal components of its "
            "susceptibilities, every component standardised over tokens; point at it to read it. Components respond "
            "alike to nearby tokens. The first axis often shows only what all share, such as how hard a token "
            "is to predict. Two axes of little variance leave most of the differences unseen."
        )
        alt = "Tokens by the principal components of their susceptibilities"
        tokens.append(Figure(fig_token_susceptibility(answers), alt, caption, height=520))
    return [
        Panel("susceptibility", "Which data each component responds to", datasets, "Susceptibility"),
        Panel("tokens", "Tokens to which components respond alike", tokens, "Tokens"),
    ]


def _coefficients_panel(refined: xr.Dataset, signatures: xr.Dataset | None, stages: xr.Dataset | None) -> Panel:
    blocks, table = list[Block](), estimates(refined)
    maps = {f"step {step_text(step)}": fig_component_map(refined, step) for step in map_steps(refined)}
    if maps:
        what = "Complexity" if has_complexity(refined) else "Learning coefficients"
        caption = (
            f"{what} refined to each head: how complex the solution is within the head's own weights, the rest of the "
            "network held fixed. Colours mean the same at every checkpoint. **○** did not converge, **×** is not a "
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
            caption += " Colours are the clusters below; components left out of the clustering are grey."
        caption += " Coefficients of components need not add up to that of the whole."
        curves = fig_component_curves(refined, signatures, stages)
        alt = "Refined learning coefficients of components over training steps"
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
        "Components are clustered by the shape of their standardised curves along training. Stability is the "
        "mean agreement (adjusted Rand index: 1 if identical, 0 as by chance) with the clusters of curves "
        "resampled from the errors of their estimates."
    )
    if labelled:
        caption += (
            " Labels come from other evidence. For p they are permuted within layers, because heads of one "
            "layer resemble each other whatever they do."
        )
    caption += " A handful of curves falls into clusters whatever they are."
    blocks = [Table(columns, cells, caption, "Clusters of components"), *notes(*signature_sentences(signatures))]
    return Panel("signatures", "Which parts develop alike", blocks, "Signatures")


def _susceptibility_caption(answers: xr.Dataset) -> str:
    caption = (
        "A susceptibility χ says how the loss from changes of a component's weights would respond if the training "
        "data moved a little towards a dataset. It is negative if such changes cost more on that dataset than on the "
        "training data: the component expresses its patterns. It is positive if they cost less, or even help: it works "
        "against them. Values of different components differ by an unknown factor, so "
    )
    if answers.sizes["perturbation"] > 2:
        caption += "each row is standardised: **blue** is below the component's mean over datasets, **orange** above."
    else:
        caption += "each row is divided by its largest magnitude: **blue** is negative, **orange** positive."
    caption += " Compare within a row, or the patterns of rows; point at a cell for χ itself."
    if "susceptibility_noise" in answers:
        caption += (
            " A hollow dot marks a cell indistinguishable from its control, the same measurement on weights that "
            "feel no loss."
        )
    return caption
