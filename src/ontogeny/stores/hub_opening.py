"""Opening a series on a hub: listed, put on a grid, and checked for weights before anything is downloaded."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ontogeny.core import arguments
from ontogeny.core.errors import InvalidArgument
from ontogeny.stores.files import write_json
from ontogeny.stores.grid import gaps, on_grid
from ontogeny.stores.hub_checkpoints import KEEP, HubCheckpoints
from ontogeny.stores.hub_files import weights_among
from ontogeny.stores.hub_series import Line, Revision, find_line, source_of
from ontogeny.stores.pins import Pins
from ontogeny.stores.repository import HubFile, HubUnreachable, Repository
from ontogeny.stores.revisions import tokens_a_step
from ontogeny.stores.shelf import Shelf

SCHEME = "hf://"
_SOURCE = re.compile(r"hf://([^/@\s]+/[^/@\s]+)(?:@(\S+))?/?")
_MOVED = ("refuse", "keep", "take")
_LISTINGS = 8  # trees listed at a time


@dataclass(frozen=True)
class Hub:
    """Where a hub is, where its checkpoints are kept, and what becomes of revisions that moved.

    Args:
        endpoint: address; default `HF_ENDPOINT`, or huggingface.co.
        cache: folder for checkpoints; default `ontogeny` in `HF_HOME`.
        moved: what to do where a branch no longer points to the commit that it had when it was first opened with this
            cache: "refuse", "keep" on with the old commit, or "take" the new one.
    """

    endpoint: str | None = None
    cache: str | Path | None = None
    moved: str = "refuse"

    def __post_init__(self) -> None:
        arguments.choice("moved", self.moved, _MOVED)

    @property
    def folder(self) -> Path:
        """The folder for checkpoints."""
        if self.cache is not None:
            return Path(self.cache).expanduser()
        from huggingface_hub import constants

        return Path(constants.HF_HOME) / "ontogeny"


def open_hub(
    source: str,
    every: str | int | None,
    keep: str,
    pickle: bool,
    hub: Hub,
    key: str | None = None,
    load: Callable[[Path], Any] | None = None,
) -> HubCheckpoints:
    """Open a series on a hub; see `open_checkpoints`."""
    form = _SOURCE.fullmatch(source)
    if form is None:
        raise InvalidArgument(
            "source",
            expected='"hf://organisation/name", with "@" and a series, pattern or revision behind it if need be',
            found=repr(source),
            instead='"hf://EleutherAI/pythia-70m"',
        )
    arguments.choice("keep", keep, KEEP)
    repository = Repository(form[1], hub.endpoint)
    root = hub.folder / form[1].replace("/", "--")
    pins = Pins(root)
    try:
        refs = repository.refs()
    except HubUnreachable:
        if not (refs := pins.refs):
            raise
    line, others = find_line(repository, refs, form[2] or "")
    listed = _Listing(repository, root, pins, hub.moved, pickle)
    revisions, files, without = listed.choose(line, every)
    pins.write(refs)
    names = [each.commit for each in revisions.values()]
    shelf = Shelf.of_this_process(root, names, keep == "all")
    found = HubCheckpoints(repository, revisions, files, shelf, keep, key, load)
    found.stages = {stage: step for stage, step in line.stages.items() if step <= max(found.steps)}
    found.tokens = _tokens(repository.name, line, revisions)
    lacking = dict.fromkeys(gaps(list(line.revisions)), "no revision")
    doubled = {step: f"{name} is another checkpoint of this step" for step, name in line.doubles.items()}
    found.missing = dict(sorted({**doubled, **lacking, **without}.items()))
    found.others = {source_of(repository.name, other): len(other.revisions) for other in others}
    return found


def _tokens(repository: str, line: Line, revisions: Mapping[int, Revision]) -> dict[int, int]:
    said = {step: each.label.tokens for step, each in revisions.items() if each.label.tokens is not None}
    each = tokens_a_step(repository)
    if each is None or line.name not in ("", "stage1"):
        return said
    return {step: step * each for step in revisions} | said


@dataclass(frozen=True)
class _Listing:
    """The files of commits, as the hub lists them; what it answered once is kept, since a commit never changes."""

    repository: Repository
    root: Path
    pins: Pins
    moved: str
    pickle: bool

    def choose(
        self, line: Line, every: str | int | None
    ) -> tuple[dict[int, Revision], dict[int, list[HubFile]], dict[int, str]]:
        """Revisions on the grid that have weights, their files, and why others in their places were not taken."""
        usable, without = dict(line.revisions), dict[int, str]()
        while usable:
            chosen = {step: usable[step] for step in on_grid(list(usable), every)}
            shown = f"hf://{self.repository.name}"
            chosen = self.pins.require_unmoved(chosen, self.moved, shown)
            found = self._files(chosen)
            empty = {step: why for step, why in found.items() if isinstance(why, str)}
            if not empty:
                return chosen, {step: each for step, each in found.items() if not isinstance(each, str)}, without
            without |= {step: f"{chosen[step].name} has {why}" for step, why in empty.items()}
            usable = {step: each for step, each in usable.items() if step not in empty}
        step, why = next(iter(sorted(without.items())))
        only_pickle = any("pickle only" in each for each in without.values())
        instead = (
            "pickle=True, which reads them without executing anything in them"
            if only_pickle
            else f'"hf://{self.repository.name}@REVISION" with a branch that has weights in safetensors'
        )
        raise InvalidArgument(
            "source",
            expected=f"weights in safetensors in the revisions of hf://{self.repository.name}",
            found=f"{why} at step {step}" + (f", and {len(without) - 1} more" if len(without) > 1 else ""),
            instead=instead,
        )

    def _files(self, chosen: Mapping[int, Revision]) -> dict[int, list[HubFile] | str]:
        with ThreadPoolExecutor(_LISTINGS) as pool:
            trees = dict(zip(chosen, pool.map(self._tree, [each.commit for each in chosen.values()]), strict=True))
        return {step: weights_among(trees[step], each.inside, self.pickle) for step, each in chosen.items()}

    def _tree(self, commit: str) -> Sequence[HubFile]:
        place = self.root / "trees" / f"{commit}.json"
        with suppress(OSError, ValueError, TypeError):
            return [HubFile(*each) for each in json.loads(place.read_text(encoding="utf-8"))]
        try:
            found = self.repository.files(commit)
        except InvalidArgument as error:
            error.add_note(f"Commit {commit} was listed before; its revision was moved or removed.")
            raise
        write_json(place, [list(each) for each in found])
        return found
