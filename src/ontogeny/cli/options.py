"""Arguments and options that several commands share."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ontogeny.core.errors import InvalidArgument

if TYPE_CHECKING:
    from ontogeny.execution import Executor

Setup = Annotated[
    Path,
    typer.Argument(
        help="Python file that defines model_fn(), data and loss_fn; or, with a Hugging Face model's folder, a text."
    ),
]
Settings = Annotated[
    list[str] | None, typer.Option("--set", help="Override a setting: key=value, dotted names allowed. Repeatable.")
]
SamplingOptions = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        help="Any setting of the posterior or the sampler: batch_size=…, sampler.num_chains=…; sampler=fixed for a "
        "sampler with fixed settings. Repeatable.",
    ),
]
Nbeta = Annotated[float | None, typer.Option(help="nβ; default n / log n, or for a training run chosen automatically.")]
Localization = Annotated[float | None, typer.Option(help="γ; default 1, or for a training run chosen automatically.")]
Budget = Annotated[int | None, typer.Option(help="Most per-sample gradients per coefficient.")]
Error = Annotated[float | None, typer.Option(help="Relative Monte Carlo error at which sampling stops.")]
Device = Annotated[str | None, typer.Option(help="Device of the chains: cpu, cuda, mps.")]
Seed = Annotated[int, typer.Option(help="Root of the seed tree.")]
Jobs = Annotated[int | None, typer.Option(min=1, help="Worker processes; default one per core.")]
Shard = Annotated[
    str | None,
    typer.Option(help="i/n: run only shard i of n; `ontogeny gather` puts the results together. For SLURM arrays."),
]
SeedShard = Annotated[
    str | None, typer.Option("--shard", help="i/n: make only every n-th seed, from the i-th on. For SLURM arrays.")
]
RayAddress = Annotated[
    str | None, typer.Option("--ray", help="Run the jobs on a Ray cluster: its address, or auto, or local.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object; all else goes to standard error.")]
Key = Annotated[str | None, typer.Option(help="Entry of each file with the weights; default: found automatically.")]
Every = Annotated[
    str | None,
    typer.Option(help="Checkpoints to take: log:24, linear:24, or a number of which steps are multiples; default all."),
]
Keep = Annotated[str, typer.Option(help="Checkpoints of a hub that stay on disk: none, last or all.")]
Context = Annotated[int | None, typer.Option(help="Tokens per sample of a text; default 128, or the model's maximum.")]
Components = Annotated[
    list[str] | None,
    typer.Option("--component", help="A component, as listed by `ontogeny components`, or a glob. Repeatable."),
]


def pairs(settings: Sequence[str] | None, **named: object) -> dict[str, str]:
    """`key=value` texts as a dict, overridden by options given by name."""
    split = [pair.partition("=") for pair in settings or []]
    for name, equals, _ in split:
        if not equals:
            raise InvalidArgument("--set", expected="key=value", found=repr(name), instead=f"--set {name}=…")
    shorts = {name.replace("sampler_", "sampler."): str(value) for name, value in named.items() if value is not None}
    return {name: value for name, _, value in split} | shorts


def grid(every: str | None) -> str | int | None:
    """`--every` as `open_checkpoints` takes it."""
    return int(every) if every is not None and every.isdigit() else every


def executor(jobs: int | None, shard: str | None = None, ray: str | None = None) -> "Executor | None":
    """The executor of the jobs; None is the default of `ontogeny.measure`."""
    from ontogeny.execution import Processes, Ray, Serial, Shard

    chosen: Executor | None = None
    if ray is not None:
        chosen = Ray(address=None if ray == "local" else ray)
    elif jobs is not None:
        chosen = Processes(jobs) if jobs > 1 else Serial()
    return chosen if shard is None else Shard.of(shard, chosen)
