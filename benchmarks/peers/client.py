"""A peer's worker process, asked and answered in lines of JSON."""

import json
import os
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any

from benchmarks.peers.environments import HERE, CannotRun, Peer, interpreter


class Worker:
    """A running peer; used as a context, so that its process ends with it."""

    def __init__(self, peer: Peer, log: Path, threads: int = 1) -> None:
        self.peer, self.log, self.threads = peer, log, threads

    def __enter__(self) -> "Worker":
        python = interpreter(self.peer)
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self._errors = self.log.open("a", encoding="utf-8")
        self._process = subprocess.Popen(
            [python, HERE / self.peer.worker],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": str(self.threads)} | self.peer.variables,
        )
        assert self._process.stdin
        assert self._process.stdout
        self._tasks, self._answers = self._process.stdin, self._process.stdout
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(BrokenPipeError):
            self._tasks.close()
        try:
            self._process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._errors.close()

    def ask(self, do: str, **task: Any) -> dict[str, Any]:
        """One task, and its answer.

        Raises:
            CannotRun: if the peer raised an error, or the process is gone, as when the peer cannot even be imported.
        """
        try:
            self._tasks.write(json.dumps({"do": do, "threads": self.threads, **task}) + "\n")
            self._tasks.flush()
            line = self._answers.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            code = self._process.wait()
            self._errors.flush()
            last = self.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:]
            raise CannotRun(f"not run: its process ended with code {code}: {' '.join(last)[:300]}")
        answer = json.loads(line)
        if "error" in answer:
            raise CannotRun(f"not run: {answer['error']}")
        return answer
