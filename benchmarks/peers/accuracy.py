"""Per-sample gradients until the mean error over five seeds is at most 5 % of the reference, peers at their best step.

A peer is given n β, γ, the loss at w* on all samples and its best step size of a grid, chosen with the truth in hand;
what it is charged is chains × steps × batch, half of the steps being burn-in. We choose everything ourselves, within
the charge.
"""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from benchmarks.peers.cases import LOCALIZATION, Case, build

DRAWS = tuple(round(125 * 2 ** (k / 2)) for k in range(-4, 11))  # 31 … 4000 a chain, after as many steps of burn-in
SEEDS, CHAINS, BATCH = range(5), 4, 256
TOLERANCE = 0.05
HORIZONS = (500, 1414, 4000)  # draws of a run; longer ones are made only where no step size has reached 5 % yet
WINDOWS = {"touched": 1, "held": 4}

Run = dict[str, Any]


def step_sizes(case: Case) -> tuple[float, ...]:
    """Half decades from 1e-6 to 1e-3 at n = 10⁴, and from 1e-8 to 1e-5 at n = 10⁶, whose nβ is 67 times as large."""
    lowest = -12 if case.num_samples <= 10**4 else -16
    return tuple(10 ** (half / 2) for half in range(lowest, lowest + 7))


def _end(draws: int, window: int) -> int:
    """The last rung of the window that begins at these draws; the ladder's end cuts it short."""
    return max(rung for rung in DRAWS if rung <= window * draws * 1.01)


def charge(draws: int) -> int:
    """Per-sample gradients of a peer's run with that many draws a chain."""
    return CHAINS * 2 * draws * BATCH


