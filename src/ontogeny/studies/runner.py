"""Runs a study over seeds, judges its claims over whatever seeds there are, and writes its report."""

import json
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ontogeny.core.errors import InvalidArgument
from ontogeny.core.notebook import table
from ontogeny.core.protocols import Progress
from ontogeny.execution import Executor, Shard
from ontogeny.stores import locked, write_json
from ontogeny.studies.artefacts import read_steps, stored_findings
from ontogeny.studies.pages import write_study_page
from ontogeny.studies.pooling import KNOWN, STUDY_FILE, Pooled, divergences, pool, pooled, read_identity, seed_folders
from ontogeny.studies.study import Study, StudyConfig, find_study, override, read_config
from ontogeny.studies.workspace import Workspace
from ontogeny.terminal import as_progress

_CLAIMS, _REPORT = "claims.json", "report.html"


@dataclass(frozen=True)
class Run:
    """A study that was run.

    Attributes:
        directory: its folder.
        report: path of its page.
        claims: over all seeds there, as records.
        failures: what raised, as "seed 0, STEP: why".
        divergences: trainings whose loss was not finite, as "seed 0, NETWORK: where and what to do".
    """

    directory: Path
    report: Path
    claims: list[dict[str, Any]]
    failures: list[str] = field(default_factory=list)
    divergences: list[str] = field(default_factory=list)

    def _repr_html_(self) -> str:
        rows = [(claim["title"], claim["status"], _measured(claim), claim["note"]) for claim in self.claims]
        rows += [(failure, "failed", "", "") for failure in self.failures]
        return table(("claim", "status", "measured", "seeds"), rows, f"Report: {self.report}")


def _measured(claim: Mapping[str, Any]) -> str:
    return "" if claim["measured"] is None else f"{claim['measured']:.3g} {claim['unit']}".strip()


def study(
    name: str | Path | Study,
    preset: str | None = None,
    out: str | Path | None = None,
    *,
    settings: Mapping[str, Any] | None = None,
    seeds: int = 1,
    executor: Executor | None = None,
    progress: Progress | bool = False,
    config: str | Path | Mapping[str, Any] | StudyConfig | None = None,
    remake: bool = False,
) -> Run:
    """Run a study, or go on with one that was interrupted, and write its report.

    Each seed has a folder of its own, `OUT/seed-N`, with a report of its own; claims, and `OUT/report.html`, are over
    all seeds that are there, whenever and on whatever machine they were made.

    Args:
        name: such as `language` (see `ontogeny studies`); a Python file that defines `STUDY`; or a `Study`.
        preset: `quick`, `standard` or what else it has; default that of the config, or `standard`.
        out: folder of the study; default `runs/NAME-PRESET`.
        settings: overrides of the config by dotted name, such as `{"training.num_steps": 500}`.
        seeds: how many to run, counted up from the config's own.
        executor: who runs the measurements: `execution.Serial()`, `execution.Processes(n)` or `execution.Ray()`;
            default one process a core. The numbers are the same, bit for bit. `execution.Shard(2, 4)` makes every
            fourth of the seeds from the second on.
        progress: a `Progress`, or True for bars in the terminal.
        config: settings that come before `settings`: a TOML file, nested tables, or a whole config.
        remake: whether a folder with a run of another config is taken: what the change reaches is made anew.

    Returns:
        The run. A step that raises costs what needs it; what there is is reported, and `failures` says what is not.

    Raises:
        InvalidArgument: for an unknown study, preset or setting, a folder of another study or config, or a seed that
            another process is making there.
        Exception: whatever stopped a study that made no artefact at all.
    """
    chosen = find_study(name) if str(name) not in KNOWN else KNOWN[str(name)]
    KNOWN[chosen.name] = chosen
    settled = _settled(chosen, preset, config, settings or {})
    directory = Path(out or f"runs/{chosen.name}-{settled.preset}")
    numbers = _dealt(range(settled.seed, settled.seed + seeds), executor)
    executor = executor.executor if isinstance(executor, Shard) else executor
    reporter, errors = as_progress(progress), list[Exception]()
    with ExitStack() as held:
        for number in numbers:
            held.enter_context(locked(directory / f"seed-{number}"))
        _claim_directory(directory, chosen, settled, remake)
        for number in numbers:
            place = directory / f"seed-{number}"
            work = Workspace(place, number, cache=directory / "cache", executor=executor, progress=reporter)
            errors += _make(chosen, settled.model_copy(update={"seed": number}), work)
    if len(errors) >= len(numbers) and not any(stored_findings(place) for place in seed_folders(directory)):
        raise errors[0]
    return _reported(directory)


