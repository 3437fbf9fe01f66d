"""The panels of the belief study: beliefs in the activations, their rivals, use of context, and the mixed states."""

from collections.abc import Mapping

import xarray as xr

from ontogeny.reports import Choice, Column, Figure, Heading, Panel, Prose, Table, insert_after, literal
from ontogeny.reports.blocks import Block
from ontogeny.reports.estimate_notes import notes
from ontogeny.reports.runs import figures_by_run, run_title
from ontogeny.reports.tables import keyed_table
from ontogeny.studies.belief_states.belief_figures import (
    fig_belief_lengths,
    fig_belief_r2,
    fig_context_loss,
    fig_rivals,
)
from ontogeny.studies.belief_states.belief_pictures import fig_simplex
from ontogeny.studies.belief_states.belief_tables import (
    distance_rows,
    excess_sentence,
    linear_in_law,
    regression_table,
    steering_sentences,
)
from ontogeny.studies.belief_states.presentation_graph import fig_presentation
from ontogeny.studies.belief_states.recipe import RECURRENT, TRANSFORMER
from ontogeny.studies.findings import Findings
from ontogeny.studies.pages import trajectory_panels


def panels(found: Findings) -> list[Panel]:
    """What the report of one seed shows, of what was made."""
    read = {name: found.get(f"beliefs-{name.lower()}") for name in (TRANSFORMER, RECURRENT)}
    beliefs = {name: parts["regressions"] for name, parts in read.items() if parts}
    own = belief_panels(
        found["trajectory"].merge(found.get("optimum", xr.Dataset())),
        stages=found.get("stages"),
        beliefs=beliefs,
        picture=read[TRANSFORMER]["picture"] if TRANSFORMER in beliefs else None,
        presentation=found.get("presentation"),
    )
    return insert_after(trajectory_panels(found), "stages", own)


def belief_panels(
    trajectory: xr.Dataset,
    *,
    stages: xr.Dataset | None = None,
    beliefs: Mapping[str, xr.Dataset] | None = None,
    picture: xr.Dataset | None = None,
    presentation: xr.Dataset | None = None,
) -> list[Panel]:
    """The panels on beliefs, in order: beliefs, rivals, context-loss, presentation; those without data are empty.

    Args:
        trajectory: with `belief_r2`, `loss_by_length` and `optimal_loss` along `step`.
        stages: whose boundaries are drawn behind.
        beliefs: belief regressions over `site`, by the network's name.
        picture: true and regressed beliefs of contexts in the plane.
        presentation: the mixed-state presentation of the process as a graph.
    """
    beliefs = beliefs or {}
    return [
        _beliefs_panel(trajectory, stages, picture),
        _rivals_panel(beliefs),
        _context_panel(trajectory, stages, beliefs),
        _presentation_panel(presentation),
    ]


def _beliefs_panel(trajectory: xr.Dataset, stages: xr.Dataset | None, picture: xr.Dataset | None) -> Panel:
    blocks = list[Block]()
    if picture is not None:
        colour = "that of its likeliest state." if picture.sizes["state"] > 3 else "a mix of those of the states."
        caption = (
            "A belief says how probable each hidden state is after a context. Each dot is one context, as large as "
            f"the context is probable, in the same colour on both sides: {colour} In the first panel it stands at its "
            "exact belief, in the second where a linear map puts it that was fitted to the activations of **other** "
            "contexts. Point at a dot to read its context."
        )
        alt = "Exact beliefs beside the beliefs read from activations"
        blocks.append(Figure(fig_simplex(picture), alt, caption, name="simplex", height=370))
    if "belief_r2" in trajectory:
        caption = (
            "R² of the beliefs that a linear map reads from the activations of contexts it was not fitted to, "
            "contexts weighted by their probability. Step 0 is the untrained network: its R² is what the architecture "
            "gives without learning. Where distances are shown, those between regressed beliefs are compared with "
            "those between exact beliefs and with those between next-token laws, on one scale. Vertical lines are "
            "stage boundaries."
        )
        figures = figures_by_run(fig_belief_r2, trajectory, stages)
        alt, of = "R² of the beliefs at each site over training steps", run_title(trajectory) or "Run"
        blocks += [Heading("Along training"), Choice(figures, alt, caption, name="belief-r2", of=of, opened="first")]
    return Panel("beliefs", "Beliefs in the activations", blocks, "Beliefs")


def _rivals_panel(beliefs: Mapping[str, xr.Dataset]) -> Panel:
    title = "What else could explain it"
    if not beliefs:
        return Panel("rivals", title, [])
    figures = {network: fig_rivals(found) for network, found in beliefs.items()}
    alt = "R² of the beliefs beside every rival and control"
    rivals = Choice(figures, alt, _rivals_caption(beliefs), height=380, of="Network", opened="first")
    alt = "R² of the beliefs by length of the context"
    caption = (
        "The same held-out regressions, judged among contexts of one length: short contexts have few beliefs but much "
        "weight, so that a high R² over all can hide what long contexts lack."
    )
    lengths = Figure(fig_belief_lengths(beliefs), alt, caption, name="belief-lengths")
    blocks = [rivals, lengths, Heading("Every regression"), _regressions_table(beliefs)]
    blocks += [Heading("Distances between contexts"), _distances_table(beliefs), *_steering(beliefs)]
    return Panel("rivals", title, blocks, "Rivals")


