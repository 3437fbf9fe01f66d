"""Beliefs, mixed states and h(L) against simplexity and epsilon-transformers: `python -m benchmarks.compmech`.

Run it with OMP_NUM_THREADS=1: every contestant has the same single core. Each peer runs in a process of its own that
stays, and times the call itself; contestants take turns round by round. A peer that cannot run has its reason instead.
"""

import argparse
import os
import platform
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.__main__ import write_section
from benchmarks.peers.client import Worker
from benchmarks.peers.environments import CannotRun
from benchmarks.peers_compmech.repositories import EPSILON_TRANSFORMERS, SIMPLEXITY, RepositoryPeer
from benchmarks.peers_compmech.tree import deeper, every_word, memory, undeduplicated
from benchmarks.peers_compmech.turns import Contestant, rows, take_turns, timed
from ontogeny import compmech as cm

ROUNDS = 11
SEQUENCES, LENGTH, DEPTH = 100_000, 64, 14
STEPPED = 10_000  # sequences that epsilon-transformers steps through in some seconds
PATIENCE = 20.0  # seconds that a size may take a peer
LOGS = Path("runs/compmech")
TITLE = "Beliefs, mixed states and h(L)"
HEADER = """
Command: `OMP_NUM_THREADS=1 python -m benchmarks.compmech`. Medians over {rounds} rounds, contestants interleaved on one
core; the ratio is theirs over ours, the median over rounds with its 95 % bootstrap interval, so that above 1 ours is
faster. Python {python}, numpy {numpy}, CPU. Each peer is run from its public repository at the commit shown, in a
process of its own that times the call itself; what compiles has done so before. The last column is the largest
difference from ours.

| task | contestant | seconds | ratio | difference |
|---|---|---|---|---|
"""
NOTES = """
simplexity uses float32, its default; ours uses float64. Its beliefs are `transition_states` under scan, vmap and jit.
Its mixed states are the loop inside `generate`, compiled, without words of probability below 1e-12 (its default keeps
impossible ones). Its h(L) is `compute_myopic_entropy`, compiled. `generate` itself recompiles at each call and fills a
dictionary node by node: {public}. The modules needed are loaded without the package's training code.

epsilon-transformers looks up beliefs with `path_to_beliefs` in a tree of all words. The tree is made beforehand and not
timed; at length 64 it does not fit in any memory. Tree and look-up take, {growth}.
At this length `get_beliefs_for_transformer_inputs` takes {inputs}. Token by token, with the private function
that makes the tree, there is no such limit. Its h(L) uses a tree of 14 tokens, made each time.

The undeduplicated trees use numpy, one level at a time. One omits impossible words; the other has a place for every
word, like simplexity by default. RRXOR has few words, so at depth 14 the first has few nodes. It grows by a factor of
about 1.6 with each token, the second by 2, and ours not at all:

| h(L) to | ours, ms | nodes, possible words | ms | ratio | nodes, every word | ms | ratio |
|---|---|---|---|---|---|---|---|
{deeper}

Peak memory by tracemalloc, each in a fresh process: {memory}
"""


class Peers:
    """The peers' workers, and files through which arrays go to them and come back."""

    def __init__(self, stack: ExitStack, tokens: np.ndarray) -> None:
        self.folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        self.tokens = str(self.folder / "tokens.npy")
        np.save(self.tokens, tokens)
        self.workers: dict[str, Worker | str] = {}
        for peer in (SIMPLEXITY, EPSILON_TRANSFORMERS):
            try:
                peer.check_out()
                self.workers[peer.name] = stack.enter_context(Worker(peer, LOGS / f"{peer.folder.name}.log"))
            except CannotRun as error:
                self.workers[peer.name] = str(error)

    def ask(self, peer: RepositoryPeer, do: str, **task: Any) -> dict[str, Any]:
        """One task; raises CannotRun."""
        worker = self.workers[peer.name]
        if isinstance(worker, str):
            raise CannotRun(worker)
        return worker.ask(do, tokens=self.tokens, **task)

    def contestant(
        self, peer: RepositoryPeer, detail: str, compare: Callable[[np.ndarray], float], do: str, **task: Any
    ) -> Contestant:
        """A peer at a task, its result compared with ours first."""
        name, out = f"{peer.name}{detail}", str(self.folder / "out.npy")
        try:
            self.ask(peer, do, **task, out=out)
        except CannotRun as error:
            return Contestant(name, lambda: 0.0, reason=str(error))
        return Contestant(name, lambda: self.ask(peer, do, **task)["seconds"], compare(np.load(out)))


def beliefs(peers: Peers, rounds: int, length: int) -> Iterator[str]:
    """Exact beliefs of mess3 sequences: all of them, those that epsilon-transformers steps, and those it looks up."""
    process, tokens = cm.process("mess3", x=0.05, alpha=0.85), np.load(peers.tokens)
    cases = (
        (f"beliefs of {SEQUENCES:,} × {LENGTH}", SIMPLEXITY, "", "beliefs", (SEQUENCES, LENGTH)),
        (f"beliefs of {STEPPED:,} × {LENGTH}", EPSILON_TRANSFORMERS, ", step by step", "steps", (STEPPED, LENGTH)),
        (f"beliefs of {SEQUENCES:,} × {length}", EPSILON_TRANSFORMERS, ", tree made", "beliefs", (SEQUENCES, length)),
    )
    for task, peer, detail, do, (sequences, until) in cases:
        given = np.ascontiguousarray(tokens[:sequences, :until])
        compare = partial(_farthest, process.beliefs(given)[:, 1:])
        contestants = [
            Contestant("ours", timed(lambda given=given: process.beliefs(given))),
            peers.contestant(peer, detail, compare, do, sequences=sequences, length=until),
        ]
        take_turns(contestants, rounds)
        yield from rows(task, contestants)


