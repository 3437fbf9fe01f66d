"""A server on this machine that speaks the hub's interface, and series laid out as the published ones are.

Only what `huggingface_hub` asks for is answered: references, commits, trees and files. The layouts have the names of
the published series; their networks are tiny.
"""

import hashlib
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import torch
from safetensors.torch import save

LARGE = (".safetensors", ".bin", ".pt", ".pth")  # kept as large files, whose SHA-256 the tree lists
Files = Mapping[str, bytes]


@dataclass
class Commit:
    """A commit: its title and its files, made when they are asked for."""

    title: str
    make: Callable[[], Files]
    made: Files | None = None

    @property
    def files(self) -> Files:
        if self.made is None:
            self.made = self.make()
        return self.made


@dataclass
class Repo:
    """A repository: commits by identity, and the history of each branch, the oldest first."""

    commits: dict[str, Commit] = field(default_factory=dict)
    branches: dict[str, list[str]] = field(default_factory=dict)

    def add(self, branch: str, make: Callable[[], Files], title: str = "Upload") -> str:
        """A commit on a branch."""
        history = self.branches.setdefault(branch, [])
        identity = hashlib.sha1(f"{branch} {title} {len(history)} {len(self.commits)}".encode()).hexdigest()
        self.commits[identity] = Commit(title, make)
        history.append(identity)
        return identity

    def resolve(self, revision: str) -> str | None:
        if revision in self.branches:
            return self.branches[revision][-1]
        return revision if revision in self.commits else None


