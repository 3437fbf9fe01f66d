"""The peers at their releases: an environment for each under `benchmarks/.peers/`, made when it is missing."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).parent
ENVIRONMENTS = HERE.parent / ".peers"
TORCH = "torch==2.13.0"  # the same for all, so that ratios compare libraries and not versions of torch


class CannotRun(Exception):
    """A peer that could not be installed or run, and why; it yields no ratio."""


@dataclass(frozen=True)
class Peer:
    """One release of one library.

    Args:
        name: as printed.
        requirement: what pip installs.
        worker: the script in this folder that runs under the environment's interpreter.
        python: the interpreter it needs; None takes the one that runs this.
        pins: versions of what it depends on, where the newest breaks it.
        variables: environment variables the worker is started with.
    """

    name: str
    requirement: str
    worker: str
    python: str | None = None
    pins: tuple[str, ...] = ()
    variables: dict[str, str] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        return ENVIRONMENTS / self.requirement.replace("==", "-")


PEERS = {
    peer.name: peer
    for peer in (
        Peer("devinterp 1.3.2", "devinterp==1.3.2", "run_devinterp1.py"),
        # It imports a name that zarr 3.4 no longer has; transformers, which it imports, looks for a network at once.
        Peer(
            "devinterp 2.0.1",
            "devinterp==2.0.1",
            "run_devinterp2.py",
            pins=("zarr==3.1.6",),
            variables={"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"},
        ),
        Peer("canonical-interp 0.1.5", "canonical-interp==0.1.5", "run_canonical.py", python="3.12"),
        Peer("posteriors 0.1.2", "posteriors==0.1.2", "run_posteriors.py"),
    )
}

OURS = Peer("ours", "ontogeny", "run_ours.py")  # the environment that runs this


def interpreter(peer: Peer) -> Path:
    """The Python of the peer's environment, which is made first if it is not whole.

    Raises:
        CannotRun: if there is no interpreter of the version it needs, or pip fails.
    """
    if peer is OURS:
        return Path(sys.executable)
    python = peer.folder / "bin" / "python"
    whole = peer.folder / "installed.txt"
    if whole.exists():
        return python
    base = _base(peer)
    ENVIRONMENTS.mkdir(exist_ok=True)
    (ENVIRONMENTS / ".gitignore").write_text("*\n", encoding="utf-8")
    shutil.rmtree(peer.folder, ignore_errors=True)
    subprocess.run([base, "-m", "venv", peer.folder], check=True)
    constraints = peer.folder / "constraints.txt"
    constraints.write_text("\n".join([TORCH, *peer.pins]) + "\n", encoding="utf-8")
    log = peer.folder / "pip.log"
    with log.open("w", encoding="utf-8") as stream:
        command = [python, "-m", "pip", "install", "-c", constraints, TORCH, peer.requirement]
        failed = subprocess.run(command, stdout=stream, stderr=subprocess.STDOUT, check=False).returncode
    if failed:
        last = [line for line in log.read_text(encoding="utf-8").splitlines() if line.startswith("ERROR")]
        raise CannotRun(f"not installed: {last[-1] if last else f'see {log}'}")
    frozen = subprocess.run([python, "-m", "pip", "freeze"], capture_output=True, text=True, check=True).stdout
    whole.write_text(frozen, encoding="utf-8")
    return python


def _base(peer: Peer) -> str:
    if peer.python is None:
        return sys.executable
    for candidate in _candidates(peer.python):
        if _version(candidate) == peer.python:
            return candidate
    raise CannotRun(f"not run: it needs Python {peer.python}, and no such interpreter was found")


def _candidates(version: str) -> Iterator[str]:
    """Where an interpreter of another version may lie: on the path, or with a version manager."""
    on_path = shutil.which(f"python{version}")
    if on_path:
        yield on_path
    for manager in (".pyenv/versions", ".local/share/uv/python"):
        folder = Path.home() / manager
        yield from (str(path) for path in sorted(folder.glob(f"*{version}*/bin/python{version}"), reverse=True))


def _version(python: str) -> str | None:
    code = "import sys; print('.'.join(map(str, sys.version_info[:2])))"
    found = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
    return found.stdout.strip() if found.returncode == 0 else None
