"""The report of a study: its claims over all seeds, the panels of one of them, and what could not be made."""

import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import xarray as xr
from pydantic import BaseModel

from ontogeny.core.errors import InvalidArgument
from ontogeny.core.origins import own_version
from ontogeny.measurement import choice_of
from ontogeny.reports import (
    Column,
    Entry,
    Page,
    Panel,
    Prose,
    Sentence,
    Table,
    Tag,
    claims_panel,
    insert_after,
    literal,
    summary,
    verdict,
    write_page,
)
from ontogeny.reports import trajectory_panels as panels_of_trajectory
from ontogeny.stores import Checkpoints
from ontogeny.studies.artefacts import read_steps, timings
from ontogeny.studies.findings import Findings

if TYPE_CHECKING:
    from ontogeny.studies.pooling import Seed

TRAJECTORY, STAGES, PCA = "trajectory", "stages", "pca"


def trajectory_panels(found: Findings, name: str = TRAJECTORY, **options: Any) -> list[Panel]:
    """The panels of `ontogeny.reports.trajectory_panels`, with the stages and components that are among the findings.

    Args:
        found: with the artefact `name`, and where they were made `stages` and `pca`.
        name: of the trajectory.
        options: such as `controls`.
    """
    trajectory = found[name]
    reason = found.why(STAGES).removeprefix(f"{STAGES} is missing: ")
    return panels_of_trajectory(
        trajectory,
        stages=found.get(STAGES),
        unstaged=f"Stages were not looked for: {reason}." if reason else "",
        pca=found.get(PCA),
        choice=choice_of(trajectory),
        **options,
    )


def write_study_page(path: Path, seeds: "Sequence[Seed]", claims: Sequence[Mapping[str, Any]]) -> Path:
    """The page of one seed, or of several: claims over all, curves of the first.

    The verdict speaks of the artefacts `trajectory` and `stages`, if there are any of these names, and counts the
    learning coefficients of every other artefact that has some.
    """
    first = seeds[0]
    title = f"{first.study.title} · {first.config.preset}"
    if len(seeds) > 1:
        title += f" · claims of {len(seeds)} seeds, curves of seed {first.config.seed}"
    found, trajectory = first.found, first.found.get(TRAJECTORY)
    told = None if trajectory is None else trajectory.drop_vars("training_diverged", errors="ignore")  # of all networks
    others = {f"of {name}": item for name, item in found.items() if name != TRAJECTORY and _has_coefficients(item)}
    page = Page(
        title,
        [
            *_on_failures(seeds),
            *_on_divergences(seeds),
            *verdict(told, found.get(STAGES), claims, "" if STAGES in found else found.why(STAGES), others=others),
        ],
        _facts(seeds),
        _panels(seeds, claims),
        _command(seeds),
        "" if trajectory is None else summary(trajectory),
    )
    return write_page(path, page)


def _panels(seeds: "Sequence[Seed]", claims: Sequence[Mapping[str, Any]]) -> list[Panel]:
    """The study's own, with the claims behind the stages, or in front where there are none."""
    first, drawn, note = seeds[0], list[Panel](), list[Panel]()
    try:
        for panel in first.study.panels(first.found):
            drawn.append(panel)
    except Exception as error:
        text = literal(f"The rest could not be drawn: {type(error).__name__}: {error}")
        note = [Panel("undrawn", "What could not be drawn", [Prose(text)])]
    judged = [claims_panel(claims), *([_by_seed(seeds, claims)] if len(seeds) > 1 else [])]
    staged = STAGES in [panel.id for panel in drawn]
    return [*(insert_after(drawn, STAGES, judged) if staged else judged + drawn), *note, _missing(seeds)]


def _by_seed(seeds: "Sequence[Seed]", claims: Sequence[Mapping[str, Any]]) -> Panel:
    tones = {"met": "good", "not met": "poor", "failed": "poor"}

    def cell(said: Mapping[str, Any]) -> Any:
        value = said.get("measured")
        words = said["status"] if value is None else f"{value:.3g}, {said['status']}"
        return Tag(words, tones.get(said["status"], "plain"))  # pyrefly: ignore[bad-argument-type]

    columns = [Column("Claim", head=True), *(f"Seed {seed.config.seed}" for seed in seeds)]
    rows = [[claim["title"], *map(cell, claim["seeds"])] for claim in claims]
    return Panel("by-seed", "Each seed is a replicate", [Table(columns, rows, label="Claims by seed")], "By seed")


def _missing(seeds: "Sequence[Seed]") -> Panel:
    """What could not be made or stopped early, and why."""
    rows = [
        [
            Entry(step["name"], [], anchor=f"missing-{seed.config.seed}-{number}"),
            str(seed.config.seed),
            _state(step),
            Entry(step.get("reason") or step["divergence"], step.get("traceback", "").strip().splitlines()[-4:-1]),
        ]
        for seed in seeds
        for number, step in enumerate(read_steps(seed.directory))
        if step["state"] != "made" or "divergence" in step
    ]
    columns = [Column("Step", head=True), Column("Seed"), Column("State"), Column("Why", "wide")]
    tables = [Table(columns, rows, label="Artefacts that are missing or stopped early")] if rows else []
    return Panel("missing", "What could not be made, or stopped early", tables)


