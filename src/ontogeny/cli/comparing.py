"""`ontogeny compare`: what a fine-tuning changed, on one page."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from ontogeny.cli import options
from ontogeny.cli.told import Told


def compare(
    base: Annotated[Path, typer.Argument(help="Weights before: a torch or safetensors file, or a model's folder.")],
    tuned: Annotated[Path, typer.Argument(help="Weights after.")],
    setup: options.Setup,
    dataset: Annotated[
        list[str] | None, typer.Option("--dataset", help="NAME=FILE, a further text to compare on. Repeatable.")
    ] = None,
    twin: Annotated[
        list[Path] | None,
        typer.Option(help="Weights of the base, fine-tuned on trusted data as the tuned ones were. Repeatable."),
    ] = None,
    component: options.Components = None,
    out: Annotated[Path, typer.Option(help="Folder of the page; an interrupted comparison resumes.")] = Path(
        "runs/compared"
    ),
    settings: options.Settings = None,
    context: options.Context = None,
    seed: options.Seed = 0,
    jobs: options.Jobs = None,
    as_json: options.Json = False,
) -> None:
    """What a fine-tuning changed: on which data, in which parts, and whether any fine-tuning would have.

    SETUP defines model_fn(), data (trusted), loss_fn and datasets, a dict of further data; and, if you like, roles of
    these and fine_tuned_on, the data of the fine-tuning.
    """
    from ontogeny.cli.given import read_given
    from ontogeny.comparison import CompareConfig
    from ontogeny.comparison import compare as compared
    from ontogeny.studies import override

    told = Told(as_json)
    given = read_given(setup, base, context).including(dataset, component, base, context)
    found = compared(
        base,
        tuned,
        given.model_fn,
        {"trusted": given.samples, **(given.datasets or {})},
        given.loss_fn,
        out=out,
        parts=given.components,
        twins=twin or None,
        roles=given.roles,
        fine_tuned_on=given.fine_tuned_on,
        config=override(CompareConfig(), options.pairs(settings)),
        seed=seed,
        executor=options.executor(jobs),
        progress=told.progress(),
        command=" ".join(sys.argv),
    )
    told.line(f"change: {found.verdict.kind}")
    for name, change in found.verdict.changed.items():
        told.line(f"  {name}: {change:+.3g} nats")
    if found.verdict.parts:
        told.line(f"parts that undo it: {', '.join(found.verdict.parts[:3])}")
    if found.told:
        told.line(f"by the roles of the datasets: {found.told.name}")
    told.line(f"report: {found.report}")
    verdict, name = found.verdict, found.told.name if found.told else None
    told.result(change=verdict.kind, changed=verdict.changed, parts=list(verdict.parts), told=name, report=found.report)
