"""The `ontogeny` command. Heavy libraries are imported inside the commands, so that `--help` answers at once."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from ontogeny.cli import coefficients, comparing, options, shards
from ontogeny.cli.examples import epilog, exit_codes
from ontogeny.cli.told import Told
from ontogeny.core.errors import OntogenyError
from ontogeny.core.user_files import mistake

app = typer.Typer(
    help="Developmental interpretability: how data shapes the structure inside a network while it trains.",
    epilog=exit_codes(),
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
)

for command in (
    *(coefficients.llc, coefficients.measure, coefficients.components),
    *(comparing.compare, shards.gather, shards.jobs),
):
    app.command(epilog=epilog(command.__name__))(command)


def main() -> None:
    """Run the command line. Errors of use, and in a user's own file, print one readable line and exit with code 2."""
    # Threads that wait actively slow small networks down by a factor of eight where another process computes.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        app()
    except Exception as error:
        told = mistake(error) or (str(error) if isinstance(error, OntogenyError) else "")
        if not told:
            raise
        typer.echo(f"error: {told}", err=True)
        sys.exit(2)


@app.command(epilog=epilog("study"))
def study(
    name: Annotated[str, typer.Argument(help="A study (`ontogeny studies` lists them), or a Python file with one.")],
    preset: Annotated[str | None, typer.Option(help="quick, standard or another preset; default standard.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the run; an interrupted run resumes.")] = None,
    config: Annotated[Path | None, typer.Option(help="TOML file with settings of the study.")] = None,
    settings: options.Settings = None,
    seeds: Annotated[int, typer.Option(min=1, help="Number of seeds; claims are pooled over all that exist.")] = 1,
    jobs: options.Jobs = None,
    shard: options.SeedShard = None,
    ray: options.RayAddress = None,
    remake: Annotated[
        bool, typer.Option("--remake", help="Overwrite a folder that was made with another config.")
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Train, measure, find stages, test claims, and write a report."""
    from ontogeny.studies.runner import study as run_study

    told = Told(as_json)
    finished = run_study(
        name,
        preset,
        out,
        settings=options.pairs(settings),
        seeds=seeds,
        executor=options.executor(jobs, shard, ray),
        progress=told.progress(),
        config=config,
        remake=remake,
    )
    _tell_claims(told, finished.claims)
    told.line(f"report: {finished.report}")
    for divergence in finished.divergences:
        typer.echo(f"diverged: {divergence}", err=True)
    for failure in finished.failures:
        typer.echo(f"failed: {failure}", err=True)
    told.result(
        claims=finished.claims,
        report=finished.report,
        divergences=finished.divergences,
        failures=finished.failures,
    )
    if finished.failures:
        raise typer.Exit(1)


@app.command(epilog=epilog("studies"))
def studies(as_json: options.Json = False) -> None:
    """List the studies, what each shows, and how long it takes."""
    from rich.table import Table

    from ontogeny.studies import all_studies

    told, table = Told(as_json), Table("study", "shows", "presets and time on two cores")
    found = [
        {"name": each.name, "shows": each.shows, "presets": {name: about.cost for name, about in each.presets.items()}}
        for each in all_studies()
    ]
    for each in found:
        costs = "\n".join(f"{preset}: {cost}" for preset, cost in each["presets"].items())
        table.add_row(each["name"], each["shows"], costs)
    told.table(table)
    told.result(studies=found)


@app.command(epilog=epilog("report"))
def report(
    directory: Annotated[Path, typer.Argument(help="Folder of a study.")], as_json: options.Json = False
) -> None:
    """Test the claims and write the reports of a study again, from its stored results."""
    from ontogeny.studies import rewrite_report

    told, page = Told(as_json), rewrite_report(directory)
    told.line(f"report: {page}")
    told.result(report=page)


@app.command(epilog=epilog("claims"))
def claims(
    directories: Annotated[list[Path], typer.Argument(help="Folders of studies or single seeds, from any machines.")],
    as_json: options.Json = False,
) -> None:
    """Show the claims of studies over all seeds in these folders."""
    from ontogeny.studies import pool

    told, found = Told(as_json), []
    for pooled in pool(directories):
        told.line(pooled.title)
        found.append({"title": pooled.title, "claims": [claim.record() for claim in pooled.claims]})
        _tell_claims(told, found[-1]["claims"])
    told.result(pooled=found)


@app.command(epilog=epilog("doctor"))
def doctor(as_json: options.Json = False) -> None:
    """Show versions, cores, GPU, and what is optional, missing, and how to get it."""
    from ontogeny.cli.doctor import diagnose, lines

    told, facts = Told(as_json), diagnose()
    for line in lines(facts):
        told.line(line)
    told.result(**facts)


def _tell_claims(told: Told, records: list[dict]) -> None:
    from rich.markup import escape
    from rich.table import Table

    from ontogeny.reports.tables import untested_sentences

    table = Table("status", "claim, what was measured, and its control", "p (Holm)", show_lines=True)
    colours = {"held": "green", "not held": "red", "failed": "red"}
    for record in [each for each in records if each["status"] in colours]:
        measured = "" if record["measured"] is None else f"{record['measured']:.3g} {record['unit']}"
        p_value = "" if record["p_adjusted"] is None else f"{record['p_adjusted']:.2g}"
        status = f"[{colours[record['status']]}]{record['status']}[/]"
        said = [record["note"]] if len(record["seeds"]) > 1 or not record["control"] else []
        details = [measured, *said, record["control"]]
        about = "\n".join(escape(each) for each in details if each)
        table.add_row(status, f"[bold]{escape(record['title'])}[/]\n{about}".strip(), p_value)
    if table.row_count:
        told.table(table)
    for caution in dict.fromkeys(record["caution"] for record in records if record.get("caution")):
        told.line(caution)
    for sentence in untested_sentences(records):
        told.line(sentence)
