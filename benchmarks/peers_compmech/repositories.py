"""The peers at one commit of their public repositories, checked out under `benchmarks/.peers/checkouts`."""

import os
import shutil
import subprocess
from pathlib import Path

from benchmarks.peers.environments import ENVIRONMENTS, CannotRun, Peer
from benchmarks.peers.environments import HERE as SHARED

HERE = Path(__file__).parent
CHECKOUTS = ENVIRONMENTS / "checkouts"


class RepositoryPeer(Peer):
    """A library that is run from its source tree: only what it imports for these tasks is installed beside it."""

    def __init__(self, name: str, address: str, commit: str, worker: str, python: str | None = None) -> None:
        checkout = CHECKOUTS / f"{name}-{commit[:7]}"
        paths = os.pathsep.join(map(str, (checkout, SHARED)))
        super().__init__(
            name=f"{name} {commit[:7]}",
            requirement=f"-r{HERE / name}.txt",
            worker=str(HERE / worker),
            python=python,
            variables={"PYTHONPATH": paths, "CHECKOUT": str(checkout), "JAX_PLATFORMS": "cpu"},
        )
        object.__setattr__(self, "source", (address, commit, checkout))

    @property
    def folder(self) -> Path:
        return ENVIRONMENTS / self.name.replace(" ", "-")

    def check_out(self) -> None:
        """Clone the repository at its commit, unless it is there.

        Raises:
            CannotRun: if that fails.
        """
        address, commit, checkout = self.source
        if checkout.exists():
            return
        partial = checkout.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        CHECKOUTS.mkdir(parents=True, exist_ok=True)
        _git("clone", "--quiet", "--no-checkout", address, str(partial))
        _git("-C", str(partial), "checkout", "--quiet", commit)
        partial.rename(checkout)


def _git(*arguments: str) -> None:
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, env=_QUIET, check=False)
    except OSError as error:
        raise CannotRun(f"not run: {error}") from None
    if done.returncode:
        raise CannotRun(f"not run: git {arguments[0]}: {' '.join(done.stderr.split())[-200:]}")


_QUIET = os.environ | {"GIT_TERMINAL_PROMPT": "0"}

SIMPLEXITY = RepositoryPeer(
    "simplexity",
    "https://github.com/Astera-org/simplexity",
    "657aff777cd7d7a6edfadd1f846bbf62028caeec",
    "run_simplexity.py",
    python="3.12",
)
EPSILON_TRANSFORMERS = RepositoryPeer(
    "epsilon-transformers",
    "https://github.com/adamimos/epsilon-transformers",
    "7ae565932c3498443d64007660ab6ffa70eda7f7",
    "run_epsilon_transformers.py",
)
