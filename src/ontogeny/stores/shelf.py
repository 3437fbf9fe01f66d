"""A folder with the few checkpoints of a repository that are on disk: who uses which, and which goes first.

| entry | what it is |
|---|---|
| `NAME/` | a checkpoint, named by its commit |
| `claims/NAME~OWNER` | says that a process uses it; its time is that of the last use |
| `claims/NAME~kept` | says that it stays until a person removes it |
| `listing.json`, `trees/COMMIT.json` | what the hub answered: the commits of revisions, and the files of commits |
"""

import os
import re
import time
from collections.abc import Collection, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ontogeny.stores.temporaries import is_stale, process_name, remove

_KEPT = "kept"
_CLAIM = re.compile(r"(.+)~([\w-]+)")
# Checkpoints on disk at a time: the one in use, and the next, which is fetched meanwhile.
MOST = 2


@dataclass(frozen=True)
class Shelf:
    """The checkpoints of one repository on disk, as seen by one owner.

    Args:
        root: the folder.
        known: names of the checkpoints of this series; others that a killed process left are removed.
        keep_all: whether nothing is ever removed.
        owner: the process that opened the series; its workers act in its name.
    """

    root: Path
    known: frozenset[str]
    keep_all: bool
    owner: str

    @classmethod
    def of_this_process(cls, root: Path, known: Collection[str], keep_all: bool) -> "Shelf":
        """A shelf whose owner is this process."""
        return cls(root, frozenset(known), keep_all, process_name())

    def place(self, name: str) -> Path:
        """The folder of a checkpoint."""
        return self.root / name

    def claim(self, name: str) -> None:
        """Say that a checkpoint is used from now on. Those unused for longest make room for a new one."""
        with self._locked("claims"):
            self._inherit()
            mine = self._mine()
            if not self.keep_all and name not in mine:
                for oldest in mine[: max(0, len(mine) + 1 - MOST)]:
                    self._let_go(oldest)
                mine = self._mine()
            claim = self._claim(name, _KEPT if self.keep_all else self.owner)
            claim.touch()
            # of two claims in one tick of the clock the later one is the later use
            latest = max((self._claim(each, self.owner).stat().st_mtime_ns for each in mine if each != name), default=0)
            now = max(time.time_ns(), latest + 1)
            os.utime(claim, ns=(now, now))

    def let_go(self, *names: str) -> None:
        """Remove checkpoints that nobody else uses; all of the owner's if none is named."""
        if self.keep_all:
            return
        with self._locked("claims"):
            for name in self._mine():
                if name in names or not names:
                    self._let_go(name)

    @contextmanager
    def alone(self, name: str) -> Generator[None]:
        """Fetch a checkpoint while no other process or thread fetches it."""
        with self._locked(name):
            yield

    def _inherit(self) -> None:
        """Take over what killed processes left: checkpoints of this series stay, others are removed."""
        for claim in self._claims():
            name, owner = claim.name.rsplit("~", 1)
            if owner in (self.owner, _KEPT) or not is_stale(owner, claim):
                continue
            if name in self.known and not self.keep_all:
                claim.replace(self._claim(name, self.owner))
            else:
                claim.unlink()
                self._remove_if_free(name)

    def _mine(self) -> list[str]:
        """The owner's checkpoints, the one unused for longest first."""
        mine = [claim for claim in self._claims() if claim.name.endswith(f"~{self.owner}")]
        return [claim.name.rsplit("~", 1)[0] for claim in sorted(mine, key=lambda claim: claim.stat().st_mtime_ns)]

    def _let_go(self, name: str) -> None:
        self._claim(name, self.owner).unlink(missing_ok=True)
        self._remove_if_free(name)

    def _remove_if_free(self, name: str) -> None:
        if not any(claim.name.rsplit("~", 1)[0] == name for claim in self._claims()):
            remove(self.place(name))

    def _claims(self) -> list[Path]:
        return [path for path in (self.root / "claims").glob("*~*") if _CLAIM.fullmatch(path.name)]

    def _claim(self, name: str, owner: str) -> Path:
        return self.root / "claims" / f"{name}~{owner}"

    @contextmanager
    def _locked(self, name: str) -> Generator[None]:
        from filelock import FileLock  # comes with huggingface_hub

        folder = self.root / "locks"
        folder.mkdir(parents=True, exist_ok=True)
        (self.root / "claims").mkdir(exist_ok=True)
        with FileLock(folder / f"{name}.lock"):
            yield
