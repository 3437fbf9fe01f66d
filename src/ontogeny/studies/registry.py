"""The studies there are, and the one call that runs one."""

import json
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel

from ontogeny.core.errors import InvalidArgument
from ontogeny.core.protocols import Progress
from ontogeny.execution import Executor
from ontogeny.stores import write_json
from ontogeny.studies import belief_states, language
from ontogeny.studies.claims import Findings
from ontogeny.terminal import as_progress

Config = TypeVar("Config", bound=BaseModel)


@dataclass(frozen=True)
class Study:
    """A study: what it shows, what each preset costs, and its parts.

    Attributes:
        preset: name -> config, a frozen pydantic model with `preset` and `seed`.
        run: trains and measures one seed into a folder; analyse: what it says of each claim; report: judges and
            writes.
    """

    title: str
    shows: str
    presets: Mapping[str, str]
    preset: Callable[[Any], Any]
    run: Callable[[Any, Path, Path, Progress, Executor | None], None]
    analyse: Callable[[Any, Path], Findings]
    report: Callable[[Any, Path, str, Path, Sequence[Findings]], Path]


STUDIES = {
    "language": Study(
        "How a small language model develops",
        "A two-layer transformer on real text passes through bigrams, n-grams, previous-token heads and induction; "
        "its LLC stages are held against these changes, with a one-layer control.",
        {"quick": "4 minutes", "standard": "hours a seed", "paper": "hours on a GPU"},
        language.preset,
        language.run,
        language.analyse,
        language.report,
    ),
    "belief-states": Study(
        "Belief states in a small transformer",
        "A transformer and an LSTM on a hidden Markov process come to hold the exact beliefs of an observer; read out "
        "at every layer along training, beside every rival explanation; `--set process.name=rrxor` for another one.",
        {"quick": "3 minutes", "standard": "30 minutes a seed", "paper": "hours on a GPU"},
        belief_states.preset,
        belief_states.run,
        belief_states.analyse,
        belief_states.report,
    ),
}


@dataclass(frozen=True)
class Run:
    """A finished study: its folder, the path of its report, and its claims as records."""

    directory: Path
    report: Path
    claims: list[dict[str, Any]]


def study(
    name: str,
    preset: str = "standard",
    out: str | Path | None = None,
    *,
    settings: Mapping[str, Any] | None = None,
    seeds: int = 1,
    executor: Executor | None = None,
    progress: Progress | bool = False,
) -> Run:
    """Run a study, or go on with one that was interrupted, and write its report.

    Args:
        name: `language` or `belief-states` (see `ontogeny studies`).
        preset: `quick`, `standard` or `paper`.
        out: folder of the run; default `runs/NAME-PRESET`. With several seeds each has a folder `seed-N` in it, and
            the claims are pooled.
        settings: overrides of the config by dotted name, such as `{"training.num_steps": 500}`.
        seeds: how many seeds to run, counted up from the config's own.
        executor: who runs the measurements: `execution.Serial()` or `execution.Processes(n)`; default one process a
            core. The numbers are the same, bit for bit.
        progress: a `Progress`, or True for bars in the terminal.

    Returns:
        The run.

    Raises:
        InvalidArgument: for an unknown study or preset, an override that the config does not have, or a folder that
            holds another run.
    """
    if name not in STUDIES:
        raise InvalidArgument("name", expected=f"a study ({', '.join(STUDIES)})", found=repr(name))
    if preset not in ("quick", "standard", "paper"):
        raise InvalidArgument("preset", expected="'quick', 'standard' or 'paper'", found=repr(preset))
    chosen = STUDIES[name]
    config = override(chosen.preset(preset), settings or {})
    directory = Path(out or f"runs/{name}-{preset}")
    _claim_directory(directory, name, config, seeds)
    reporter, found = as_progress(progress), list[Findings]()
    for seeded, place in _places(config, directory, seeds):
        chosen.run(seeded, place, directory / "text", reporter, executor)
        found.append(chosen.analyse(seeded, place))
    return Run(directory, _write_reports(chosen, config, directory, found), read_claims(directory))


def rewrite_report(directory: str | Path) -> Path:
    """Test the claims and write the report of a finished run again, from its stored curves."""
    directory = Path(directory)
    stored = _read_json(directory / "study.json", "directory")
    chosen, values = STUDIES[stored["study"]], stored["config"]
    config = type(chosen.preset(values["preset"]))(**values)
    found = [chosen.analyse(seeded, place) for seeded, place in _places(config, directory, stored["seeds"])]
    return _write_reports(chosen, config, directory, found)


def read_claims(directory: str | Path) -> list[dict[str, Any]]:
    """The claims that a run left in `claims.json`."""
    return _read_json(Path(directory) / "claims.json", "directory")


def override(config: Config, settings: Mapping[str, Any]) -> Config:
    """The config with values replaced by dotted name.

    Text values are read as TOML (`0.1`, `[1, 2]`, `true`, `{num_draws = 20}`), `none` as None, or else kept as text.
    """
    values = config.model_dump()
    for name, value in settings.items():
        *parents, last = name.split(".")
        place = values
        for parent in parents:
            place = place.get(parent) if isinstance(place, dict) else None
        if not isinstance(place, dict) or last not in place:
            known = ", ".join(place) if isinstance(place, dict) else ", ".join(values)
            raise InvalidArgument("settings", expected=f"a name in the config ({known})", found=repr(name))
        place[last] = _parsed(value) if isinstance(value, str) else value
    try:
        return type(config)(**values)
    except InvalidArgument as error:
        found = f"{error.argument}={error.found}"
        raise InvalidArgument("settings", expected=error.expected, found=found, instead=error.instead) from error


def _places(config: Any, directory: Path, seeds: int) -> list[tuple[Any, Path]]:
    """The config and folder of each seed; a single seed lives in the run's own folder."""
    if seeds == 1:
        return [(config, directory)]
    numbers = range(config.seed, config.seed + seeds)
    return [(config.model_copy(update={"seed": number}), directory / f"seed-{number}") for number in numbers]


def _write_reports(chosen: Study, config: Any, directory: Path, found: Sequence[Findings]) -> Path:
    """A report for each seed where there are several, and one with the pooled claims over the first seed's curves."""
    seeds, title = len(found), f"{chosen.title} · {config.preset}"
    places = _places(config, directory, seeds)
    for (seeded, place), single in zip(places, found, strict=True) if seeds > 1 else ():
        chosen.report(seeded, place, f"{title} · seed {seeded.seed}", place, [single])
    pooled = title if seeds == 1 else f"{title} · claims of {seeds} seeds, curves of seed {config.seed}"
    return chosen.report(*places[0], pooled, directory, found)


def _read_json(path: Path, argument: str) -> Any:
    if not path.exists():
        raise InvalidArgument(argument, expected="the folder of a finished study", found=f"no {path}")
    return json.loads(path.read_text(encoding="utf-8"))


def _parsed(text: str) -> Any:
    if text.lower() == "none":  # TOML has no word for it
        return None
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _claim_directory(directory: Path, name: str, config: BaseModel, seeds: int) -> None:
    """A folder belongs to one config: another one's artefacts must never be taken for this one's."""
    path = directory / "study.json"
    content = json.loads(json.dumps({"study": name, "seeds": seeds, "config": config.model_dump(mode="json")}))
    if path.exists() and json.loads(path.read_text(encoding="utf-8")) != content:
        raise InvalidArgument(
            "out",
            expected="a new folder, or one with a run of the same config",
            found=f"{directory} with another",
            instead="--out another/folder",
        )
    write_json(path, content)