def longest(peers: Peers) -> tuple[int, str]:
    """The longest words whose tree epsilon-transformers makes and looks up in `PATIENCE`, and how that grows."""
    found: list[tuple[int, float, float]] = []
    for length in range(8, LENGTH):
        try:
            answer = peers.ask(EPSILON_TRANSFORMERS, "beliefs", sequences=SEQUENCES, length=length)
        except CannotRun as error:
            return (found[-1][0] if found else 8), str(error)
        found.append((length, answer["tree_seconds"], answer["seconds"]))
        if 3 * answer["tree_seconds"] + answer["seconds"] > PATIENCE:  # the next tree has three times the nodes
            break
    grown = ", ".join(f"to length {length}, {tree:.1f} + {lookup:.1f} s" for length, tree, lookup in found)
    return found[-1][0], grown


def presentations(peers: Peers, rounds: int) -> Iterator[str]:
    """Mixed states of RRXOR after up to 14 tokens."""
    process = cm.process("rrxor")
    ours = cm.mixed_states(process, max_depth=DEPTH).beliefs
    compare = partial(_apart, ours)
    contestants = [
        Contestant("ours", timed(lambda: cm.mixed_states(process, max_depth=DEPTH))),
        peers.contestant(SIMPLEXITY, "", compare, "tree", depth=DEPTH, public=False),
        peers.contestant(EPSILON_TRANSFORMERS, "", compare, "tree", depth=DEPTH),
        *_plain(process, lambda found: compare(found[1][found[1].any(axis=1)])),  # 0 throughout: an impossible word
    ]
    take_turns(contestants, rounds)
    yield from rows(f"mixed states of RRXOR to depth {DEPTH}", contestants)


def entropies(peers: Peers, rounds: int) -> Iterator[str]:
    """h(L) of RRXOR to 14."""
    process = cm.process("rrxor")
    compare = partial(_farthest, cm.myopic_entropies(process, DEPTH))
    contestants = [
        Contestant("ours", timed(lambda: cm.myopic_entropies(process, DEPTH))),
        peers.contestant(SIMPLEXITY, "", compare, "entropies", length=DEPTH),
        peers.contestant(EPSILON_TRANSFORMERS, "", compare, "entropies", length=DEPTH),
        *_plain(process, lambda found: compare(found[0])),
    ]
    take_turns(contestants, rounds)
    yield from rows(f"h(L) of RRXOR to {DEPTH}", contestants)


def _plain(process: cm.HMM, compare: Callable[[tuple[np.ndarray, np.ndarray]], float]) -> Iterator[Contestant]:
    for tree, words in ((undeduplicated, "possible words"), (every_word, "every word")):
        work = partial(tree, process, DEPTH)
        yield Contestant(f"undeduplicated tree of {words}, numpy", timed(work), compare(work()))


def _farthest(ours: np.ndarray, theirs: np.ndarray) -> float:
    """The largest difference of two arrays of one shape; infinite where the shapes differ or a number is missing."""
    return float(np.nan_to_num(np.abs(ours - theirs).max(), nan=np.inf)) if ours.shape == theirs.shape else np.inf


def _apart(ours: np.ndarray, theirs: np.ndarray) -> float:
    """The largest distance (of one coordinate) from a point of either set to the closest one of the other."""
    distances = np.abs(ours[:, None] - theirs[None]).max(axis=2)
    return float(np.nan_to_num(max(distances.min(axis=0).max(), distances.min(axis=1).max()), nan=np.inf))


def _told(peers: Peers, peer: RepositoryPeer, do: str, **task: Any) -> str:
    """Seconds of a task that is done once, or why not."""
    try:
        return f"{peers.ask(peer, do, **task)['seconds']:.1f} s"
    except CannotRun as error:
        return str(error)


def notes(peers: Peers, rounds: int, length: int, growth: str) -> str:
    """What the table leaves out."""
    return NOTES.format(
        public=_told(peers, SIMPLEXITY, "tree", depth=DEPTH, public=True),
        inputs=_told(peers, EPSILON_TRANSFORMERS, "inputs", sequences=SEQUENCES, length=length),
        growth=growth,
        deeper="\n".join(deeper(rounds)),
        memory=memory(),
    )


def main() -> None:
    """Measure, and write the section of RESULTS.md."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compmech", description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    rounds = parser.parse_args().rounds
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})  # the workers inherit it
    tokens = cm.process("mess3", x=0.05, alpha=0.85).sample(SEQUENCES, LENGTH, seed=0).numpy()
    with ExitStack() as stack:
        peers = Peers(stack, tokens)
        length, growth = longest(peers)
        parts = (beliefs(peers, rounds, length), presentations(peers, rounds), entropies(peers, rounds))
        found = [row for part in parts for row in part]
        text = HEADER.format(rounds=rounds, python=platform.python_version(), numpy=np.__version__)
        write_section(TITLE, text + "\n".join(found) + "\n" + notes(peers, rounds, length, growth))


if __name__ == "__main__":
    main()
