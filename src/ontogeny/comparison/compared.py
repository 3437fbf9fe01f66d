"""`compare`: one page over two sets of weights of one network and named datasets."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ontogeny.comparison import effects
from ontogeny.comparison.config import CompareConfig
from ontogeny.comparison.found import Comparison
from ontogeny.comparison.influences import carriers
from ontogeny.comparison.networks import Network, check_alike, network_of, noises, parts_of, twin
from ontogeny.comparison.one_more import FEWEST
from ontogeny.comparison.panels import page_of
from ontogeny.comparison.roles import Roles, check_roles, class_of_change
from ontogeny.comparison.sampled import sampled_parts
from ontogeny.comparison.undoing import steps_to_undo
from ontogeny.comparison.verdicts import tested, verdict_on
from ontogeny.core.errors import InvalidArgument
from ontogeny.core.losses import LossFn
from ontogeny.core.protocols import Progress
from ontogeny.core.samples import Samples
from ontogeny.core.seeds import derive, generator
from ontogeny.execution import Executor
from ontogeny.measurement.suspects import check_one_form
from ontogeny.reports import write_page
from ontogeny.terminal import as_progress

_FEWEST = 10  # trusted samples


def compare(
    base: Any,
    tuned: Any,
    model_fn: Callable[[], nn.Module],
    datasets: Mapping[str, Any],
    loss_fn: LossFn,
    *,
    out: str | Path = "compare",
    parts: Sequence[str] | None = None,
    twins: Sequence[Any] | None = None,
    roles: Roles | None = None,
    fine_tuned_on: Any = None,
    config: CompareConfig | None = None,
    seed: int = 0,
    executor: Executor | None = None,
    progress: Progress | bool = False,
    command: str = "",
) -> Comparison:
    """What a fine-tuning changed: on which data, in which parts, and whether any fine-tuning would have.

    Three nulls stand beside every number. Twins are the base network fine-tuned on the trusted data until it has moved
    as far. Weight noise is a random displacement, as far in every tensor. Chains at nβ = 0 stand beside sampled ones.

    - Behaviour: the change of the mean loss on each dataset. It counts if it is beyond twins and weight noise
      (`CompareConfig.significance`), and beyond its own error.
    - Where: how far each part has moved, and how much of each change goes if the part's base weights are put back,
      which is a causal test. A part counts if it undoes more than it undoes of any twin.
    - Posterior: susceptibilities and cross-coefficients of the most telling parts, in all networks at the same
      settings.
    - Cheap rivals: the shift of the mean of the last hidden layer on the first five positions, and how well its
      Mahalanobis distance tells a dataset from the trusted data.

    Args:
        base, tuned: weights: a module, a state dict, or the path of a checkpoint.
        model_fn: makes the module that weights are loaded into.
        datasets: name -> samples. The first is trusted: like the data that the base network was trained on. It is cut
            in two, one half for twins and posterior, the other to test on.
        loss_fn: per-sample losses.
        out: folder of the page and of what is sampled; a killed comparison resumes there.
        parts: patterns for `ontogeny.restrict`; default heads, MLPs and embeddings, or the modules that own weights.
        twins: weights of networks that were fine-tuned from the base on trusted data by the procedure of the tuned one,
            at least three, best six. Default: `config.twins` are made by Adam, until they have moved as far.
        roles: what the other datasets stand for, such as suspected triggers, to tell the class of the change.
        fine_tuned_on: the data of the fine-tuning, on request: which of its samples carry each change, by their
            Bayesian influence (`ontogeny.comparison.influences`).
        config: see `CompareConfig`.
        seed: root of the seed tree.
        executor, progress: see `ontogeny.measure`.
        command: shown as the command that makes the page again.

    Raises:
        InvalidArgument: for weights that do not fit or are equal, fewer than two datasets, fewer than ten trusted
            samples, or datasets of different forms.

    When not to trust it: a network may hold a mechanism that none of the datasets exercises, and the page cannot see
        it. Without twins of your own procedure, a change may be that of the procedure: see docs/compare.md for how
        often. "Narrow" means that the trusted loss is as after twins, and says nothing of intent.
    """
    config, reporter = config or CompareConfig(), as_progress(progress)
    sets = {name: Samples.of(data, name=f"datasets[{name!r}]") for name, data in datasets.items()}
    if len(sets) < 2:
        raise InvalidArgument(
            "datasets",
            expected="the trusted data and at least one other dataset",
            found=str(list(sets)),
            instead='{"trusted": data, "suspect": more}',
        )
    trusted, *others = sets
    for name in others:
        check_one_form(sets[trusted], sets[name], f"datasets[{name!r}]")
    tuning = None if fine_tuned_on is None else Samples.of(fine_tuned_on, name="fine_tuned_on")
    if tuning is not None:
        check_one_form(sets[trusted], tuning, "fine_tuned_on")
    if roles:
        check_roles(roles, list(sets))
    for_twins, sets[trusted] = _halves(sets[trusted], trusted, seed)
    first, second = (
        network_of(weights, model_fn, for_twins, loss_fn, name) for name, weights in (("base", base), ("tuned", tuned))
    )
    check_alike(first, second)
    like = _twins(first, second, twins, model_fn, config, seed, reporter)
    if 0 < len(like) < FEWEST:
        raise InvalidArgument(
            "twins",
            expected=f"at least {FEWEST}, whose spread can be told, or none",
            found=str(len(like)),
            instead="twins=None, which makes them",
        )
    found = tested(
        effects.behaviour(first, second, like, noises(first, second, config.weight_noises, seed), sets), config
    )
    named = parts_of(first.model, parts)
    where = effects.places(first, second, like, named, sets)
    verdict = verdict_on(found, where)
    chosen = {name: named[name] for name in verdict.parts[: config.parts_sampled]}
    networks = [first, second, *like]
    sampled = (
        sampled_parts(networks, model_fn, sets, chosen, config, seed, Path(out), executor, reporter) if chosen else None
    )
    undone = {
        name: steps_to_undo(first, second, sets[name], config, derive(seed, "undo", name))
        for name in (verdict.changed if config.undo_steps else {})
    }
    shown = effects.activations(first, second, like, sets)
    told = class_of_change(found, shown, roles) if roles else None
    carried = None
    if tuning is not None and verdict.changed:
        held = sets[trusted]
        carried = carriers(second, tuning, held, verdict.changed, sets, config, derive(seed, "carriers"), reporter)
    whole = Comparison(verdict, found, where, shown, sampled, undone, told, carried, Path(out) / "report.html")
    write_page(whole.report, page_of(whole, given=twins is not None, command=command))
    return whole


def _halves(trusted: Samples, name: str, seed: int) -> list[Samples]:
    """One half for twins and posterior, the other to test on."""
    if len(trusted) < _FEWEST:
        raise InvalidArgument(
            f"datasets[{name!r}]",
            expected=f"at least {_FEWEST} trusted samples",
            found=str(len(trusted)),
            instead=f"{_FEWEST} samples or more",
        )
    order = torch.randperm(len(trusted), generator=generator(seed, "held out"))
    return [trusted.subset(part, name) for part in order.chunk(2)]


def _twins(
    base: Network,
    tuned: Network,
    given: Sequence[Any] | None,
    model_fn: Callable[[], nn.Module],
    config: CompareConfig,
    seed: int,
    progress: Progress,
) -> list[Network]:
    """Those that are given, or as many as the config asks for."""
    trusted, loss_fn = base.posterior.samples, base.posterior.loss_fn
    if given is not None:
        return [network_of(each, model_fn, trusted, loss_fn, f"twins[{at}]") for at, each in enumerate(given)]
    length, made = float((tuned.weights - base.weights).norm()), []
    progress.start("fine-tuning twins", config.twins)
    for number in range(config.twins):
        seeded = derive(seed, "twin", number)
        made.append(twin(base, length, config.twin_steps, config.twin_batch, config.twin_learning_rate, seeded))
        progress.advance("fine-tuning twins")
    progress.finish("fine-tuning twins")
    return made
