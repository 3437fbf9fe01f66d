"""`ontogeny llc`, `ontogeny measure` and `ontogeny components`: measurements on a user's own network."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from ontogeny.cli import options
from ontogeny.cli.told import Told


def measure(
    checkpoints: Annotated[
        str,
        typer.Argument(
            help="Folder of a training run, such as Trainer's output; a pattern with {N} for the step: "
            "'ckpt/model_{N}.pt'; or a series on a hub: hf://EleutherAI/pythia-70m."
        ),
    ],
    setup: options.Setup,
    out: Annotated[Path, typer.Option(help="Folder for measurements, trajectory and report.")] = Path("runs/measured"),
    component: options.Components = None,
    dataset: Annotated[
        list[str] | None, typer.Option("--dataset", help="NAME=FILE, a further text to measure on. Repeatable.")
    ] = None,
    step: Annotated[list[int] | None, typer.Option("--step", help="Checkpoint to measure; default all.")] = None,
    nbeta: options.Nbeta = None,
    localization: options.Localization = None,
    budget: options.Budget = None,
    error: options.Error = None,
    device: options.Device = None,
    seed: options.Seed = 0,
    key: options.Key = None,
    context: options.Context = None,
    every: options.Every = None,
    keep: options.Keep = "last",
    settings: options.SamplingOptions = None,
    jobs: options.Jobs = None,
    shard: options.Shard = None,
    ray: options.RayAddress = None,
    gathering: Annotated[bool, typer.Option("--gathering", hidden=True)] = False,
    dry_run: Annotated[bool, typer.Option(help="Only list the jobs and forecast what they cost.")] = False,
    as_json: options.Json = False,
) -> None:
    """LLC curve and stages of your own training run. Prints its plan first; resumable."""
    from ontogeny.cli import plan, shards
    from ontogeny.cli.given import read_given
    from ontogeny.measurement import measure as measure_run
    from ontogeny.measurement import write_report
    from ontogeny.stores import HubCheckpoints, open_checkpoints, write_tree

    told = Told(as_json)
    run = open_checkpoints(checkpoints, key=key, every=options.grid(every), keep=keep)
    folder = run.described() if isinstance(run, HubCheckpoints) and setup.suffix != ".py" else Path(checkpoints)
    given = read_given(setup, folder, context).including(dataset, component, folder, context)
    named = {"nbeta": nbeta, "localization": localization, "device": device}
    pairs = options.pairs(settings, **named, sampler_budget=budget, sampler_error=error)
    chosen = plan.settings_for_curve(given, pairs)
    steps = step or run.steps
    for line in (summary := [*plan.of_the_hub(run), *plan.summary(steps, given, chosen)]):
        told.line(line)
    if dry_run:
        listed, forecasts = plan.jobs(steps, given, chosen), list(plan.forecasts(steps, given, chosen))
        for line in [*listed, *forecasts]:
            told.line(f"  {line}")
        told.result(plan=summary, jobs=listed, forecast=forecasts)
        return
    shards.record(out)
    with shards.ended(out, gathering, told):
        trajectory = measure_run(
            run,
            given.model_fn,
            given.samples,
            given.loss_fn,
            components=given.components,
            datasets=given.datasets,
            behaviour=given.behaviour,
            posterior=chosen.posterior,
            sampler=chosen.sampler,
            steps=step,
            seed=seed,
            store=out / "measurements",
            executor=shards.gatherer() if gathering else options.executor(jobs, shard, ray),
            progress=told.progress(),
        )
    write_tree(out / "trajectory.zarr", trajectory)
    page = write_report(
        trajectory, out / "report.html", title=f"Training run {checkpoints}", command=" ".join(sys.argv)
    )
    told.line(f"report: {page}")
    told.result(report=page, trajectory=out / "trajectory.zarr", steps=trajectory["step"].values.tolist())


def llc(
    weights: Annotated[Path, typer.Argument(help="Weights: a torch or safetensors file, or a model's folder.")],
    setup: options.Setup,
    component: options.Components = None,
    nbeta: options.Nbeta = None,
    localization: options.Localization = None,
    budget: options.Budget = None,
    error: options.Error = None,
    device: options.Device = None,
    seed: options.Seed = 0,
    key: options.Key = None,
    context: options.Context = None,
    settings: options.SamplingOptions = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with code 3 unless every estimate converged.")] = False,
    as_json: options.Json = False,
) -> None:
    """One learning coefficient with its verdict, or one per component."""
    from ontogeny.cli.given import read_given
    from ontogeny.cli.plan import settings_for_one
    from ontogeny.core.outcome import Outcome
    from ontogeny.estimators import llc as estimate_of
    from ontogeny.sampling import LocalPosterior
    from ontogeny.stores import load_into, read_weights

    given = read_given(setup, weights, context)
    named = {"nbeta": nbeta, "localization": localization, "device": device}
    pairs = options.pairs(settings, **named, sampler_budget=budget, sampler_error=error)
    chosen = settings_for_one(given, pairs)
    model = given.model_fn()
    load_into(model, read_weights(weights, key), argument="model_fn", of=str(weights))
    told, found = Told(as_json), []
    for part in component or [None]:
        posterior = LocalPosterior(model, given.samples, given.loss_fn, restriction=part, **chosen.posterior.options())
        estimate = estimate_of(chosen.sampler.draw(posterior, seed=seed, progress=told.progress()))
        told.line(f"{part}: {estimate}" if part else estimate)
        if estimate.advice:
            told.line(estimate.advice)
        found.append({"component": part or "all", **estimate.to_frame().iloc[0].to_dict()})
    told.result(estimates=found)
    if strict and any(each["outcome"] != Outcome.CONVERGED for each in found):
        raise typer.Exit(3)


def components(
    setup: Annotated[
        Path, typer.Argument(help="Python file that defines model_fn(), or a Hugging Face model's folder.")
    ],
    as_json: options.Json = False,
) -> None:
    """List the named components of a network, with their numbers of weights."""
    from ontogeny.cli.given import read_model
    from ontogeny.models import components as components_of

    told, sizes = Told(as_json), {name: part.num_parameters for name, part in components_of(read_model(setup)).items()}
    for name, size in sizes.items():
        told.line(f"{size:>12,}  {name}")
    told.result(components=sizes)
