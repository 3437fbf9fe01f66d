"""A model repository on a Hugging Face hub: its branches, commits and files, through `huggingface_hub`."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from ontogeny.core.errors import CorruptFile, InvalidArgument, OntogenyError


class HubUnreachable(OntogenyError):
    """The hub did not answer, or not as a hub does. What was fetched and measured is kept; starting again goes on."""


class HubFile(NamedTuple):
    """A file in a commit.

    Attributes:
        path: within the repository.
        size: in bytes.
        digest: SHA-256 of the content of a large file, or git's SHA-1 of a small one, which covers its length.
    """

    path: str
    size: int
    digest: str

    def matches(self, place: Path) -> bool:
        """Whether a file on disk has this content."""
        if not place.is_file() or place.stat().st_size != self.size:
            return False
        git = len(self.digest) == 40
        content = hashlib.sha1(b"blob %d\0" % self.size, usedforsecurity=False) if git else hashlib.sha256()
        with place.open("rb") as file:
            while block := file.read(1 << 20):
                content.update(block)
        return content.hexdigest() == self.digest


@dataclass(frozen=True)
class Repository:
    """One repository.

    Args:
        name: "organisation/name".
        endpoint: address of the hub; default `HF_ENDPOINT`, or huggingface.co.
    """

    name: str
    endpoint: str | None = None

    def refs(self) -> dict[str, str]:
        """Commit by branch and tag."""
        found = self._ask("list_repo_refs", self.name)
        return {ref.name: ref.target_commit for ref in [*found.tags, *found.branches]}

    def commits(self, revision: str) -> list[tuple[str, str]]:
        """First line and identity of every commit up to a revision, the oldest first."""
        found = self._ask("list_repo_commits", self.name, revision=revision)
        return [(commit.title, commit.commit_id) for commit in reversed(found)]

    def files(self, commit: str) -> list[HubFile]:
        """All files of a commit."""
        entries = self._ask("list_repo_tree", self.name, revision=commit, recursive=True)
        files = [entry for entry in entries if hasattr(entry, "blob_id")]
        return [HubFile(each.path, each.size, each.lfs.sha256 if each.lfs else each.blob_id) for each in files]

    def download(self, commit: str, file: HubFile, folder: Path, shown: str) -> None:
        """Fetch one file of a commit into a folder, under its path there.

        Args:
            shown: the revision in errors.
        """
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError, RevisionNotFoundError
        from huggingface_hub.utils import tqdm

        class Quiet(tqdm):
            def __init__(self, *args: Any, **kwargs: Any) -> None:
                super().__init__(*args, **{**kwargs, "disable": True})

        options: dict[str, Any] = {"tqdm_class": Quiet}
        try:
            hf_hub_download(self.name, file.path, revision=commit, local_dir=folder, endpoint=self.endpoint, **options)
        except LocalEntryNotFoundError as error:  # of no answer, and nothing on this disk
            raise self._unreachable(error) from error
        except (EntryNotFoundError, RevisionNotFoundError) as error:
            raise CorruptFile(
                f"{shown}: {file.path} of commit {commit[:12]} is gone from the hub; the revision was moved or removed"
            ) from error
        except OSError as error:
            if "Consistency check failed" in str(error) or "No space" in str(error):
                raise CorruptFile(f"{shown}: {file.path} did not arrive whole ({_line(error)})") from error
            raise self._unreachable(error) from error
        except Exception as error:  # of the HTTP library in use, or of Xet
            raise self._unreachable(error) from error

    def _ask(self, method: str, *args: Any, **options: Any) -> Any:
        try:
            from huggingface_hub import HfApi
            from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError, RevisionNotFoundError
        except ImportError as error:
            raise InvalidArgument(
                "source",
                expected="the library huggingface_hub, for checkpoints on a hub",
                found="none installed",
                instead='pip install "ontogeny[hf]"',
            ) from error
        try:
            answer = getattr(HfApi(endpoint=self.endpoint), method)(*args, **options)
            return list(answer) if method == "list_repo_tree" else answer
        except (RepositoryNotFoundError, HFValidationError) as error:
            raise InvalidArgument(
                "source",
                expected="a repository that exists and that you may read",
                found=f"hf://{self.name}: {_line(error)}",
                instead='"hf://organisation/name", after `hf auth login` if it is gated or private',
            ) from error
        except RevisionNotFoundError as error:
            shown = str(options.get("revision", ""))
            raise InvalidArgument(
                "source",
                expected="a branch, tag or commit of the repository, a series, or a pattern with {N} for the step",
                found=f"{shown!r}, which hf://{self.name} does not have",
                instead=f'"hf://{self.name}" for its longest series',
            ) from error
        except Exception as error:  # of the HTTP library in use
            raise self._unreachable(error) from error

    def _unreachable(self, error: BaseException) -> HubUnreachable:
        said = f"{type(error).__name__}: {_line(error)}"
        return HubUnreachable(
            f"hf://{self.name}: the hub did not answer ({said}). What is fetched and measured is kept; start again to "
            "go on."
        )


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]
