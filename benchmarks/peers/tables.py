"""Tables in Markdown of what the comparison found, from the files it left under runs/peers."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peers.accuracy import WINDOWS
from benchmarks.peers.cases import Case
from benchmarks.peers.environments import Peer
from benchmarks.peers.speed import rows

Found = Mapping[str, Any]


def accuracy_table(folder: Path, cases: Sequence[Case], peers: Sequence[Peer]) -> str:
    """Per-sample gradients to a mean error of 5 % for each case, and how many times ours the first peer needs.

    A cell has two numbers: where the error first touches 5 %, and from where it holds up to four times as many.
    """
    over = [f"{peers[0].name} over ours, {name}" for name in WINDOWS]
    head = ["case", "weights", "reference", "ours", *[peer.name for peer in peers], *over]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    ratios: dict[str, list[float]] = {name: [] for name in WINDOWS}
    for case in cases:
        ours = _read(folder / f"ours_{case.slug}.json")
        found = [_read(folder / f"{peer.folder.name}_{case.slug}.json") for peer in peers]
        known = next((summary for summary in [ours, *found] if summary), None)
        if known is None:
            continue
        cells = [case.name, f"{case.num_parameters:,}", f"{known['reference']:.4g}", *map(_cell, [ours, *found])]
        for name, column in ratios.items():
            ratio = _ratio(ours, found[0], name)
            column += [] if ratio is None else [ratio]
            cells.append("–" if ratio is None else f"{ratio:.1f}")
        lines.append("| " + " | ".join(cells) + " |")
    for name, column in ratios.items():
        if column:
            lines.append(f"\nMedian of {len(column)} ratios to {peers[0].name}, {name}: {np.median(column):.1f}.")
    return "\n".join(lines)


def speed_table(results: Sequence[Found]) -> str:
    """Milliseconds of a step and the ratio to the contestant's own floor, with its 95 % bootstrap interval."""
    head = "| model | chains | threads | contestant | ms a step, all chains | over its own floor | that over ours |"
    return "\n".join([head, "|" + "---|" * 7, *(row for result in results for row in rows(dict(result)))])


def _ratio(ours: Found | None, peer: Found | None, name: str) -> float | None:
    """Gradients of the peer over ours; none where either never gets there or has not been run to the end."""
    if not ours or not peer or not peer.get("finished") or not ours[name] or not peer[name]:
        return None
    return peer[name]["gradients"] / ours[name]["gradients"]


def _cell(summary: Found | None) -> str:
    if summary is None:
        return "not run"
    if "not_run" in summary:
        return summary["not_run"]
    if not summary.get("finished"):
        return "unfinished"
    parts = [
        _thousands(summary[name]["gradients"]) + _step(summary[name]) if summary[name] else "never" for name in WINDOWS
    ]
    best, text = summary["best"], " / ".join(parts)
    if parts[-1] == "never" and best["error"] is not None:
        text += f" (best {best['error']:.1%} at {_thousands(best['gradients'])}{_step(best)})"
    return text


def _step(found: Found) -> str:
    return f" at ε {found['step_size']:.0e}" if found.get("step_size") else ""


def _thousands(gradients: int) -> str:
    return f"{gradients / 1000:,.0f}k"


def _read(path: Path) -> Found | None:
    return json.loads(path.read_text(encoding="utf-8"))["summary"] if path.exists() else None


def sections(folder: Path, cases: Sequence[Case], peers: Sequence[Peer]) -> Iterator[str]:
    """The Markdown of all that was found."""
    yield "## Accuracy for each gradient\n"
    yield accuracy_table(folder / "accuracy", cases, peers)
    speed = sorted((folder / "speed").glob("*.json"))
    if speed:
        yield "\n## The cost of a step\n"
        yield speed_table([json.loads(path.read_text(encoding="utf-8")) for path in speed])
