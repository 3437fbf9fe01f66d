"""`ontogeny gather` and `ontogeny jobs`: measurements that several programs make side by side."""

import contextlib
import json
import shutil
import sys
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ontogeny.cli import options
from ontogeny.cli.told import Told
from ontogeny.core.errors import InvalidArgument

if TYPE_CHECKING:
    from ontogeny.execution import Gather

_COMMAND = "command.json"
_DROPPED = ("--shard", "--jobs", "--ray", "--out")  # options, each with a value, that a gathering has of its own
_FLAGS = ("--json",)  # likewise, without a value


def gather(
    out: Annotated[Path, typer.Argument(help="Folder of `ontogeny measure --out`.")],
    others: Annotated[
        list[Path] | None, typer.Argument(help="Folders of shards that had no common one; they are copied into OUT.")
    ] = None,
    rerun: Annotated[
        bool, typer.Option("--rerun", help="Run what failed or is missing here, and nothing else.")
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Put the results of all shards together: trajectory and report, as one process would have made them."""
    from ontogeny.cli.app import app

    for other in others or []:
        _merge(other, out)
    command = _command(out)
    flags = [*([] if rerun else ["--gathering"]), *(["--json"] if as_json else [])]
    app([*command, "--out", str(out), *flags], standalone_mode=False)


def jobs(
    out: Annotated[Path, typer.Argument(help="Folder of `ontogeny measure --out`.")],
    traceback: Annotated[
        bool, typer.Option("--traceback", help="Show the whole traceback of each failed job.")
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Show all jobs of a measurement: done, failed with their errors, waiting; and which processes are at work."""
    from ontogeny.measurement import jobs_in, working_in

    told = Told(as_json)
    store = out / "measurements"
    found = jobs_in(store)
    counts = {state: sum(job.state == state for job in found) for state in ("done", "failed", "waiting")}
    told.line(f"{len(found)} jobs: " + ", ".join(f"{count} {state}" for state, count in counts.items()))
    working = working_in(store)
    for each in working:
        name = each.name or "a process"
        share = f"{each.task}, {each.done} of {each.total}"
        told.line(f"  {name}: {share}{': ' + each.note if each.note else ''} ({each.seconds:.0f} s ago)")
    for job in found:
        if job.state == "failed":
            told.line(f"  failed: {job.name}: {job.error}")
            if traceback:
                told.line(job.traceback)
    if counts["failed"]:
        told.line(f"`ontogeny gather {out} --rerun` runs what failed or is missing")
    told.result(jobs=[vars(job) for job in found], working=[vars(each) for each in working])


def gatherer() -> "Gather":
    """The executor that runs nothing."""
    from ontogeny.execution import Gather

    return Gather()


def record(out: Path) -> None:
    """Keep the command, so that it can be gathered."""
    from ontogeny.stores import write_json

    if sys.argv[1:2] == ["measure"]:
        write_json(out / _COMMAND, _without_dropped(sys.argv[1:]))


@contextlib.contextmanager
def ended(out: Path, gathering: bool, told: Told) -> Generator[None]:
    """End well where a shard has done its part, and say what comes next."""
    from ontogeny.execution import OtherShards, failed_jobs

    try:
        yield
    except OtherShards as rest:
        if gathering:
            message = f"{rest}; `ontogeny jobs {out}` says why, `ontogeny gather {out} --rerun` runs them"
            raise OtherShards(message, rest.done, rest.left) from rest
        told.line(f"{rest}; `ontogeny jobs {out}` shows how far they are, `ontogeny gather {out}` ends them")
        told.result(done=rest.done, left=rest.left)
        raise typer.Exit(0) from rest
    except Exception as error:
        if failed := failed_jobs(error):
            typer.echo(f"{len(failed)} jobs failed; `ontogeny jobs {out}` lists them", err=True)
        raise


def _command(out: Path) -> list[str]:
    try:
        return list(json.loads((out / _COMMAND).read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise InvalidArgument(
            "OUT",
            expected="the folder of a measurement",
            found=f"{out} without {_COMMAND}",
            instead="ontogeny measure CHECKPOINTS SETUP --shard 1/4 --out OUT, before ontogeny gather OUT",
        ) from error


def _without_dropped(command: list[str]) -> list[str]:
    kept: list[str] = []
    skip = False
    for word in command:
        if skip or word.startswith(tuple(f"{name}=" for name in _DROPPED)):
            skip = False
            continue
        if word in _FLAGS:
            continue
        if word in _DROPPED:
            skip = True
            continue
        kept.append(word)
    return kept


def _merge(other: Path, out: Path) -> None:
    """Copy what is in one shard's folder and not in the common one."""
    from ontogeny.stores import write_atomically

    if not (other / "measurements").is_dir():
        raise InvalidArgument(
            "OTHERS",
            expected="folders of shards",
            found=f"{other} without measurements",
            instead="the folder that --out named for the shard",
        )
    places = sorted((other / "measurements").glob("*/*"))
    for path in [*places, other / _COMMAND]:
        place = out / path.relative_to(other)
        if path.exists() and not place.exists() and path.parent.name != "working":
            _copy(path, place, write_atomically)


def _copy(path: Path, place: Path, write_atomically: Any) -> None:
    def write(temporary: Path) -> None:
        if path.is_dir():
            shutil.copytree(path, temporary)
        else:
            shutil.copyfile(path, temporary)

    write_atomically(place, write)
