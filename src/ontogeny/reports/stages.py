"""The panel of stages: their changes, their boundaries, and the slope from which they were read."""

import xarray as xr

from ontogeny.reports.blocks import Block, Column, Figure, Heading, Panel, Table, Tag
from ontogeny.reports.estimate_notes import excluded_sentence, notes, unstaged_sentences
from ontogeny.reports.learning_curves import fig_slope
from ontogeny.reports.stage_marks import staged_quantity
from ontogeny.reports.tables import boundary_rows, keyed_table, stage_rows

_KEYS = {"A": Tag("A", "blue"), "B": Tag("B", "green")}


def stages_panel(stages: xr.Dataset | None, unstaged: str = "", run_title: str = "") -> Panel:
    """The stages of a run, or of each of several.

    Args:
        stages: found in a trajectory.
        unstaged: why stages were not looked for, shown if there are none.
        run_title: the name of runs, if there are several.
    """
    blocks = list[Block]()
    rows = [] if stages is None else stage_rows(stages)
    if not rows:
        blocks += notes(unstaged)
    if stages is None:
        return Panel("stages", "Stages", blocks)
    blocks += [_stages_table(rows, staged_quantity(stages), run_title)] if rows else []
    blocks += notes(excluded_sentence(stages), *unstaged_sentences(stages))
    boundaries = boundary_rows(stages)
    if boundaries:
        blocks += [Heading("Boundaries"), _boundaries_table(boundaries, staged_quantity(stages), run_title)]
    if "slope" in stages:
        spread = "of each run" if run_title else "with its 95 % band"
        caption = f"Slope of the smoothed curve {spread}. Boundaries are where it touches zero or is smallest."
        alt = "Slope of the smoothed coefficient over training steps"
        blocks.append(Figure(fig_slope(stages), alt, caption, name="slope", height=270))
    return Panel("stages", "Stages", blocks)


def _stages_table(rows: list[dict[str, str]], quantity: str, run_title: str) -> Table:
    columns = {"run": Column(run_title, "value", head=True)} if run_title else {}
    columns |= {
        "number": Column("Stage", head=not run_title),
        "type": Column("Type"),
        "start": Column("From step", "number"),
        "end": Column("To step", "number"),
        "delta_loss": Column("Δ loss", "number"),
        "delta_llc": Column(f"Δ {quantity} [95 %]", "number"),
        "explanation": Column("What happens", "wide"),
    }
    return keyed_table(columns, [row | {"type": _KEYS.get(row["type"], Tag(row["type"]))} for row in rows], "Stages")


def _boundaries_table(rows: list[dict[str, str]], quantity: str, run_title: str) -> Table:
    columns = {"run": Column(run_title, head=True)} if run_title else {}
    columns |= {
        "between": Column("Between stages", head=not run_title),
        "step": Column("Step", "number"),
        "interval": Column("95 % interval", "number"),
        "kind": Column("Kind"),
        "probability": Column("Probability", "number"),
    }
    caption = (
        f"A **plateau** is where the slope of the smoothed {quantity} crosses zero, a **knee** where it is smallest "
        "without reaching zero. The probability is the share of sampled curves in which the boundary is there at all."
    )
    return keyed_table(columns, rows, "Boundaries between stages", caption)
