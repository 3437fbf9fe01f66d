"""The panel of claims: what was expected, what was measured against which control, and whether it held."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from ontogeny.reports.blocks import Block, Column, Entry, Panel, Tag, Tone
from ontogeny.reports.estimate_notes import notes
from ontogeny.reports.tables import claim_rows, keyed_table, untested_sentences

_TONES: dict[str, Tone] = {"held": "good", "not held": "poor", "failed": "poor"}
_COLUMNS = {
    "claim": Column("Claim", head=True),
    "status": Column("Status"),
    "measured": Column("Measured", "value"),
    "control": Column("Control", "small"),
    "p": Column("p", "number"),
    "p_adjusted": Column("adjusted p", "number"),
}


def claims_panel(records: Sequence[Mapping[str, Any]]) -> Panel:
    """The tested claims as rows, each at the address `#claim-ID`, and the untested ones as sentences.

    Args:
        records: of claims, with `id`, `title`, `status` (held, not held, failed, or anything else for not tested) and,
            where known, `expectation`, `measured`, `interval`, `interval_of` (what kind of interval), `unit`,
            `control`, `p_value`, `p_adjusted`, `note`, `caution`, `source`.
    """
    blocks = list[Block]()
    rows = [_cells(row) for row in claim_rows(records)]
    if rows:
        caption = (
            "The control shows what to expect if the claim were false. Adjusted p-values account for the "
            "number of claims."
        )
        blocks.append(keyed_table(_COLUMNS, rows, "Claims", caption))
    return Panel("claims", "Claims", blocks + notes(*untested_sentences(records)))


def _cells(row: Mapping[str, str]) -> dict[str, Any]:
    expected = f"Expected: {row['expectation']}" if row["expectation"] else ""
    details = [line for line in (expected, row["note"], row["caution"]) if line]
    anchor = f"claim-{row['id']}" if re.fullmatch(r"[\w-]+", row["id"], re.ASCII) else ""
    status = Tag(row["status"], _TONES.get(row["status"], "plain"))
    return {
        **row,
        "claim": Entry(row["title"], details, row["source"], anchor),
        "status": status,
        "measured": Entry(row["measured"], [row[name] for name in ("unit", "interval_of") if row[name]]),
    }
