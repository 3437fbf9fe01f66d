"""The default call against stored references: `python -m benchmarks.known_truths`, and `--table` for what it found.

Every run is a line of JSON in `runs/known_truths`, so an interrupted run goes on where it was.
"""

import json
import math
import time
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer

import ontogeny as og
from benchmarks.__main__ import write_section
from ontogeny.testing.cases import CASES, Case, stored_references

FOLDER = Path("runs/known_truths")
FIRST_SEED = 7000  # settings were chosen on other seeds
TITLES = {True: "The default call on known truths", False: "By minibatches alone on known truths"}
SAID = {
    True: f"Default calls at fresh seeds from {FIRST_SEED} on, against references by long HMC at the same data, w*, nβ "
    "and γ.",
    False: "Every gradient on a minibatch of this size but for one pass over the data at w*; the same references.",
}


def score(case: Case, seed: int, batch_size: int | None) -> dict[str, Any]:
    """One estimate; with a batch size, by minibatches of that size alone and one pass over the data at w*."""
    begun = time.perf_counter()
    model, data, loss = case.build()
    if batch_size is None:
        estimate = og.estimate_llc(model, data, loss, seed=seed)
    else:
        posterior = og.LocalPosterior(model, data, loss, batch_size=batch_size)
        calibration = og.calibrate(posterior, seed, fixed_batch=True)
        estimate = og.llc(og.sampling.sample_until(posterior, calibration, seed=seed))
    assert estimate.settings is not None
    assert estimate.diagnostics is not None
    return {
        "case": case.name,
        "seed": seed,
        "value": estimate.value,
        "mcse": estimate.mcse,
        "outcome": estimate.outcome.value,
        "gradients": estimate.settings.gradient_evaluations,
        "batch_size": estimate.settings.batch_size,
        "num_draws": estimate.settings.num_draws,
        "seconds": time.perf_counter() - begun,
        **{f"d_{name}": value for name, value in estimate.diagnostics.to_dict().items()},
    }


def table(runs: list[dict[str, Any]]) -> str:
    """Each case with its mean error, coverage of 95 % intervals, their width, refusals, and what it cost; then all."""
    lines = [
        "| case | seeds | reference | mean error % | mean abs error % | worst % | covered | width % | not converged |"
        " true error % | gradients, M | seconds |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    every: list[dict[str, float]] = []
    for name, reference in stored_references().items():
        mine = [run for run in runs if run["case"] == name]
        if not mine:
            continue
        error = np.array([run["value"] / reference.value - 1 for run in mine])
        deviation = np.array([math.hypot(run["mcse"], reference.standard_error) for run in mine]) / reference.value
        found = {
            "seeds": len(mine),
            "reference": reference.value,
            "signed": 100 * error.mean(),
            "abs": 100 * np.abs(error).mean(),
            "worst": 100 * np.abs(error).max(),
            "covered": float((np.abs(error) < 1.96 * deviation).mean()),
            "width": 100 * float(np.median([3.92 * run["mcse"] / run["value"] for run in mine])),
            "flagged": float(np.mean([run["outcome"] != "converged" for run in mine])),
            "spread": 100 * float(error.std(ddof=1)) if len(error) > 1 else math.nan,
            "gradients": float(np.median([run["gradients"] for run in mine])) / 1e6,
            "seconds": float(np.median([run["seconds"] for run in mine])),
        }
        every.append(found)
        lines.append(
            "| {name} | {seeds} | {reference:.2f} | {signed:+.1f} | {abs:.1f} | {worst:.1f} | {covered:.2f}"
            " | {width:.1f} | {flagged:.2f} | {spread:.1f} | {gradients:.1f} | {seconds:.0f} |".format(
                name=name, **found
            )
        )
    return "\n".join([*lines, "", _all_cases(every), "", _against_lambda(runs)])


def _against_lambda(runs: list[dict[str, Any]]) -> str:
    """Mean error against λ itself where the loss is the population's and n = 10⁶, averaged over cases."""
    found: dict[str, float] = {}
    for case in CASES:
        mine = [run["value"] for run in runs if run["case"] == case.name]
        if mine and case.name.endswith("-n1e6-population"):
            found[case.name] = 100 * float(np.abs(np.array(mine) / case.target.learning_coefficient - 1).mean())
    if not found:
        return ""
    each = ", ".join(f"{name} {error:.1f} %" for name, error in found.items())
    return f"Population loss against λ at n = 10⁶: mean absolute error {np.mean([*found.values()]):.1f} % ({each})."


def _all_cases(every: list[dict[str, float]]) -> str:
    def column(name: str) -> np.ndarray:
        return np.array([found[name] for found in every])

    flagged = column("flagged")[column("spread") < 2]
    return (
        f"{len(every)} cases, {column('seeds').sum():.0f} runs: mean absolute error {column('abs').mean():.2f} %,"
        f" worst run {column('worst').max():.1f} %; 95 % intervals cover {100 * column('covered').mean():.1f} %, the"
        f" least of a case {100 * column('covered').min():.0f} %, at a median width of"
        f" {np.median(column('width')):.1f} %; not converged {100 * column('flagged').mean():.1f} %."
        f" Of the {flagged.size} cases whose error varies by less than 2 % over seeds, {100 * flagged.mean():.1f} % of"
        " runs are flagged."
    )


def main(
    part: str = "0/1",
    seeds: int = 20,
    only: str = "",
    batch_size: Annotated[int | None, typer.Option(help="by minibatches of this size alone")] = None,
    show: Annotated[bool, typer.Option("--table", help="print what the runs so far say")] = False,
    write: Annotated[bool, typer.Option(help="write that as the section of RESULTS.md")] = False,
) -> None:
    """Run what is not yet done; `--part i/n` takes every n-th run."""
    torch.set_num_threads(1)
    folder = FOLDER if batch_size is None else FOLDER.with_name(f"known_truths_batch{batch_size}")
    folder.mkdir(parents=True, exist_ok=True)
    runs = [json.loads(line) for path in sorted(folder.glob("*.jsonl")) for line in path.read_text().splitlines()]
    runs = [run for run in runs if run["seed"] >= FIRST_SEED]
    if write:
        by = "" if batch_size is None else f" --batch-size {batch_size}"
        said = f"Command: `python -m benchmarks.known_truths{by}`, then `--write`. {SAID[batch_size is None]}\n\n"
        write_section(TITLES[batch_size is None], said + table(runs))
    if show or write:
        typer.echo(table(runs))
        return
    done = {(run["case"], run["seed"]) for run in runs}
    stored = stored_references()
    cases = sorted(
        (case for case in CASES if case.name in stored and only in case.name), key=lambda c: c.num_parameters
    )
    todo = [(seed, case) for case in cases for seed in range(FIRST_SEED, FIRST_SEED + seeds)]
    todo.sort(key=lambda each: (each[1].num_parameters > 50_000, each[0]))  # slow ones last, else seed by seed
    index, parts = map(int, part.split("/"))
    with (folder / f"{index}of{parts}.jsonl").open("a") as sink:
        for seed, case in todo[index::parts]:
            if (case.name, seed) not in done:
                sink.write(json.dumps(score(case, seed, batch_size)) + "\n")
                sink.flush()


if __name__ == "__main__":
    typer.run(main)
