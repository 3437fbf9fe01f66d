"""Checkpoints of a public series on a Hugging Face hub: fetched when needed, verified, and removed again."""

import re
import shutil
import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ontogeny.core.errors import CorruptFile, InvalidArgument
from ontogeny.core.fingerprint import fingerprint
from ontogeny.stores.checkpoints import Checkpoints
from ontogeny.stores.entries import Weights, state_dict_in
from ontogeny.stores.hub_series import Revision
from ontogeny.stores.layouts import ADAPTER_CONFIG, read_weights
from ontogeny.stores.repository import HubFile, Repository
from ontogeny.stores.shelf import MOST, Shelf
from ontogeny.stores.temporaries import remove

# What models and tokenizers are made from, without weights.
_DESCRIPTION = re.compile(r"(.*config|tokenizer.*|special_tokens.*|vocab|added_tokens)\.json|merges\.txt|.*\.model")
KEEP = ("none", "last", "all")


class HubCheckpoints(Checkpoints):
    """One line of revisions in a repository.

    A checkpoint is fetched when it is loaded, by its commit, and every file is compared with the hub's checksum at each
    reading. At most two are on disk: the one in use, and the next, which is fetched meanwhile. A copy of the object in
    another process reads the same folder.

    Args:
        repository: where the checkpoints are.
        revisions: by step, with the commit of each.
        files: by step, those of the checkpoint.
        shelf: where they are on disk.
        keep: "none", "last" or "all" of them, see `open_checkpoints`.
        key, load: as for `open_checkpoints`.
    """

    def __init__(
        self,
        repository: Repository,
        revisions: Mapping[int, Revision],
        files: Mapping[int, Sequence[HubFile]],
        shelf: Shelf,
        keep: str,
        key: str | None = None,
        load: Callable[[Path], Any] | None = None,
    ) -> None:
        self.repository, self._revisions, self._files = repository, dict(revisions), dict(files)
        self._shelf, self._keep, self._key, self._load = shelf, keep, key, load
        self.steps = sorted(self._revisions)
        self.at_once = None if keep == "all" else MOST
        self._visits: list[int] = []
        self._depth, self._is_copy, self._before = 0, False, -1
        self._fetching: threading.Thread | None = None
        self.others: dict[str, int] = {}

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_fetching": None, "_is_copy": True}

    @property
    def size(self) -> int:
        """Bytes of all checkpoints together."""
        return sum(file.size for files in self._files.values() for file in files)

    @property
    def most_on_disk(self) -> int:
        """Bytes on disk at a time, at most."""
        sizes = sorted((sum(file.size for file in files) for files in self._files.values()), reverse=True)
        return sum(sizes[: self.at_once])

    def shown(self, step: int) -> str:
        """The revision of a step, for messages."""
        return f"hf://{self.repository.name}@{self._revisions[step].name}"

    def load(self, step: int) -> Weights:
        self._require(step)
        fresh, place = self._fetched(step)
        if not fresh:
            self._verify(step)
        if self._load is None:
            weights = read_weights(place, self._key)
        else:
            weights = state_dict_in(self._load(place), self._key, f"what load({str(place)!r}) returns")
        if not self._depth and not self._is_copy:
            if self._keep == "none":
                self._shelf.let_go(self._name(step))
            after = self.steps.index(step) + 1
            if 0 <= self._before == after - 2 and after < len(self.steps):  # one after the other
                self._prefetch(self.steps[after])
            self._before = after - 1
        return weights

    def checksum(self, step: int) -> str:
        self._require(step)
        revision = self._revisions[step]
        if self._key is None and self._load is None:
            return fingerprint(self.repository.name, revision.commit, revision.inside)
        return fingerprint(self.repository.name, revision.commit, revision.inside, self._key, self._load)

    def holds_adapter(self, step: int) -> bool:
        self._require(step)
        return any(Path(file.path).name == ADAPTER_CONFIG for file in self._files[step])

    def fetch(self, step: int) -> Path:
        """Make sure that a checkpoint is on disk, and give its folder or file; with its `config.json`, if it has one.

        Raises:
            CorruptFile: for a file that differs from the hub's checksum, or that the hub no longer has; names the
                revision and the file.
            HubUnreachable: if the hub does not answer.
        """
        self._require(step)
        return self._fetched(step)[1]

    def described(self) -> Path:
        """A folder with the configuration and the tokenizer of the last checkpoint, as `from_pretrained` reads them.

        They are not counted among the checkpoints on disk, and stay.
        """
        last = self._revisions[self.steps[-1]]
        folder = self._shelf.place("described") / last.commit
        for file in self.repository.files(last.commit):
            within, _, name = file.path.rpartition("/")
            wanted = within == last.inside and _DESCRIPTION.fullmatch(name)
            if wanted and not file.matches(folder / file.path):
                self.repository.download(last.commit, file, folder, self.shown(self.steps[-1]))
        return folder / last.inside

    @contextmanager
    def visiting(self, steps: Sequence[int]) -> Generator[None]:
        """Fetch ahead along these steps meanwhile, and under `keep="none"` remove everything only afterwards."""
        before, self._visits = self._visits, list(steps)
        self._depth += 1
        try:
            yield
        finally:
            self._visits, self._depth = before, self._depth - 1
            if not self._depth and not self._is_copy and self._keep == "none":
                if self._fetching is not None:
                    self._fetching.join()
                self._shelf.let_go()

    def visit(self, step: int) -> None:
        self.fetch(step)
        place = self._visits.index(step) + 1 if step in self._visits else 0
        if place and place < len(self._visits):
            self._prefetch(self._visits[place])

    def in_order(self, steps: Sequence[int]) -> list[int]:
        """What is on disk comes first, so that it need not be fetched again."""
        there = [step for step in steps if self._is_there(step)]
        return [*there, *(step for step in steps if step not in there)]

    def _name(self, step: int) -> str:
        revision = self._revisions[step]
        return revision.commit + (f"-{fingerprint(revision.inside)[:8]}" if revision.inside else "")

    def _place(self, step: int) -> Path:
        """What is read: the folder of the checkpoint, or its file if it is one."""
        return self._shelf.place(self._name(step)) / self._revisions[step].inside

    def _is_there(self, step: int) -> bool:
        folder = self._shelf.place(self._name(step))
        places = [(folder / file.path, file.size) for file in self._files[step]]
        return all(place.is_file() and place.stat().st_size == size for place, size in places)

    def _fetched(self, step: int) -> tuple[bool, Path]:
        """Whether a checkpoint was fetched, and so verified, by this call; and where it is."""
        name = self._name(step)
        self._shelf.claim(name)
        with self._shelf.alone(name):
            fresh = not self._is_there(step)
            if fresh:
                folder = self._shelf.place(name)
                self._require_room(step)
                remove(folder / ".cache")  # what a killed process had fetched half
                for file in self._files[step]:
                    place = folder / file.path
                    if not (place.is_file() and place.stat().st_size == file.size):
                        self.repository.download(self._revisions[step].commit, file, folder, self.shown(step))
                remove(folder / ".cache")
                self._verify(step)
        return fresh, self._place(step)

    def _require_room(self, step: int) -> None:
        size = sum(file.size for file in self._files[step])
        free = shutil.disk_usage(self._shelf.root).free
        if size > free:
            raise InvalidArgument(
                "hub",
                expected=f"{size / 1e9:.3g} GB of free disk for {self.shown(step)}",
                found=f"{free / 1e9:.3g} GB in {self._shelf.root}",
                instead='hub=Hub(cache="FOLDER") with a folder on a larger disk',
            )

    def _verify(self, step: int) -> None:
        folder = self._shelf.place(self._name(step))
        for file in self._files[step]:
            place = folder / file.path
            if not file.matches(place):
                found = f"{place.stat().st_size:,} of {file.size:,} bytes" if place.is_file() else "nothing"
                remove(place)
                raise CorruptFile(
                    f"{self.shown(step)}: {file.path} does not match the hub's checksum ({found}); it was removed, and "
                    "is fetched again at the next attempt"
                )

    def _prefetch(self, step: int) -> None:
        """Fetch a checkpoint in the background. What goes wrong is told when it is loaded."""
        if self._is_copy:
            return
        if self._fetching is not None:
            self._fetching.join()

        def fetch() -> None:
            with suppress(Exception):
                self._fetched(step)

        self._fetching = threading.Thread(target=fetch, name="ontogeny-prefetch", daemon=True)
        self._fetching.start()
