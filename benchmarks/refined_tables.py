"""What the comparison of refined coefficients found, as the section of RESULTS.md."""

import argparse
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from benchmarks.interleaved import ratio
from benchmarks.peers.environments import PEERS

PEER = replace(PEERS["devinterp 2.0.1"], worker="run_devinterp2_refined.py")
# as published for refined coefficients (2410.02984)
PUBLISHED = {"step_size": 1e-3, "nbeta": 30.0, "localization": 200.0, "batch": 32, "baseline_batches": 16}
FULL_SHARE = 0.01  # of the full coefficient: smaller ones are held to the error of that

Found = dict[str, Any]


def text(found: Found, asked: argparse.Namespace) -> str:
    """The section of RESULTS.md."""
    return "\n\n".join(part(found, asked) for part in (_head, _speed, _error, _memory) if part(found, asked)) + "\n"


def _head(found: Found, asked: argparse.Namespace) -> str:
    settings = ", ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in PUBLISHED.items())
    return (
        f"Command: `python -m benchmarks.refined --parts {' '.join(asked.parts)}`. {settings}; "
        f"{asked.chains} chains, {asked.threads} threads, CPU, torch {torch.__version__}."
    )


def _speed(found: Found, asked: argparse.Namespace) -> str:
    """Milliseconds of a step of one chain, and theirs over ours."""
    lines = ["| part | rounds | ours, ms a step | theirs, ms a step | theirs over ours |", "|" + "---|" * 5]
    everything: dict[str, list[float]] = {"ours": [], PEER.name: []}
    for part, values in found["speed"].items():
        ours, other = (np.array(values[name]) for name in everything)
        everything["ours"] += values["ours"]
        everything[PEER.name] += values[PEER.name]
        lines.append(_speed_row(part, ours, other, values["steps"]))
    if len(found["speed"]) > 1:
        ours, other = (np.array(column) for column in everything.values())
        lines.append(_speed_row("all", ours, other, next(iter(found["speed"].values()))["steps"]))
    return "The same number of steps, losses at w* aside:\n\n" + "\n".join(lines) if found["speed"] else ""


def _speed_row(part: str, ours: np.ndarray, other: np.ndarray, steps: int) -> str:
    middle, low, high = ratio(other, ours)
    each = [1e3 * float(np.median(values)) / steps for values in (ours, other)]
    return f"| {part} | {len(ours)} | {each[0]:.0f} | {each[1]:.0f} | {middle:.2f} ({low:.2f}–{high:.2f}) |"


def _error(found: Found, asked: argparse.Namespace) -> str:
    """Seconds to the error; theirs, which its batches at w* keep from it, by what it would take at its kindest."""
    if not found["error"]:
        return ""
    full = found["full"]["value"]
    head = [
        "part",
        "ours",
        "error",
        "wanted",
        "draws",
        "R-hat",
        "seconds",
        "theirs",
        "error",
        "of which at w*",
        "draws",
    ]
    head += ["wanted: draws, batches at w*", "seconds", "over ours"]
    lines, ratios = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)], []
    for part, sides in found["error"].items():
        run, others = first(sides["ours"], full, asked.target), sides[PEER.name]
        shown = run or sides["ours"][-1]
        goal = asked.target * scale(shown["value"], full)
        kind = kindest(others, goal, asked.chains)
        ratios += [kind["seconds"] / run["seconds"]] if run else []
        cells = [part, f"{shown['value']:.3g}", f"{shown['error']:.2g}", f"{goal:.2g}", f"{shown['draws']}"]
        cells += [f"{shown['rhat']:.2f}", f"{shown['seconds']:.0f}" if run else "never", f"{others['value']:.3g}"]
        cells += [f"{others['error']:.2g}", f"{others['of_baseline']:.2g}", f"{others['draws']}"]
        cells += [f"{kind['draws']:.0f}, {kind['batches']:.0f}", f"{kind['seconds']:.0f}"]
        lines.append("| " + " | ".join([*cells, f"{ratios[-1]:.0f}" if run else "–"]) + " |")
    title = (
        f"Time to a Monte Carlo error, the baseline's included, of {asked.target:.0%} of the value, or of "
        f"{FULL_SHARE:.0%} of the full coefficient {full:.4g} if that is more. Ours is read from {asked.fewest} "
        f"draws a chain on and has {asked.warmup} steps of warm-up before; theirs none, as published. Our parts share "
        "the losses at w*, which the first of a run pays for. Theirs ran as published for as many draws as the table "
        "says; what it would take is extrapolated and no measurement: by the root law, with as many batches at w* as "
        "pay off.\n\n"
    )
    middle = f"\n\nTheirs over ours: median {np.median(ratios):.0f}, least {min(ratios):.0f}." if ratios else ""
    return title + "\n".join(lines) + middle


def _memory(found: Found, asked: argparse.Namespace) -> str:
    sides = found["memory"].items()
    rows = [f"{part}: ours {each['ours']:.0f} MB, theirs {each[PEER.name]:.0f} MB" for part, each in sides]
    return "Peak memory, imports subtracted. " + "; ".join(rows) + "." if rows else ""


def scale(value: float, full: float) -> float:
    """What an error is held against: the value, or a hundredth of the full coefficient if that is more."""
    return max(abs(value), FULL_SHARE * full)


def first(runs: Sequence[Found], full: float, target: float) -> Found | None:
    """The first run whose error is at most `target` of the value, or of a hundredth of the full coefficient."""
    return next((run for run in runs if run["error"] <= target * scale(run["value"], full)), None)


def kindest(found: Found, goal: float, chains: int) -> Found:
    """Draws, batches at w* and seconds that reach the goal soonest, by errors that fall with the root of each number.

    A / draws + B / batches = goal², at the price of a draw and of a batch of all chains.
    """
    batches = found["baselines"] / chains
    of_draws, of_batches = found["of_trace"] ** 2 * found["draws"], found["of_baseline"] ** 2 * batches
    batch = found["seconds_of_a_batch"] * chains
    draw = (found["seconds"] - batch * PUBLISHED["baseline_batches"]) / found["draws"]
    both = math.sqrt(of_draws * of_batches)
    draws = (of_draws + both * math.sqrt(batch / draw)) / goal**2
    needed = (of_batches + both * math.sqrt(draw / batch)) / goal**2
    return {"draws": draws, "batches": needed, "seconds": draws * draw + needed * batch}
