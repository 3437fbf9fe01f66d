"""The `ontogeny` command. Heavy libraries are imported inside the commands, so that `--help` answers at once."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from ontogeny.cli import coefficients, options
from ontogeny.core.errors import OntogenyError

app = typer.Typer(
    help="Developmental interpretability: how data shapes the structure inside a network while it trains.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,
)

for command in (coefficients.llc, coefficients.measure, coefficients.components):
    app.command()(command)


def main() -> None:
    """Run the command line; errors of use, and those of a user's own file, are one readable line and exit code 2."""
    try:
        app()
    except OntogenyError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(2)
    except Exception as error:
        from ontogeny.cli.given import mistake

        if not (place := mistake(error)):
            raise
        typer.echo(f"error: {place}", err=True)
        sys.exit(2)


@app.command()
def study(
    name: Annotated[str, typer.Argument(help="Which study; `ontogeny studies` lists them.")],
    preset: Annotated[str, typer.Option(help="quick, standard or paper.")] = "standard",
    out: Annotated[Path | None, typer.Option(help="Folder of the run; one that was interrupted goes on.")] = None,
    settings: options.Settings = None,
    seeds: Annotated[int, typer.Option(help="How many seeds; claims are pooled over them.")] = 1,
    jobs: options.Jobs = None,
) -> None:
    """Train, measure, find stages, test claims, and write a report."""
    from ontogeny.studies import study as run_study

    finished = run_study(
        name, preset, out, settings=options.pairs(settings), seeds=seeds, executor=options.executor(jobs), progress=True
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