def _rivals_caption(beliefs: Mapping[str, xr.Dataset]) -> str:
    caption = (
        "A high R² means little by itself. Each row is something else that the beliefs can be read from, under the "
        "same cross-validation; a mark to the right of the dotted line of its colour does at least as well as the "
        "trained activations at that site. The untrained network and the random projection say what width alone "
        "gives, the last tokens what a short memory gives. R² is spaced by what is left unexplained; values beyond an "
        "end of the axis stand at that end."
    )
    if linear_in_law(beliefs):
        caption += (
            " **Of this process the belief is a linear map of the next-token law**: the law's R² is 1, and reading "
            "the belief shows no more than that the network predicts the next token well."
        )
    return caption


def _regressions_table(beliefs: Mapping[str, xr.Dataset]) -> Table:
    columns, rows = regression_table(beliefs)
    caption = (
        "R² is held out: no context is both fitted and tested. Untrained is the same network before training, "
        "projection a random one of the tokens to as many columns, law the exact next-token law, last 2 the last two "
        "tokens. Shuffled is the mean R² of beliefs shuffled between contexts, p the share of shuffles that do as "
        "well; for these two each context counts once. Columns are those of the activations, for so many distinct "
        "contexts. Overtaken by: the fewest last tokens that tell the belief at least as well, of all that were tried."
    )
    return keyed_table(columns, rows, "Belief regressions", caption)


def _distances_table(beliefs: Mapping[str, xr.Dataset]) -> Table:
    columns = {
        "site": Column("Site", head=True),
        "network": Column("Network"),
        "trained beliefs": Column("Beliefs", "number"),
        "trained next-token laws": Column("Next-token laws", "number"),
        "untrained beliefs": Column("Beliefs, untrained", "number"),
        "untrained next-token laws": Column("Laws, untrained", "number"),
    }
    caption = (
        "R² of the distances between regressed beliefs with those between exact beliefs, and with those between "
        "next-token laws. Contexts with different beliefs and one law tell the two apart."
    )
    return keyed_table(columns, distance_rows(beliefs), "R² of distances", caption)


def _steering(beliefs: Mapping[str, xr.Dataset]) -> list[Block]:
    sentences = steering_sentences(beliefs)
    if not sentences:
        return []
    caption = (
        "Activations after one context are moved towards the belief after another. The divergence is from the exact "
        "law after the other context to the network's output: all removed would be an output as after that context."
    )
    return [Heading("Steering"), *notes(*sentences), Prose(caption, "caption")]


def _context_panel(trajectory: xr.Dataset, stages: xr.Dataset | None, beliefs: Mapping[str, xr.Dataset]) -> Panel:
    if not {"loss_by_length", "optimal_loss"} <= set(trajectory.data_vars):
        return Panel("context-loss", "Use of context", [])
    caption = (
        "The dashed curve of the first panel is the least loss that any predictor can have after so many tokens, the "
        "process's own uncertainty; it falls towards the entropy rate. Beside it are checkpoints that have come near "
        "it. The second panel shows how far the network is above it for some lengths and on average over all, on a "
        "logarithmic axis. "
    ) + literal(excess_sentence(beliefs, trajectory))
    figures = figures_by_run(fig_context_loss, trajectory, stages)
    alt, of = "Loss by length of the context against the optimum", run_title(trajectory) or "Run"
    return Panel("context-loss", "Use of context", [Choice(figures, alt, caption.strip(), of=of, opened="first")])


def _presentation_panel(presentation: xr.Dataset | None) -> Panel:
    if presentation is None:
        return Panel("presentation", "What there is to know", [])
    caption = (
        f"Mixed states of {literal(presentation.attrs['process'])}: every belief that a context can lead to, from the "
        "belief before any symbol at the top. An edge is one symbol, stronger where it is more probable."
    )
    if presentation.attrs["complete"]:
        caption += (
            " **Filled** states are recurrent; hollow ones are passed through while the hidden state is being found."
        )
    else:
        caption += (
            " Only the first levels are shown: there are more states, perhaps without end, so none is marked as "
            "recurrent."
        )
    if "transient_modulus" in presentation:
        caption += (
            " The moduli of the eigenvalues of the hollow part say how slowly that search ends: 0 is over after "
            "finitely many symbols, 0.9 leaves nine tenths after each."
        )
    alt = "Mixed-state presentation of the process as a graph"
    figure = Figure(fig_presentation(presentation), alt, caption, height=480)
    return Panel("presentation", "What there is to know", [figure], "Mixed states")
