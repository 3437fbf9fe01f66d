"""The commits that revisions had when they were first opened."""

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from ontogeny.core.errors import InvalidArgument
from ontogeny.stores.files import write_json
from ontogeny.stores.hub_series import Revision


class Pins:
    """The last listing of a repository, and the commits of the revisions that were opened, in a file."""

    def __init__(self, root: Path) -> None:
        self._path = root / "listing.json"
        self._said: dict[str, dict[str, str]] = {"refs": {}, "pinned": {}}
        with suppress(OSError, ValueError):
            self._said |= json.loads(self._path.read_text(encoding="utf-8"))

    @property
    def refs(self) -> dict[str, str]:
        """The commit of every branch and tag at the last listing."""
        return self._said["refs"]

    def require_unmoved(self, revisions: Mapping[int, Revision], moved: str, shown: str) -> dict[int, Revision]:
        """The revisions at the commits to use; new ones are pinned.

        Raises:
            InvalidArgument: if some have moved and `moved` is "refuse".
        """
        pinned = self._said["pinned"]
        names = {step: f"{each.name}:{each.label.step}" for step, each in revisions.items()}
        gone = [step for step, each in revisions.items() if pinned.get(names[step], each.commit) != each.commit]
        if gone and moved == "refuse":
            first = revisions[gone[0]]
            more = f", and {len(gone) - 1} more" if len(gone) > 1 else ""
            raise InvalidArgument(
                "source",
                expected="revisions that point to the commits they had when they were first opened",
                found=f"{shown}@{first.name} moved from {pinned[names[gone[0]]][:12]} to {first.commit[:12]}{more}",
                instead='hub=Hub(moved="keep") to go on with the old commits, hub=Hub(moved="take") for the new ones',
            )
        if moved == "keep":
            kept = {
                step: Revision(each.name, pinned.get(names[step], each.commit), each.label, each.inside)
                for step, each in revisions.items()
            }
        else:
            kept = dict(revisions)
        pinned |= {names[step]: each.commit for step, each in kept.items()}
        return kept

    def write(self, refs: Mapping[str, str]) -> None:
        """Keep what was found."""
        with suppress(OSError, ValueError):  # what another process has pinned meanwhile
            there = json.loads(self._path.read_text(encoding="utf-8"))["pinned"]
            self._said["pinned"] = there | self._said["pinned"]
        write_json(self._path, self._said | {"refs": dict(refs)})
