"""A seed's folder on disk: artefacts and trained networks under their keys, and a record of the steps that made them.

| entry | what it is |
|---|---|
| `NAME.zarr/` | an artefact, with a manifest: its step, key, inputs, seconds, versions, and the SHA-256 of every file |
| `NAME/` | a trained network: checkpoints, metrics, state to go on from, and a manifest once it is finished |
| `NAME/instance-N/` | the same of each of many instances that were trained at once |
| `measurements/` | the parts of measurements, see `ontogeny.measurement` |
| `steps.json` | the steps of the last run in order: made, missing or failed, and why |
"""

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import xarray as xr

from ontogeny.core.errors import CorruptFile, InvalidArgument
from ontogeny.stores import DirectoryCheckpoints, begin, read_manifest, read_tree, remove, seal, write_json, write_tree
from ontogeny.studies.findings import Findings, Missing, unread
from ontogeny.training import instance_folders

STEPS = "steps.json"
Artefact = xr.Dataset | dict[str, xr.Dataset]


def place(directory: Path, name: str) -> Path:
    """Where an artefact is kept."""
    return directory / f"{name}.zarr"


def write_artefact(directory: Path, name: str, made: Any, metadata: Mapping[str, Any]) -> None:
    """Keep a Dataset, or Datasets by name, whole or not at all.

    Raises:
        InvalidArgument: for anything else.
    """
    several = isinstance(made, Mapping) and not isinstance(made, xr.Dataset)
    parts = dict(made) if several else {"": made}
    if not parts or not all(isinstance(part, xr.Dataset) for part in parts.values()):
        found = type(made).__name__ + (f" of {', '.join(type(part).__name__ for part in parts.values())}" * several)
        raise InvalidArgument("function", expected="one that returns an xr.Dataset, or a dict of them", found=found)
    tree = xr.DataTree.from_dict({f"/{label}": part for label, part in parts.items()}) if several else made
    write_tree(place(directory, name), tree, metadata=dict(metadata))


def read_artefact(directory: Path, name: str) -> Artefact:
    """An artefact, checked against its manifest; several Datasets of one step are in the order of their names.

    Raises:
        CorruptFile: if it is damaged.
    """
    tree = read_tree(place(directory, name))
    return {label: part.to_dataset() for label, part in sorted(tree.children.items())} or tree.to_dataset()


def begin_training(folder: Path, key: str) -> None:
    """Make room for a training: one of the same key goes on, one of another is removed.

    Raises:
        InvalidArgument: for a folder with anything else in it.
    """
    there = metadata_of(folder)
    if there.get("key") == key:
        return
    if folder.exists() and not there and any(folder.iterdir()):
        raise InvalidArgument("out", expected="a new folder, or one of this study", found=f"{folder} with other files")
    remove(folder)
    folder.mkdir(parents=True)
    begin(folder, {"key": key})


def read_training(folder: Path, key: str) -> Any:
    """What was trained, if that is finished and complete under this key; or None."""
    if metadata_of(folder).get("key") != key:
        return None
    files = read_manifest(folder).get("files")
    whole = files is not None and all((folder / name).exists() for name in files)
    return _networks(folder) if whole else None


def seal_training(folder: Path, metadata: Mapping[str, Any]) -> None:
    """Say that a training is finished."""
    seal(folder, metadata)


def metadata_of(folder: Path) -> dict[str, Any]:
    """What the manifest of an artefact or training says of its making; empty if there is none that can be read."""
    try:
        return read_manifest(folder).get("metadata", {})
    except CorruptFile:
        return {}


def record_steps(directory: Path, steps: Mapping[str, Mapping[str, str]]) -> None:
    """Keep what became of each step."""
    write_json(directory / STEPS, [{"name": name} | dict(told) for name, told in steps.items()])


def read_steps(directory: Path) -> list[dict[str, str]]:
    """What became of each step of the last run, in order."""
    path = directory / STEPS
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else []


def stored_findings(directory: Path) -> Findings:
    """The artefacts that the last run made in a seed's folder, and why others are missing."""
    found: dict[str, Any] = {}
    for step in read_steps(directory):
        name = step["name"]
        if step["state"] != "made":
            found[name] = Missing(name, step["reason"])
        elif place(directory, name).exists():
            found[name] = unread(partial(read_artefact, directory, name))
        else:
            found[name] = unread(partial(_networks, directory / name))
    return Findings(found)


def _networks(folder: Path) -> DirectoryCheckpoints | list[DirectoryCheckpoints]:
    """The checkpoints of a network, or of each of many instances."""
    instances = [DirectoryCheckpoints(path / "checkpoints") for path in instance_folders(folder)]
    return instances or DirectoryCheckpoints(folder / "checkpoints")


def timings(directory: Path) -> dict[str, float]:
    """Seconds that each step took when it was made."""
    places = {step["name"]: place(directory, step["name"]) for step in read_steps(directory)}
    known = {name: metadata_of(path if path.exists() else directory / name) for name, path in places.items()}
    return {name: metadata["seconds"] for name, metadata in known.items() if "seconds" in metadata}