def _dealt(numbers: Sequence[int], executor: Executor | None) -> Sequence[int]:
    """The seeds to make here. A study is divided by its seeds, so that what a seed trains is measured where it is."""
    if not isinstance(executor, Shard):
        return numbers
    if not (own := numbers[(executor.number - 1) % executor.count :: executor.count]):
        raise InvalidArgument(
            "shard",
            expected=f"no more shards than seeds, {len(numbers)}",
            found=f"{executor.number}/{executor.count}",
            instead=f"Shard(1, {len(numbers)})",
        )
    return own


def _make(chosen: Study, config: StudyConfig, work: Workspace) -> list[Exception]:
    """One seed; what it raised if nothing at all was made."""
    write_json(work.directory / STUDY_FILE, _identity(chosen, config))
    try:
        chosen.run(work, config)
    except Exception as error:
        work.ended(error)
    return work.errors if not work.findings() else []


def rewrite_report(directory: str | Path) -> Path:
    """Test the claims and write the reports of a study again, from what its seeds have left."""
    return _reported(Path(directory)).report


def read_claims(directory: str | Path) -> list[dict[str, Any]]:
    """The claims that a run left in `claims.json`."""
    path = Path(directory) / _CLAIMS
    if not path.exists():
        raise InvalidArgument("directory", expected="the folder of a finished study", found=f"no {path}")
    return json.loads(path.read_text(encoding="utf-8"))


def _settled(
    chosen: Study, preset: str | None, config: str | Path | Mapping[str, Any] | StudyConfig | None, settings: Any
) -> Any:
    """The config that preset, file and settings make, each before the next."""
    if isinstance(config, StudyConfig):
        return override(config if preset is None else config.model_copy(update={"preset": preset}), settings)
    table = dict(read_config(config) if isinstance(config, (str, Path)) else config or {})
    named = table.pop("preset", None)
    return override(override(chosen.config(preset or named), table), settings)


def _reported(directory: Path) -> Run:
    """Reports and claims of every seed in a folder, and of all of them together."""
    groups = pool([directory])
    if len(groups) > 1:
        found = "; ".join(group.title for group in groups)
        raise InvalidArgument("directory", expected="seeds of one study at one config", found=found)
    seeds = groups[0].seeds
    claims = _write(groups[0], directory)
    for seed in seeds:
        if len(seeds) == 1:
            _copy(directory, seed.directory)
        else:
            _write(pooled([seed]), seed.directory)
    failures = [
        f"seed {seed.config.seed}, {step['name']}: {step['reason']}"
        for seed in seeds
        for step in read_steps(seed.directory)
        if step["state"] == "failed"
    ]
    return Run(directory, directory / _REPORT, claims, failures, divergences(seeds))


def _copy(source: Path, target: Path) -> None:
    """Claims and page of a run of one seed are that seed's own."""
    for name in (_CLAIMS, _REPORT):
        temporary = target / f".{name}.{os.getpid()}.part"
        shutil.copyfile(source / name, temporary)
        os.replace(temporary, target / name)


def _write(pooled: Pooled, directory: Path) -> list[dict[str, Any]]:
    records = json.loads(json.dumps([claim.record() for claim in pooled.claims]))
    write_json(directory / _CLAIMS, records)
    write_study_page(directory / _REPORT, pooled.seeds, records)
    return records


def _identity(chosen: Study, config: StudyConfig) -> dict[str, Any]:
    """A study and its config, and the file that it can be read from again if it is not one of this package."""
    module = sys.modules.get(chosen.run.__module__)
    own = chosen.run.__module__.startswith("ontogeny.studies.")
    file = "" if own else str(Path(getattr(module, "__file__", None) or "").resolve())
    return {"study": chosen.name, "file": file, "config": config.model_dump(mode="json")}


def _claim_directory(directory: Path, chosen: Study, config: StudyConfig, remake: bool) -> None:
    """A folder belongs to one study, and to one config unless what a change reaches shall be made anew."""
    path = directory / STUDY_FILE
    content = _identity(chosen, config)
    del content["config"]["seed"]
    content = json.loads(json.dumps(content))
    if path.exists():
        stored = read_identity(directory)
        other = stored.get("study") != content["study"]
        if other or (stored.get("config") != content["config"] and not remake):
            raise InvalidArgument(
                "out",
                expected="a new folder, or one with a run of the same config",
                found=f"{directory} with another",
                instead="--out another/folder" + ("" if other else ", or --remake to make anew what a change reaches"),
            )
    write_json(path, content)
