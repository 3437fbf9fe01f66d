"""Accuracy for each gradient, and the cost of a step, against the peers: `python -m benchmarks.peers --help`.

Everything found is kept under runs/peers as it is made; a run that was stopped goes on from there, and finished parts
are not made again.
"""

import argparse
import json
from functools import partial
from pathlib import Path

from benchmarks.peers import ours
from benchmarks.peers.accuracy import Grid, peer_task
from benchmarks.peers.cases import CASES, Case, reference
from benchmarks.peers.client import Worker
from benchmarks.peers.environments import PEERS, CannotRun, Peer
from benchmarks.peers.speed import ROUNDS, SPEED_CASES, measure
from benchmarks.peers.tables import sections


def main() -> None:
    """Measure what is asked for, and write the tables."""
    asked = _arguments()
    folder, peers = Path(asked.out), [PEERS[name] for name in asked.peers]
    cases = [case for case in CASES if asked.case in case.slug]
    if "accuracy" in asked.parts:
        for case in cases:
            known = reference(case, folder / "references")["value"]
            path = folder / "accuracy" / f"ours_{case.slug}.json"
            if "ours" not in asked.skip and not path.exists():
                ours.search(case, known, path)
        for peer in peers:
            _accuracy(peer, cases, folder)
    if "speed" in asked.parts:
        for number, case in enumerate(SPEED_CASES):
            path = folder / "speed" / f"{number}.json"
            if not path.exists() or json.loads(path.read_text(encoding="utf-8"))["rounds"] < asked.rounds:
                path.parent.mkdir(parents=True, exist_ok=True)
                measure(case, peers, path, folder / "logs", asked.rounds)
    text = "\n".join(sections(folder, cases, peers)) + "\n"
    (folder / "RESULTS.md").write_text(text, encoding="utf-8")


def _accuracy(peer: Peer, cases: list[Case], folder: Path) -> None:
    """The grid of one peer over all cases; a peer that cannot run leaves its reason in each case's file instead."""
    paths = {case: folder / "accuracy" / f"{peer.folder.name}_{case.slug}.json" for case in cases}
    try:
        with Worker(peer, folder / "logs" / f"{peer.folder.name}.log") as worker:
            for case, path in paths.items():
                task = peer_task(case, folder / "cases")

                ask = partial(worker.ask, "accuracy", **task)
                Grid(case, reference(case, folder / "references")["value"], ask, path).search()
    except CannotRun as error:
        for case, path in paths.items():
            if not path.exists():
                known = reference(case, folder / "references")["value"]
                path.parent.mkdir(parents=True, exist_ok=True)
                found = {"summary": {"reference": known, "not_run": str(error)}, "runs": []}
                path.write_text(json.dumps(found), encoding="utf-8")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.add_argument("--parts", nargs="+", choices=("accuracy", "speed"), default=("accuracy", "speed"))
    parser.add_argument("--peers", nargs="+", choices=list(PEERS), default=list(PEERS), metavar="PEER")
    parser.add_argument("--case", default="", help="only cases whose name contains this, such as n10000 or 5-10-5")
    parser.add_argument("--skip", nargs="*", choices=("ours",), default=(), help="leave our own entry out")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="rounds of the cost of a step")
    parser.add_argument("--out", default="runs/peers", help="where results go")
    return parser.parse_args()


if __name__ == "__main__":
    main()
