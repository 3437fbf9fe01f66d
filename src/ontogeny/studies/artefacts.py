"""What a study leaves in its folder: whole artefacts, and analyses or why they were impossible."""

from collections.abc import Callable
from pathlib import Path

import xarray as xr

from ontogeny.core.errors import InvalidArgument
from ontogeny.stores import read_tree, write_tree
from ontogeny.studies.claims import NotTested

_NOT_TESTED = "not_tested"

Analysis = xr.Dataset | NotTested


def place(directory: Path, name: str) -> Path:
    """Where an artefact is kept."""
    return directory / f"{name}.zarr"


def read(directory: Path, name: str) -> xr.Dataset:
    """An artefact that the run has left."""
    return read_tree(place(directory, name)).to_dataset()


def make_once(directory: Path, name: str, make: Callable[[], xr.Dataset]) -> None:
    """Make an artefact unless it is there; each is looked for by itself, so that a run goes on after a kill between
    any two.
    """
    if not place(directory, name).exists():
        write_tree(place(directory, name), make())


def attempt(analyse: Callable[[], xr.Dataset]) -> Analysis:
    """An analysis, or why the data do not suffice for it."""
    try:
        return analyse()
    except InvalidArgument as error:
        return NotTested.because(error)


def keep_analysis(directory: Path, name: str, found: Analysis) -> Analysis:
    """Keep an analysis, or in its place why there is none."""
    stored = xr.Dataset(attrs={_NOT_TESTED: found.reason}) if isinstance(found, NotTested) else found
    write_tree(place(directory, name), stored)
    return found


def read_analysis(directory: Path, name: str) -> Analysis:
    """What `keep_analysis` kept."""
    found = read(directory, name)
    return NotTested(found.attrs[_NOT_TESTED]) if _NOT_TESTED in found.attrs else found


def shown(found: Analysis) -> xr.Dataset | None:
    """For a report: None where the analysis was impossible."""
    return None if isinstance(found, NotTested) else found


def unstaged(found: Analysis) -> str:
    """For a report: why it shows no stages; empty where it does."""
    return f"Stages were not looked for: {found.reason}." if isinstance(found, NotTested) else ""