def _state(step: Mapping[str, str]) -> Tag:
    state = "diverged" if "divergence" in step else step["state"]
    return Tag(state, "caution" if state == "missing" else "poor")


def _on_failures(seeds: "Sequence[Seed]") -> list[Sentence]:
    failed = [step for seed in seeds for step in read_steps(seed.directory) if step["state"] == "failed"]
    if not failed:
        return []
    count = f"{len(failed)} step{'s' * (len(failed) > 1)} failed"
    names = ", ".join(dict.fromkeys(step["name"] for step in failed))
    return [Sentence("poor", count, f"This page shows what there is without {names}.", "missing")]


def _on_divergences(seeds: "Sequence[Seed]") -> list[Sentence]:
    diverged = [
        f"{step['name']} of seed {seed.config.seed}"
        for seed in seeds
        for step in read_steps(seed.directory)
        if "divergence" in step
    ]
    if not diverged:
        return []
    count = f"{len(diverged)} training{'s' * (len(diverged) > 1)} diverged"
    return [Sentence("poor", count, f"Of {', '.join(diverged)} this page shows checkpoints before that.", "missing")]


def _has_coefficients(item: Any) -> bool:
    return isinstance(item, xr.Dataset) and "llc" in item and "step" in item.dims


def _facts(seeds: "Sequence[Seed]") -> dict[str, str]:
    """What was run: its networks, its config group by group, its time, and versions."""
    first = seeds[0]
    facts = {f"Network {name}": _networks(item) for name, item in first.found.items()}
    plain = {name: value for name, value in first.config if not isinstance(value, BaseModel)}
    groups = {name: value for name, value in first.config if isinstance(value, BaseModel)}
    facts["Settings"] = _words({name: value for name, value in plain.items() if name not in ("preset", "seed")})
    facts |= {name.replace("_", " ").capitalize(): _words(dict(value)) for name, value in groups.items()}
    facts["Seeds" if len(seeds) > 1 else "Seed"] = ", ".join(str(seed.config.seed) for seed in seeds)
    took = timings(first.directory)
    facts["Time"] = f"{sum(took.values()):.0f} s: {', '.join(f'{name} {time:.0f}' for name, time in took.items())}"
    facts["Versions"] = f"ontogeny {own_version()}, Python {platform.python_version()}, torch {torch.__version__}"
    return {name: text for name, text in facts.items() if text}


def _networks(item: Any) -> str:
    """What was trained, one network or many instances of one; nothing of any other artefact."""
    runs = [run for run in (item if isinstance(item, list) else [item]) if isinstance(run, Checkpoints) and run.steps]
    told = list(dict.fromkeys(map(_network, runs)))
    return f"{len(runs)} of {'; '.join(told)}" if len(runs) > 1 else "".join(told)


def _network(checkpoints: Checkpoints) -> str:
    try:
        size = sum(tensor.numel() for tensor in checkpoints.load(checkpoints.steps[-1]).values())
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    told = f"{size:,} numbers, {len(checkpoints.steps)} checkpoints up to step {checkpoints.steps[-1]:,}"
    outcome = checkpoints.outcome
    return f"{told}, diverged at step {outcome.step:,}" if outcome and outcome.diverged else told


def _words(values: Mapping[str, Any]) -> str:
    said = {name: value for name, value in values.items() if value is not None and value != {}}
    return ", ".join(f"{name.replace('_', ' ')} {_value(value)}" for name, value in said.items())


def _value(value: Any) -> str:
    if isinstance(value, BaseModel):
        return f"({_words(dict(value))})"
    if isinstance(value, (tuple, list)):
        return f"({' '.join(map(_value, value))})"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _command(seeds: "Sequence[Seed]") -> str:
    """How to make this again; of a config with further settings, they stand in `study.json`."""
    first = seeds[0]
    several = f" --seeds {len(seeds)}" if len(seeds) > 1 else ""
    own = first.study.run.__module__.startswith("ontogeny.studies.")
    name = first.study.name if own else f"{first.study.run.__module__}.py"
    return f"ontogeny study {name} --preset {first.config.preset}{several}{_settings(first)}"


def _settings(seed: "Seed") -> str:
    """The settings that differ from those of the preset, as flags."""
    try:
        before = seed.study.config(seed.config.preset).model_dump(mode="json")
    except InvalidArgument:
        return ""
    now = seed.config.model_dump(mode="json")
    return "".join(f' --set "{name}={value}"' for name, value in _differences(before, now) if name != "seed") + (
        f" --set seed={now['seed']}" if now["seed"] != before["seed"] else ""
    )


def _differences(before: Any, now: Any, at: str = "") -> list[tuple[str, str]]:
    if isinstance(before, dict) and isinstance(now, dict) and before.keys() == now.keys():
        return [pair for name in now for pair in _differences(before[name], now[name], f"{at}.{name}".strip("."))]
    return [] if before == now else [(at, _toml(now))]


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name} = {_toml(each)}" for name, each in value.items() if each is not None) + "}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, bool):
        return str(value).lower()
    return "none" if value is None else f"'{value}'" if isinstance(value, str) else str(value)