class HubServer:
    """The server, from `start` to `stop`.

    Attributes:
        repos: by name.
        sent: how often each (repository, commit, path) was sent to the end.
        tampered: (repository, path) -> what is sent in place of the content.
        calls: requests by kind.
        pause: called before a file is sent.
    """

    def __init__(self) -> None:
        self.repos: dict[str, Repo] = {}
        self.sent: Counter[tuple[str, str, str]] = Counter()
        self.calls: Counter[str] = Counter()
        self.tampered: dict[tuple[str, str], bytes] = {}
        self.pause: Callable[[str], None] = lambda path: None
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True  # else a body waits 40 ms for the headers before it

            def do_GET(self) -> None:
                server.answer(self, body=True)

            def do_HEAD(self) -> None:
                server.answer(self, body=False)

            def log_message(self, format: str, *args: Any) -> None: ...

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self._http.handle_error = lambda *_: None  # type: ignore[method-assign]  # of clients that were killed

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    def start(self) -> "HubServer":
        threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def stop(self) -> None:
        self._http.shutdown()
        self._http.server_close()

    def answer(self, request: BaseHTTPRequestHandler, body: bool) -> None:
        parts = [unquote(part) for part in urlsplit(request.path).path.strip("/").split("/")]
        if parts[:2] == ["api", "models"]:
            self._api(request, "/".join(parts[2:4]), parts[4:])
        elif len(parts) > 4 and parts[2] == "resolve":
            self._file(request, "/".join(parts[:2]), parts[3], "/".join(parts[4:]), body)
        else:
            _reply(request, 404, b"{}")

    def _api(self, request: BaseHTTPRequestHandler, name: str, what: list[str]) -> None:
        repo = self.repos.get(name)
        if repo is None:
            _reply(request, 404, b"{}", {"X-Error-Code": "RepoNotFound"})
            return
        self.calls[what[0]] += 1
        commit = None
        if what[0] != "refs" and (commit := repo.resolve(what[1])) is None:
            _reply(request, 404, b"{}", {"X-Error-Code": "RevisionNotFound"})
            return
        if what[0] == "refs":
            found: Any = {
                "branches": [
                    {"name": branch, "ref": f"refs/heads/{branch}", "targetCommit": history[-1]}
                    for branch, history in repo.branches.items()
                ],
                "tags": [],
                "converts": [],
            }
        elif what[0] == "commits":
            histories = [history for history in repo.branches.values() if commit in history]
            found = [
                {"id": each, "authors": [], "date": "2025-01-01T00:00:00.000Z", "title": repo.commits[each].title}
                | {"message": ""}
                for each in reversed(histories[0][: histories[0].index(str(commit)) + 1])
            ]
            page = int(parse_qs(urlsplit(request.path).query).get("p", ["0"])[0])
            found, more = found[50 * page : 50 * page + 50], found[50 * page + 50 :]
            if more:
                following = f"{self.endpoint}/api/models/{name}/commits/{what[1]}?p={page + 1}"
                _reply(request, 200, json.dumps(found).encode(), {"Link": f'<{following}>; rel="next"'})
                return
        else:
            found = [_listed(path, content) for path, content in repo.commits[str(commit)].files.items()]
        _reply(request, 200, json.dumps(found).encode())

    def _file(self, request: BaseHTTPRequestHandler, name: str, revision: str, path: str, body: bool) -> None:
        repo = self.repos.get(name)
        commit = repo.resolve(revision) if repo else None
        if repo is None or commit is None:
            _reply(request, 404, b"", {"X-Error-Code": "RevisionNotFound"})
            return
        content = repo.commits[commit].files.get(path)
        if content is None:
            _reply(request, 404, b"", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": commit})
            return
        listed = _listed(path, content)
        content = self.tampered.get((name, path), content)
        digest = listed["lfs"]["oid"] if "lfs" in listed else listed["oid"]
        headers = {"X-Repo-Commit": commit, "ETag": f'"{digest}"'}
        if body:
            self.pause(path)
        _reply(request, 200, content, headers, body)
        if body:
            self.sent[name, commit, path] += 1


def _listed(path: str, content: bytes) -> dict[str, Any]:
    git = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
    entry: dict[str, Any] = {"type": "file", "path": path, "size": len(content), "oid": git}
    if path.endswith(LARGE):
        entry["lfs"] = {"oid": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 130}
    return entry


def _reply(
    request: BaseHTTPRequestHandler,
    status: int,
    body: bytes,
    headers: Mapping[str, str] | None = None,
    send: bool = True,
) -> None:
    request.send_response(status)
    for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
        request.send_header(name, value)
    request.end_headers()
    if send:
        request.wfile.write(body)


def weights(step: int, width: int = 3) -> dict[str, torch.Tensor]:
    """The state dict of `torch.nn.Linear(width, 2)` at a step: it comes nearer to ones."""
    share = step / (step + 1000)
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(2, width, generator=generator)
    return {"weight": (1 - share) * start + share, "bias": torch.full((2,), share)}


def whole(step: int) -> dict[str, bytes]:
    """One file of safetensors and a configuration."""
    return {"model.safetensors": save(weights(step)), "config.json": b"{}", ".gitattributes": b"*.safetensors lfs"}


def sharded(step: int) -> dict[str, bytes]:
    """Two shards with their index."""
    named = weights(step)
    names = {name: f"model-{number:05d}-of-00002.safetensors" for number, name in enumerate(named, 1)}
    files = {names[name]: save({name: tensor}) for name, tensor in named.items()}
    return files | {"model.safetensors.index.json": json.dumps({"metadata": {}, "weight_map": names}).encode()}


def branches(names: Iterable[str], make: Callable[[int], Files] = whole, empty_main: bool = False) -> Repo:
    """A repository with a branch for each name, whose number after "step" or "checkpoint" is the step."""
    repo = Repo()
    repo.add("main", (lambda: {".gitattributes": b""}) if empty_main else (lambda: make(10**9)))
    for name in names:
        step = int("".join(letter for letter in name.split("-tokens")[0].split("step")[-1] if letter.isdigit()))
        repo.add(name, lambda step=step: make(step))
    return repo


PYTHIA = ["step0", *(f"step{2**power}" for power in range(10)), *(f"step{n}" for n in range(1000, 144_000, 1000))]
OLMO2_MISSING = (100_000, 174_000, 317_000)
OLMO2 = [
    "step1000-tokens5B",  # early branches lack the stage
    "step2000-tokens9B",
    *(f"stage1-step{n}-tokens{round(n * 4.194304e-3)}B" for n in range(3000, 400_000, 1000) if n not in OLMO2_MISSING),
    *(f"stage2-ingredient{fork}-step{n}-tokens{round(n * 4.194304e-3)}B" for fork in (1, 2, 3) for n in (5000, 11931)),
]
OLMO3 = [
    *(f"stage1-step{n}" for n in (*range(0, 1_413_814, 1000), 1_413_814)),
    *(f"stage2-step{n}" for n in range(1000, 48_000, 1000)),
    *(f"stage3-step{n}" for n in range(1000, 12_000, 1000)),
]
SMOLLM3 = [
    *(f"stage1-step-{n}" for n in range(40_000, 3_450_000, 40_000)),
    *(f"stage2-step-{n}" for n in range(3_480_000, 4_200_000, 40_000)),
    *(f"stage3-step-{n}" for n in range(4_200_000, 4_720_001, 40_000)),
    *(f"lc-4k-to-32k-step-{n}" for n in range(4000, 20_001, 4000)),
]


def pico(last: int = 60_000) -> Repo:
    """Commits on main, with files of pickle beside the weights, and custom code."""
    repo = Repo()
    repo.add("main", lambda: {".gitattributes": b""}, "initial commit")
    for step in range(0, last + 1, 1000):
        beside = {"learning_dynamics/train_weights.pt": b"pickle", "pico_decoder.py": b"# code"}
        repo.add("main", lambda step=step, beside=beside: whole(step) | beside, f"Saving HF Model -- Step {step}")
        repo.add(
            "main",
            lambda step=step, beside=beside: whole(step) | beside,
            f"Saving Learning Dynamics Data (train) -- Step {step}",
        )
    repo.add("main", lambda: whole(last) | {"README.md": b"# Pico"}, "Update README.md")
    return repo


def suites() -> dict[str, Repo]:
    """Every layout, by the name of its repository."""
    return {
        "EleutherAI/pythia-70m": branches(PYTHIA),
        "EleutherAI/pythia-14m-seed5": branches(PYTHIA, empty_main=True),
        "allenai/OLMo-2-1124-7B": branches(OLMO2, sharded),
        "allenai/Olmo-3-1025-7B": branches(OLMO3, sharded),
        "HuggingFaceTB/SmolLM3-3B-checkpoints": branches(SMOLLM3, empty_main=True),
        "pico-lm/pico-decoder-tiny": pico(),
    }
