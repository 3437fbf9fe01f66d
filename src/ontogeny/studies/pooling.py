"""Seeds of studies as their folders hold them, and their claims over all of them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ontogeny.core.errors import InvalidArgument
from ontogeny.studies.artefacts import read_steps, stored_findings
from ontogeny.studies.evidence import Finding
from ontogeny.studies.findings import Findings
from ontogeny.studies.judged import Judged
from ontogeny.studies.study import Study, StudyConfig, find_study

STUDY_FILE = "study.json"
KNOWN: dict[str, Study] = {}  # those that were run as values in this process, and so can be found by name


@dataclass(frozen=True)
class Seed:
    """One seed of a study, as its folder holds it."""

    directory: Path
    study: Study
    config: StudyConfig
    found: Findings
    says: Mapping[str, Finding]


@dataclass(frozen=True)
class Pooled:
    """Seeds of one study at one config, and its claims over them."""

    seeds: Sequence[Seed]
    claims: Sequence[Judged]

    @property
    def title(self) -> str:
        first, numbers = self.seeds[0], [str(seed.config.seed) for seed in self.seeds]
        return f"{first.study.name} · {first.config.preset} · seed{'s' * (len(numbers) > 1)} {', '.join(numbers)}"


def pool(directories: Sequence[str | Path]) -> list[Pooled]:
    """The claims of studies over all seeds in these folders, which may come from several machines.

    Args:
        directories: of studies, or of single seeds.

    Returns:
        One for each study and config; seeds of different configs are never pooled.

    Raises:
        InvalidArgument: for a folder without a seed, or a seed of one config that two folders hold.
    """
    groups: dict[str, list[Seed]] = {}
    for place in [place for directory in directories for place in seed_folders(Path(directory))]:
        seed = _read_seed(place)
        same = [seed.study.name, seed.config.model_dump(mode="json", exclude={"seed"})]
        groups.setdefault(json.dumps(same, sort_keys=True), []).append(seed)
    return [pooled(seeds) for seeds in groups.values()]


def pooled(seeds: Sequence[Seed]) -> Pooled:
    """The claims over these seeds, each of which must be there once."""
    ordered = sorted(seeds, key=lambda seed: seed.config.seed)
    numbers = [seed.config.seed for seed in ordered]
    if len(set(numbers)) < len(numbers):
        twice = [str(seed.directory) for seed in ordered if numbers.count(seed.config.seed) > 1]
        raise InvalidArgument("directories", expected="each seed once", found=", ".join(twice))
    claims = ordered[0].study.claims.judge(
        {seed.config.seed: seed.says for seed in ordered}, caution=" ".join(divergences(ordered))
    )
    return Pooled(ordered, claims)


def divergences(seeds: Sequence[Seed]) -> list[str]:
    """Trainings whose loss was not finite, as "seed 0, NETWORK: where and what to do"."""
    return [
        f"seed {seed.config.seed}, {step['name']}: {step['divergence']}"
        for seed in seeds
        for step in read_steps(seed.directory)
        if "divergence" in step
    ]


def seed_folders(directory: Path) -> list[Path]:
    """The folders of seeds in that of a study, in order; or the folder itself, if it is that of a seed."""
    if (directory / STUDY_FILE).exists() and "seed" in read_identity(directory)["config"]:
        return [directory]
    found = [path for path in directory.glob("seed-*") if (path / STUDY_FILE).exists()]
    if not found:
        raise InvalidArgument(
            "directory", expected="the folder of a finished study", found=f"no seed-*/{STUDY_FILE} in {directory}"
        )
    return found


def _read_seed(place: Path) -> Seed:
    stored = read_identity(place)
    known = KNOWN.get(stored["study"])
    chosen = known or find_study(stored["file"] or stored["study"])
    values = stored["config"]
    config = type(chosen.config(values["preset"])).model_validate(values)
    found = stored_findings(place)
    return Seed(place, chosen, config, found, chosen.claims.test(found, config))


def read_identity(place: Path) -> Any:
    """Which study and config a folder holds."""
    return json.loads((place / STUDY_FILE).read_text(encoding="utf-8"))
