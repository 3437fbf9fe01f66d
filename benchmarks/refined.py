"""Refined coefficients of all heads, against devinterp 2.0.1 head by head: `python -m benchmarks.refined --help`.

The network has two attention-only layers of eight heads, d_model 256, vocabulary 5000 and context 128, and is trained
for some hundred steps on Python's own library. Both sides take the same weights, sequences and sampler settings. What
is found is kept in `--out` as it is made; a run that was stopped goes on from there.
"""

import argparse
import json
import math
import subprocess
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.__main__ import write_section
from benchmarks.interleaved import interleaved
from benchmarks.peers.client import Worker
from benchmarks.refined_case import HEADS, Ours, case
from benchmarks.refined_tables import PEER, PUBLISHED, Found, scale, text
from ontogeny.estimators.summary import summarize
from ontogeny.models import Transformer

TITLE = "Refined coefficients of the heads of a two-layer transformer"
PARTS = ("speed", "error", "memory")


def speed(part: str, ours: Ours, ask: Callable[..., Found], asked: argparse.Namespace) -> Found:
    """Seconds of the same number of steps, round by round, without those of losses at w*.

    All rounds have one seed, so that ours knows these losses after the round that warms up.
    """
    posterior = ours.posterior(part)
    contestants = {
        "ours": lambda: ours.sample(posterior, asked.chains, asked.steps),
        PEER.name: partial(ask, "steps", part=part, draws=asked.steps),
    }
    seconds = interleaved(contestants, asked.rounds)
    return {name: values.tolist() for name, values in seconds.items()} | {"steps": asked.steps * asked.chains}


def error(part: str, ours: Ours, ask: Callable[..., Found], full: float, asked: argparse.Namespace) -> Found:
    """One run of each side: ours read every so many draws until the error is small enough, theirs at its end."""
    runs = ours.reached(part, lambda each: each["error"] <= asked.target * scale(each["value"], full), asked)
    answer = ask("run", part=part, draws=asked.peer_draws)
    return {"ours": runs, PEER.name: theirs(answer, asked)}


def theirs(answer: Found, asked: argparse.Namespace) -> Found:
    """Value, error and seconds of their run, and the parts that the error is made of."""
    trace, nbeta = np.array(answer["trace"]), PUBLISHED["nbeta"]
    baselines = np.array(answer["baseline_losses"])
    of_baseline = nbeta * float(baselines.std(ddof=1)) / math.sqrt(len(baselines))
    mean, spread, *_ = summarize(trace, shared=asked.matched)
    of_trace, value = nbeta * spread, nbeta * (mean - answer["baseline"])
    errors = {"error": math.hypot(of_trace, of_baseline), "of_trace": of_trace, "of_baseline": of_baseline}
    costs = {name: answer[name] for name in ("seconds", "seconds_of_a_batch")}
    return {"draws": trace.shape[1], "baselines": len(baselines), "value": value} | errors | costs


def memory(part: str, asked: argparse.Namespace) -> Found:
    """Megabytes above its imports of a fresh process of each side that samples the part."""
    arguments = [str(_path(asked)), part, str(asked.chains), str(asked.threads)]
    command = [sys.executable, "-c", _MEASURE, *arguments]
    ours = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    with Worker(PEER, Path(asked.out) / "devinterp.log", asked.threads) as worker:
        answer = worker.ask("peak", part=part, draws=4, **_task(asked))
    return {"ours": ours, PEER.name: answer["megabytes"]}


_MEASURE = """
import json, sys, torch
from pathlib import Path
from benchmarks.refined_case import Ours, case

def peak():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM"))

torch.set_num_threads(int(sys.argv[4]))
imported = peak()
ours = Ours(*case(Path(sys.argv[1]), 0, 0))
ours.sample(ours.posterior(sys.argv[2]), int(sys.argv[3]), 4)
print(json.dumps(peak() - imported))
"""


def _path(asked: argparse.Namespace) -> Path:
    return Path(asked.out) / "case.pt"


def _task(asked: argparse.Namespace) -> Found:
    return PUBLISHED | {"case": str(_path(asked)), "chains": asked.chains, "matched": asked.matched, "seed": 0}


def check(model: Transformer, tokens: Tensor, ask: Callable[..., Found], folder: Path) -> None:
    """Both sides have one network: logits agree to 1e-4."""
    ask("logits", rows=4, out=str(folder / "logits.pt"))
    with torch.no_grad():
        torch.testing.assert_close(model(tokens[:4]), torch.load(folder / "logits.pt"), atol=1e-4, rtol=1e-4)


def measure(asked: argparse.Namespace) -> Found:
    """Everything that is asked for and not there yet."""
    folder = Path(asked.out)
    folder.mkdir(parents=True, exist_ok=True)
    kept = folder / "found.json"
    found: Found = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else {part: {} for part in PARTS}
    torch.set_num_threads(asked.threads)
    ours = Ours(*case(_path(asked), asked.sequences, asked.train_steps))

    def keep(what: Mapping[str, Any], name: str, value: Found) -> None:
        what[name] = value
        kept.write_text(json.dumps(found, indent=1), encoding="utf-8")

    with Worker(PEER, folder / "devinterp.log", asked.threads) as worker:
        ask = partial(worker.ask, **_task(asked))
        check(ours.model, ours.tokens, ask, folder)
        if "error" in asked.parts and "full" not in found:
            keep(found, "full", ours.reached("full", lambda _: True, asked)[-1])
        for part in asked.heads:
            if "speed" in asked.parts and part not in found["speed"]:
                keep(found["speed"], part, speed(part, ours, ask, asked))
            if "error" in asked.parts and part not in found["error"]:
                keep(found["error"], part, error(part, ours, ask, found["full"]["value"], asked))
    for part in (*asked.memory_of,):
        if "memory" in asked.parts and part not in found["memory"]:
            keep(found["memory"], part, memory(part, asked))
    return found


def main() -> None:
    """Measure, and write the table beside what was found."""
    asked = _arguments()
    section = text(measure(asked), asked)
    (Path(asked.out) / "RESULTS.md").write_text(section, encoding="utf-8")
    if asked.write:
        write_section(TITLE, section)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.refined", description=__doc__)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--heads", nargs="+", choices=HEADS, default=HEADS, metavar="HEAD")
    parser.add_argument("--memory-of", nargs="*", choices=[*HEADS, "full"], default=["L0H0", "L1H0"], metavar="HEAD")
    parser.add_argument("--chains", type=int, default=4)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5, help="rounds of the time of steps")
    parser.add_argument("--steps", type=int, default=4, help="steps of each chain in a round")
    parser.add_argument("--target", type=float, default=0.02, help="the error wanted, as a share")
    parser.add_argument("--warmup", type=int, default=40, help="our steps before the first draw; the clock runs")
    parser.add_argument("--fewest", type=int, default=40, help="our draws at the first reading")
    parser.add_argument("--every", type=int, default=20, help="our draws from one reading to the next")
    parser.add_argument("--most", type=int, default=1280, help="our draws at most")
    parser.add_argument("--peer-draws", type=int, default=50, help="their draws")
    parser.add_argument("--matched", action="store_true", help="their default: all chains share their minibatches")
    parser.add_argument("--train-steps", type=int, default=400)
    parser.add_argument("--sequences", type=int, default=16384)
    parser.add_argument("--out", default="runs/refined", help="where results go")
    parser.add_argument("--write", action="store_true", help="write the section of RESULTS.md, too")
    return parser.parse_args()


if __name__ == "__main__":
    main()
