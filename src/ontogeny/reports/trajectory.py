"""The panels of a training run: its course, and how far its estimates can be trusted."""

from collections.abc import Mapping

import xarray as xr

from ontogeny.core.errors import InvalidArgument
from ontogeny.core.joined_stages import stages_by_run
from ontogeny.core.runs import runs_of
from ontogeny.reports.behaviour import SCORE_TITLES, fig_behaviour, fig_head_scores
from ontogeny.reports.blocks import Block, Choice, Figure, Panel, Tag
from ontogeny.reports.choice import fig_choice
from ontogeny.reports.estimate_notes import converged_sentence, negative_sentence, notes, runs_sentences
from ontogeny.reports.estimates import estimates, has_complexity, main_estimates
from ontogeny.reports.head_map import fig_head_map
from ontogeny.reports.learning_curves import fig_loss_and_llc, fig_refined_llc
from ontogeny.reports.runs import figures_by_run, run_title
from ontogeny.reports.sampler import diagnostics_panel, settings_panel
from ontogeny.reports.stage_marks import staged_quantity
from ontogeny.reports.stages import stages_panel
from ontogeny.reports.trajectory_plane import fig_trajectory_pca

_BEHAVIOUR = {"ngram_cross_entropy", "icl_score", "repeated_gain", "loss_by_position", "test_loss"}


def trajectory_panels(
    trajectory: xr.Dataset,
    *,
    stages: xr.Dataset | None = None,
    unstaged: str = "",
    pca: xr.Dataset | None = None,
    controls: Mapping[str, xr.Dataset] | None = None,
    choice: xr.Dataset | None = None,
    parts: bool = False,
) -> list[Panel]:
    """The panels of a trajectory, in order: loss-llc, stages, refined, behaviour, heads, trajectory, choice,
    diagnostics, settings.

    All of them are returned. Those without data have no blocks and are omitted from a page, so `insert_after` can place
    others after any of them.

    Args:
        trajectory: measurements along `step`, of one run or of several joined along a further dimension.
        stages: stages found in the trajectory.
        unstaged: why stages were not looked for, as one or two sentences; shown if there are none.
        pca: principal components of the outputs, with their Brownian null.
        controls: trajectories of control runs by name.
        choice: trials from which temperature and localization were chosen; see `fig_choice`.
        parts: whether estimates of components are in other panels of the page.

    Raises:
        InvalidArgument: if the trajectory has no steps, or ambiguous dimensions (see `core.runs`).
    """
    runs_of(trajectory)
    if trajectory["step"].size == 0:
        found = f"dimensions {dict(trajectory.sizes)}"
        raise InvalidArgument("trajectory", expected="a Dataset with at least one `step`", found=found)
    trajectory, controls = _measured(trajectory), controls or {}
    return [
        _loss_panel(trajectory, stages),
        stages_panel(stages, unstaged, run_title(trajectory)),
        _refined_panel(trajectory, stages),
        _behaviour_panel(trajectory, stages),
        _heads_panel(trajectory, stages, controls),
        _plane_panel(pca, stages),
        _choice_panel(trajectory, choice),
        diagnostics_panel(trajectory, parts),
        settings_panel(trajectory),
    ]


def _measured(trajectory: xr.Dataset) -> xr.Dataset:
    """The trajectory without variables that have no values. Coefficients are kept, because their outcomes say why."""
    empty = [
        name
        for name, values in trajectory.data_vars.items()
        if not str(name).startswith("llc") and values.dtype.kind == "f" and not bool(values.notnull().any())
    ]
    return trajectory.drop_vars(empty)


def _loss_panel(trajectory: xr.Dataset, stages: xr.Dataset | None) -> Panel:
    table = estimates(trajectory)
    if "loss" not in trajectory and table.empty:
        return Panel("loss-llc", "Loss", [])
    figure = Figure(
        fig_loss_and_llc(trajectory, stages),
        "Loss and learning coefficient over training steps",
        _loss_caption(trajectory, stages),
        height=580,
    )
    own = main_estimates(table)
    sentences = [*runs_sentences(trajectory), converged_sentence(own), negative_sentence(own)]
    title, short = ("Loss", "") if table.empty else ("Loss and learning coefficient", "Loss and LLC")
    return Panel("loss-llc", title, [figure, *notes(*sentences)], short)