class Grid:
    """The runs of one peer on one case, kept in a file as they are made, and what they say.

    Two answers are sought: the fewest draws at which the mean error is at most 5 %, `touched`, which may lie on the way
    past the answer; and the fewest from which it stays so up to four times as many, `held`. A step size is given up as
    soon as the seeds done rule both out, whatever the others bring, and is run no longer than the best one so far.
    """

    def __init__(self, case: Case, reference: float, ask: Callable[..., Run], path: Path) -> None:
        self.case, self.reference, self._ask, self._path = case, reference, ask, path
        self.step_sizes, self._finished = step_sizes(case), False
        self.runs: list[Run] = json.loads(path.read_text(encoding="utf-8"))["runs"] if path.exists() else []

    def search(self) -> None:
        """Make the runs that decide which step size needs the fewest gradients, or that none reaches 5 %."""
        for step_size in self.step_sizes:
            self._run(step_size, 0, HORIZONS[0])
        found = [self._decide(window) for window in WINDOWS.values()]
        if not all(map(math.isfinite, found)):  # its best error needs all five seeds
            for seed in SEEDS:
                self._run(min(self.step_sizes, key=self._lowest), seed, DRAWS[-1])
        self._finished = True
        self._write()

    def summary(self) -> Run:
        """The fewest gradients with their step size, None where 5 % is never reached; and the best error of all."""
        complete = [step for step in self.step_sizes if all(self._of(step, seed) for seed in SEEDS)]
        errors = [(self._mean_error(step, draws), draws, step) for step in complete for draws in DRAWS]
        error, draws, step = min((found for found in errors if math.isfinite(found[0])), default=(None, 0, None))
        best = {"error": error, "gradients": charge(draws), "step_size": step}
        answer: Run = {"reference": self.reference, "finished": self._finished, "best": best}
        for name, window in WINDOWS.items():
            first = min(((self._first(step, window), step) for step in complete), default=(math.inf, 0.0))
            found = {"gradients": charge(int(first[0])), "step_size": first[1]} if math.isfinite(first[0]) else None
            answer[name] = found
        return answer

    def _decide(self, window: int) -> float:
        """Make runs until the fewest draws whose window is within 5 % are known; infinite if there are none."""
        fewest = math.inf
        for longest in HORIZONS:
            for step_size in sorted(self.step_sizes, key=self._lowest):
                rungs = [draws for draws in DRAWS if draws < fewest and _end(draws, window) <= longest]
                if rungs and self._complete(step_size, rungs, window):
                    fewest = min(fewest, self._first(step_size, window))
            if math.isfinite(fewest):
                break
        return fewest

    def _complete(self, step_size: float, rungs: list[int], window: int) -> bool:
        """Run the seeds; False as soon as they rule out a mean error of 5 % in the windows of all these rungs."""
        for seed in SEEDS:
            if all(self._worst(step_size, draws, window) > TOLERANCE for draws in rungs):
                return False
            self._run(step_size, seed, _end(rungs[-1], window))
        return any(self._worst(step_size, draws, window) <= TOLERANCE for draws in rungs)

    def _worst(self, step_size: float, draws: int, window: int) -> float:
        """The least that the mean error can be, at its worst within the window, with what is not yet run at 0."""
        rungs = [rung for rung in DRAWS if draws <= rung <= _end(draws, window)]
        return max(sum(self._errors(step_size, rung, 0.0)) / len(SEEDS) for rung in rungs)

    def _first(self, step_size: float, window: int) -> float:
        """The fewest draws in whose window every mean error is known and at most 5 %; infinite if there are none."""
        for draws in DRAWS:
            rungs = [rung for rung in DRAWS if draws <= rung <= _end(draws, window)]
            if all(self._mean_error(step_size, rung) <= TOLERANCE for rung in rungs):
                return draws
        return math.inf

    def _mean_error(self, step_size: float, draws: int) -> float:
        return sum(self._errors(step_size, draws, math.inf)) / len(SEEDS)

    def _errors(self, step_size: float, draws: int, unknown: float) -> list[float]:
        """|estimate / reference - 1| of each seed; infinite where the run died or left the finite numbers."""
        index, errors = DRAWS.index(draws), []
        for seed in SEEDS:
            made = self._made(step_size, seed)
            values = made["estimates"] if made else []
            if index < len(values):
                errors.append(math.inf if values[index] is None else abs(values[index] / self.reference - 1))
            else:
                errors.append(math.inf if 2 * draws >= self._fatal(step_size, seed) else unknown)
        return errors

    def _lowest(self, step_size: float) -> float:
        """The smallest error of seed 0 on the ladder, to try the promising step sizes first."""
        return min(self._errors(step_size, draws, math.inf)[0] for draws in DRAWS)

    def _of(self, step_size: float, seed: int) -> list[Run]:
        return [run for run in self.runs if run["seed"] == seed and math.isclose(run["step_size"], step_size)]

    def _made(self, step_size: float, seed: int) -> Run | None:
        """The longest run of this step size and seed that did not die."""
        alive = [run for run in self._of(step_size, seed) if "failed" not in run]
        return max(alive, key=lambda run: run["steps"], default=None)

    def _fatal(self, step_size: float, seed: int) -> float:
        """The fewest steps that a run of this step size and seed is known to have died in."""
        return min((run["steps"] for run in self._of(step_size, seed) if "failed" in run), default=math.inf)

    def _run(self, step_size: float, seed: int, draws: int) -> None:
        """Make a run that long, or the longest rung below it that does not die."""
        for rung in reversed([rung for rung in DRAWS if rung <= draws]):
            made = self._made(step_size, seed)
            if made and made["steps"] >= 2 * rung:
                return
            if 2 * rung < self._fatal(step_size, seed):
                settings = {"step_size": step_size, "seed": seed, "steps": 2 * rung}
                self.runs.append(settings | self._ask(**settings))
                self._write()

    def _write(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        found = {"case": self.case.name, "draws": DRAWS, "summary": self.summary(), "runs": self.runs}
        self._path.write_text(json.dumps(found, indent=1), encoding="utf-8")


def peer_task(case: Case, folder: Path) -> dict[str, Any]:
    """What every run of a peer on this case has in common; the case is written to `folder` for the worker to read."""
    path = folder / f"{case.slug}.pt"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        weights, x, y = build(case)
        torch.save({"weights": weights, "x": x, "y": y}, path)
    shared = {"case": str(path), "batch": BATCH, "chains": CHAINS, "draws": DRAWS}
    return shared | {"nbeta": case.nbeta, "localization": LOCALIZATION}
