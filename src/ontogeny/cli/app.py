"""The `ontogeny` command. Heavy libraries are imported inside the commands, so that `--help` answers at once."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ontogeny.core.errors import InvalidArgument, OntogenyError

if TYPE_CHECKING:
    from ontogeny.execution import Executor

app = typer.Typer(
    help="Developmental interpretability: how data shapes the structure inside a network while it trains.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,
)

Setup = Annotated[
    Path, typer.Argument(help="Python file that defines model_fn(), data and loss_fn (and, if wanted, behaviour).")
]
Settings = Annotated[
    list[str] | None, typer.Option("--set", help="Override a setting: key=value, dotted names allowed. Repeatable.")
]
SamplingOptions = Annotated[
    list[str] | None,
    typer.Option("--set", help="nbeta=…, localization=…, sampler.error=…, sampler.budget=… and the like. Repeatable."),
]
Key = Annotated[str | None, typer.Option(help="Entry of each file that holds the weights; default found by itself.")]
Jobs = Annotated[int | None, typer.Option(min=1, help="Worker processes; default one a core.")]


def main() -> None:
    """Run the command line; errors of use are one readable line and exit code 2."""
    try:
        app()
    except OntogenyError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(2)


@app.command()
def study(
    name: Annotated[str, typer.Argument(help="Which study; `ontogeny studies` lists them.")],
    preset: Annotated[str, typer.Option(help="quick, standard or paper.")] = "standard",
    out: Annotated[Path | None, typer.Option(help="Folder of the run; one that was interrupted goes on.")] = None,
    settings: Settings = None,
    seeds: Annotated[int, typer.Option(help="How many seeds; claims are pooled over them.")] = 1,
    jobs: Jobs = None,
) -> None:
    """Train, measure, find stages, test claims, and write a report."""
    from ontogeny.studies import study as run_study

    finished = run_study(
        name, preset, out, settings=_pairs(settings), seeds=seeds, executor=_executor(jobs), progress=True
    )
    _print_claims(finished.claims)
    typer.echo(f"report: {finished.report}")


@app.command()
def studies() -> None:
    """What studies there are, what each shows, and how long it takes."""
    from rich.console import Console
    from rich.table import Table

    from ontogeny.studies import STUDIES

    table = Table("study", "shows", "presets and time on two cores")
    for name, about in STUDIES.items():
        table.add_row(name, about.shows, "\n".join(f"{preset}: {time}" for preset, time in about.presets.items()))
    Console().print(table)


@app.command()
def measure(
    checkpoints: Annotated[
        str, typer.Argument(help="A run's folder, or a pattern with {N} where the step stands: 'ckpt/model_{N}.pt'.")
    ],
    setup: Setup,
    out: Annotated[Path, typer.Option(help="Folder for measurements, trajectory and report.")] = Path("runs/measured"),
    settings: SamplingOptions = None,
    jobs: Jobs = None,
    key: Key = None,
    dry_run: Annotated[bool, typer.Option(help="Only list the jobs and what they may take.")] = False,
) -> None:
    """LLC curve and stages of your own training run. Says first what it will do; resumable."""
    from ontogeny.cli import plan
    from ontogeny.cli.setup_file import read_setup
    from ontogeny.measurement import measure as measure_run
    from ontogeny.measurement import write_report
    from ontogeny.stores import open_checkpoints, write_tree

    given, run = read_setup(setup), open_checkpoints(checkpoints, key=key)
    chosen = plan.settings_for_curve(given, _pairs(settings))
    for line in plan.summary(run, given, chosen):
        typer.echo(line)
    if dry_run:
        for line in plan.jobs(run, given, chosen):
            typer.echo(f"  {line}")
        return
    trajectory = measure_run(
        run,
        given.model_fn,
        given.data,
        given.loss_fn,
        behaviour=given.behaviour,
        posterior=chosen.posterior,
        sampler=chosen.sampler,
        store=out / "measurements",
        executor=_executor(jobs),
        progress=True,
    )
    write_tree(out / "trajectory.zarr", trajectory)
    page = write_report(
        trajectory, out / "report.html", title=f"Training run {checkpoints}", command=" ".join(sys.argv)
    )
    typer.echo(f"report: {page}")


@app.command()
def llc(
    weights: Annotated[Path, typer.Argument(help="Weights: a file of torch or safetensors, or a checkpoint's folder.")],
    setup: Setup,
    key: Key = None,
    seed: Annotated[int, typer.Option(help="Seed of the chains.")] = 0,
    settings: SamplingOptions = None,
) -> None:
    """One learning coefficient, with its verdict."""
    from ontogeny.cli.plan import settings_for_one
    from ontogeny.cli.setup_file import read_setup
    from ontogeny.estimators import llc as estimate_of
    from ontogeny.sampling import LocalPosterior
    from ontogeny.stores import load_into, read_weights

    given, chosen = read_setup(setup), settings_for_one(_pairs(settings))
    model = given.model_fn()
    load_into(model, read_weights(weights, key), argument="model_fn", of=str(weights))
    posterior = LocalPosterior(model, given.data, given.loss_fn, **chosen.posterior.options())
    estimate = estimate_of(chosen.sampler.draw(posterior, seed=seed, progress=True))
    typer.echo(str(estimate))
    if estimate.advice:
        typer.echo(estimate.advice)


@app.command()
def report(directory: Annotated[Path, typer.Argument(help="Folder of a study's run.")]) -> None:
    """Write the report of a study again, from what the run left."""
    from ontogeny.studies import rewrite_report

    typer.echo(f"report: {rewrite_report(directory)}")


@app.command()
def claims(directories: Annotated[list[Path], typer.Argument(help="Folders of studies.")]) -> None:
    """The claims of finished studies, with what was measured."""
    from ontogeny.studies import read_claims

    for directory in directories:
        typer.echo(str(directory))
        _print_claims(read_claims(directory))


@app.command()
def doctor() -> None:
    """Versions, cores, GPU, and what is optional and missing."""
    from ontogeny.cli.doctor import diagnose

    for line in diagnose():
        typer.echo(line)


def _pairs(settings: list[str] | None) -> dict[str, str]:
    pairs = [pair.partition("=") for pair in settings or []]
    for name, equals, _ in pairs:
        if not equals:
            raise InvalidArgument("--set", expected="key=value", found=repr(name))
    return {name: value for name, _, value in pairs}


def _executor(jobs: int | None) -> "Executor | None":
    from ontogeny.execution import Processes, Serial

    if jobs is None:
        return None
    return Processes(jobs) if jobs > 1 else Serial()


def _print_claims(records: list[dict]) -> None:
    from rich.console import Console
    from rich.table import Table

    from ontogeny.reports.tables import untested_sentences

    table = Table("claim", "status", "measured", "p (Holm)", "control")
    colours = {"held": "green", "not held": "red"}
    for record in [each for each in records if each["status"] in colours]:
        measured = "" if record["measured"] is None else f"{record['measured']:.3g} {record['unit']}"
        p_value = "" if record["p_adjusted"] is None else f"{record['p_adjusted']:.2g}"
        status = f"[{colours[record['status']]}]{record['status']}[/]"
        table.add_row(record["title"], status, measured, p_value, record["control"] or record["note"])
    console = Console()
    if table.row_count:
        console.print(table)
    for sentence in untested_sentences(records):
        console.print(sentence, markup=False, highlight=False)