def _loss_caption(trajectory: xr.Dataset, stages: xr.Dataset | None) -> list[str | Tag]:
    table, several = estimates(trajectory), len(runs_of(trajectory)) > 1
    quantity = "LLC" if stages is None else staged_quantity(stages)
    sentences = ["Training steps run on a logarithmic axis."]
    if several:
        sentences.append(
            "Faint curves and small points are single runs (point at one for its name), **bold** curves their median "
            "over the steps that all cover."
        )
    if len(table):
        sentences += _coefficient_sentences(trajectory, several)
        if stages is not None and several:
            curve = f"The curve of a run is its smoothed {quantity} where it was divided into stages; else it joins"
            sentences.append(f"{curve} what converged.")
        elif several:
            sentences.append("The curve of a run joins what converged.")
        elif stages is not None:
            sentences.append(f"The line is the smoothed {quantity} with its 95 % band.")
        sentences.append(
            "**Hollow** points did not converge. A triangle lies beyond the edge, and a cross at the foot is not a "
            "number."
        )
        if table.withheld.notna().any():
            sentences.append("The lowest panel is the share of the value that localization removes.")
    pieces: list[str | Tag] = [" ".join(sentences)]
    return pieces if stages is None or not stages_by_run(stages) else pieces + _stages_key(quantity, several)


def _coefficient_sentences(trajectory: xr.Dataset, several: bool) -> list[str]:
    if not has_complexity(trajectory):
        bars = "" if several else " with 95 % bars of Monte Carlo error"
        return [f"Points are local learning coefficients (LLC){bars}."]
    points = "Points are complexities." if several else "Bars on the complexity are 95 % of Monte Carlo error."
    return [
        "The local learning coefficient (**LLC**) is **complexity** minus **descent**. Complexity measures how fast "
        "the loss rises around the checkpoint; descent is what the chains gain by moving to lower loss. At a minimum "
        "descent is near 0 and the two agree.",
        points,
    ]


def _stages_key(quantity: str, several: bool) -> list[str | Tag]:
    where = "The bars at the bottom are the stages of each run:" if several else "Shading is a stage:"
    intervals = "on them are" if several else "at the foot are"
    return [
        *(f" {where} ", Tag("A", "blue"), f" loss falls and {quantity} rises, ", Tag("B", "green"), " both fall, "),
        *(Tag("–"), " neither. Boundaries are solid at a plateau and dotted at a knee; the grey bars "),
        f"{intervals} their 95 % intervals.",
    ]


def _refined_panel(trajectory: xr.Dataset, stages: xr.Dataset | None) -> Panel:
    table, blocks = estimates(trajectory), list[Block]()
    if table.groupby(["component", "dataset"]).ngroups > 1:
        what = "Complexity" if has_complexity(trajectory) else "Learning coefficients"
        caption = f"{what} refined to one component or one dataset: how complex the solution is there, for those data."
        if len(runs_of(trajectory)) > 1:
            caption += (
                " Faint curves are single runs, bold ones their medians; components of different runs may share no "
                "more than their names. Hollow points are estimates that did not converge, vertical lines the stage "
                "boundaries."
            )
        else:
            caption += (
                " Bands are 95 % of Monte Carlo error, hollow points estimates that did not converge, vertical lines "
                "the stage boundaries."
            )
        alt = "Learning coefficients by component and dataset over training steps"
        blocks.append(Figure(fig_refined_llc(trajectory, stages), alt, caption))
        blocks += notes(converged_sentence(table), negative_sentence(table))
    return Panel("refined", "Where the complexity sits", blocks, "By component")


def _behaviour_panel(trajectory: xr.Dataset, stages: xr.Dataset | None) -> Panel:
    several_losses = "loss" in trajectory and trajectory.sizes.get("dataset", 0) > 1
    others = {name for name in _BEHAVIOUR & set(trajectory.data_vars) if name != "test_loss"}
    several_losses |= "distribution" in trajectory.get("test_loss", xr.DataArray(0)).dims
    if not (several_losses or others):
        return Panel("behaviour", "Behaviour", [])
    pooled = len(runs_of(trajectory)) > 1
    spread = "Faint curves are single runs, bold ones their medians." if pooled else "Bands are 95 % over sequences."
    caption = (
        "Read the panels together: a stage boundary (vertical line) matters where behaviour changes with it. A "
        "curve against n-grams that falls and rises again was close to that n-gram before it went further; dotted "
        "lines of the same colour are the entropies that a perfect n-gram would reach. Lower scores in the context "
        f"and on repeated tokens mean more use of the context. {spread}"
    )
    figure = Figure(fig_behaviour(trajectory, stages), "Behaviour of the network over training steps", caption)
    return Panel("behaviour", "Behaviour", [figure])


def _heads_panel(trajectory: xr.Dataset, stages: xr.Dataset | None, controls: Mapping[str, xr.Dataset]) -> Panel:
    if "head_score" not in trajectory:
        return Panel("heads", "Head scores", [])
    caption = (
        "Mean attention from a token to the token before it, to itself, to earlier copies of it, and to what followed "
        "those copies (prefix matching, the mark of an induction head). Every curve is a head, every colour a layer; "
        "the strongest head of each layer is bold and named (L1H3 is layer 1, head 3)."
    )
    caption += " Dashed: the largest score over all heads of a control run." if controls else ""
    figures = figures_by_run(lambda run, own: fig_head_scores(run, controls, own), trajectory, stages)
    alt = "Scores of attention heads over training steps"
    blocks: list[Block] = [Choice(figures, alt, caption, of=run_title(trajectory) or "Run", opened="first")]
    if len(runs_of(trajectory)) == 1:
        blocks.append(_head_maps(trajectory))
    return Panel("heads", "Head scores", blocks)


def _head_maps(trajectory: xr.Dataset) -> Choice:
    maps = {
        SCORE_TITLES.get(str(score), str(score)): fig_head_map(trajectory, str(score))
        for score in trajectory["score"].values
    }
    caption = (
        "The same scores as a map: a row is a head, a column a checkpoint, and the darkest cell the largest value of "
        "the score. A line separates the layers."
    )
    return Choice(maps, "Map of a score of all heads over training", caption, "head-map", of="Score", opened="last")


def _plane_panel(pca: xr.Dataset | None, stages: xr.Dataset | None) -> Panel:
    caption = (
        "Each point is a checkpoint, from blue (early) to orange (late), placed by the principal components of its "
        "outputs on a fixed set of probes; diamonds are the stage boundaries. A random walk draws arcs too: what the "
        "measured path shares with the Brownian null beside it says nothing about training."
    )
    alt = "Principal components of the outputs along training, beside a Brownian null"
    blocks = [] if pca is None else [Figure(fig_trajectory_pca(pca, stages), alt, caption, height=420)]
    return Panel("trajectory", "Trajectory of the outputs", blocks, "Trajectory")


def _choice_panel(trajectory: xr.Dataset, choice: xr.Dataset | None) -> Panel:
    caption = (
        "Trials at a few pilot checkpoints, from blue (early) to orange (late), at several temperatures nβ and "
        "localizations γ. The dotted line is the setting used for every checkpoint of this run; large points are its "
        "trials. Descent should be small compared with complexity, so that the coefficient is that of the checkpoint "
        "and not of a lower point nearby. The loss should rise by much less than training gained, so that chains stay "
        "in the solution."
    )
    if len(runs_of(trajectory)) > 1:
        caption += " This is the choice for one of the runs, usually the first: joining runs keeps no others."
    alt = "Complexity, descent and rise of the loss at every setting tried"
    blocks: list[Block] = [] if choice is None else [Figure(fig_choice(choice), alt, caption, height=540)]
    return Panel("choice", "Choice of temperature", blocks, "Temperature")
