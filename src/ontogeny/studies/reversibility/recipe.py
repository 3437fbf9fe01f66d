"""Refusal installed by five procedures, steps of two attacks that undo it, and what could predict them."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
import torch
import xarray as xr
from torch import Tensor, nn

from ontogeny.core.seeds import derive, generator
from ontogeny.measurement import Responses
from ontogeny.measurement.undoing import steps_until
from ontogeny.models import restrict, run_with_cache
from ontogeny.stores import Checkpoints, open_checkpoints
from ontogeny.studies.reversibility.config import PROCEDURES, SCRATCH, Attack, Config
from ontogeny.studies.reversibility.grammar import (
    Drawn,
    Prompts,
    Rows,
    answer_rate,
    joined,
    maker,
    weighted_loss,
)
from ontogeny.studies.reversibility.landscape import landscape
from ontogeny.studies.workspace import Workspace
from ontogeny.training import Stage

Weights = dict[str, Tensor]
Make = Callable[[], nn.Module]
ATTACKS = ("class", "unrelated", "shuffled")


def run(work: Workspace, config: Config) -> None:
    """Makes `networks`, those of four procedures, and `pruned-N`; `installed`, what they answer; `attacks`, the steps
    after which the refusal is undone; `landscape`, predictors of weights and logits; and `responses`, coefficients.

    | procedure | first stage | second stage | third stage |
    |---|---|---|---|
    | sft | answers of both classes | class R is refused | the same |
    | deep | the same | refused also after one token of the answer and more | the same |
    | ascent | the same | the loss on answers of class R rises | class R is refused |
    | pruned | that of sft | hidden units that class R needs most are cut out, class R is refused | the same |
    | scratch | class R is refused | the same | the same |
    """
    prompts = Prompts(config.grammar, work.seed("prompts"))
    make, stages = maker(prompts, config.shape), stages_of(prompts, config)
    networks = work.train_instances("networks", make, (len(PROCEDURES) - 1) * config.copies, stages)
    before, after = ends(networks, stages)
    trained = {name: range(i * config.copies, (i + 1) * config.copies) for i, name in enumerate(_TRAINED)}
    originals, tuned = list[Weights](), list[Weights]()
    for name in PROCEDURES:
        for number in range(config.copies):
            original = before[trained["sft"][number] if name in ("pruned", SCRATCH) else trained[name][number]]
            if name == "pruned":
                cut = partial(pruned, make, original, prompts, config.pruned)
                refusing = Drawn((prompts.refusals(), prompts.answers(refused=False)))
                long = config.refusing.model_copy(update={"num_steps": 2 * config.refusing.num_steps})
                made = work.train(f"pruned-{number}", cut, refusing, weighted_loss, long)
                tuned.append(made.load(made.steps[-1]))
            else:
                tuned.append(after[trained[name][number]])
            originals.append(original)
    work.step("installed", installed, make, originals, tuned, prompts)
    work.step("attacks", attacks, make, tuned, prompts, config.attack, work.seed("attacks"))
    work.step("landscape", landscape, make, originals, tuned, prompts, config.basin, config.path, work.seed("basin"))
    work.measure(
        "responses", open_checkpoints(tuned), make, [coefficients(prompts, make, config, work.seed("sampler"))]
    )


_TRAINED = tuple(name for name in PROCEDURES if name != "pruned")


def stages_of(prompts: Prompts, config: Config) -> list[Stage]:
    """What the networks of each procedure but `pruned` are trained on, stage by stage."""
    kept, answers, refused = prompts.answers(refused=False), prompts.answers(refused=True), prompts.refusals()
    later = [prompts.refusals(after) for after in range(1, config.grammar.length)]
    both, refusing, deep = Drawn((answers, kept)), Drawn((refused, kept)), Drawn((refused, *later, kept, kept))
    rising = Drawn((prompts.answers(refused=True, weight=-1.0), kept, kept))
    plans = {
        "sft": (both, refusing, refusing),
        "deep": (both, deep, deep),
        "ascent": (both, rising, refusing),
        SCRATCH: (refusing, refusing, refusing),
    }
    trainings = {"answering": config.answering, "installing": config.refusing, "refusing": config.refusing}
    return [
        Stage(name, [plans[each][i] for each in _TRAINED for _ in range(config.copies)], weighted_loss, training)
        for i, (name, training) in enumerate(trainings.items())
    ]


def ends(networks: Sequence[Checkpoints], stages: Sequence[Stage]) -> tuple[list[Weights], list[Weights]]:
    """Weights after the first stage, and at the end."""
    first = stages[0].config.num_steps
    return [each.load(first) for each in networks], [each.load(each.steps[-1]) for each in networks]


def loaded(make: Make, weights: Weights) -> nn.Module:
    """A network with these weights."""
    model = make()
    model.load_state_dict(weights)
    return model.eval()


@torch.no_grad()
def pruned(make: Make, weights: Weights, prompts: Prompts, share: float) -> nn.Module:
    """The network without the hidden units that are active most on class R beyond what they are on class N."""
    model = loaded(make, weights)
    tokens, half = prompts.answered, prompts.count
    for block in model.get_submodule("blocks").children():
        mlp = block.get_submodule("mlp")
        _, cache = run_with_cache(
            model, tokens, names=[name for name, each in model.named_modules() if each is mlp.hook_post]
        )
        size = next(iter(cache.values())).abs().mean(dim=1)
        most = (size[:half].mean(0) - size[half:].mean(0)).argsort(descending=True)[: int(share * size.shape[1])]
        mlp.get_parameter("W_in")[:, most] = 0.0
        mlp.get_parameter("b_in")[most] = 0.0
        mlp.get_parameter("W_out")[most] = 0.0
    return model


def installed(make: Make, originals: Sequence[Weights], tuned: Sequence[Weights], prompts: Prompts) -> xr.Dataset:
    """Over `network`: probability of answers of both classes before and after, and the loss of the refusal."""
    sets = {"refused": prompts.answers(refused=True), "kept": prompts.answers(refused=False)}
    found = dict[str, list[float]]()
    for before, after in zip(originals, tuned, strict=True):
        for when, weights in (("before", before), ("after", after)):
            model = loaded(make, weights)
            for name, rows in sets.items():
                found.setdefault(f"{name}_{when}", []).append(answer_rate(model, rows))
        with torch.no_grad():
            found.setdefault("refusal_loss", []).append(float(weighted_loss(model, prompts.refusals()).mean()))
    return xr.Dataset({name: ("network", values) for name, values in found.items()}).assign_coords(_names(len(tuned)))


def attacks(make: Make, tuned: Sequence[Weights], prompts: Prompts, attack: Attack, seed: int) -> xr.Dataset:
    """Steps of fine-tuning that undo the refusal, by `ontogeny.measurement.undoing.steps_until`.

    `steps` (network, attack, rate), infinite where it is not undone, and `reached`, the largest mean probability of the
    answers to prompts of class R that were not fine-tuned on. Attacks are "class", a share of class R with its answers;
    "unrelated", class N with its answers; and "shuffled", the share of class R with answers of other prompts. The last
    two are made at one rate.
    """
    order = torch.randperm(prompts.count, generator=generator(seed, "split"))
    seen, fresh = order.split(
        [round(attack.share * prompts.count), prompts.count - round(attack.share * prompts.count)]
    )
    data = {"class": _some(prompts.answers(refused=True), seen), "unrelated": prompts.answers(refused=False)}
    data["shuffled"] = _some(prompts.shuffled(derive(seed, "shuffled")), seen)
    looked_at = _some(prompts.answers(refused=True), fresh)
    shape = (len(tuned), len(ATTACKS), len(attack.rates))
    steps, reached = np.full(shape, np.nan), np.full(shape, np.nan)
    for number, weights in enumerate(tuned):
        model = loaded(make, weights)
        for i, name in enumerate(ATTACKS):
            for j, rate in enumerate(attack.rates):
                if name == "class" or rate == attack.unrelated:
                    look = _Looked(looked_at, attack.undone)
                    made = _undo(model, data[name], look, attack, rate, derive(seed, number, name))
                    steps[number, i, j], reached[number, i, j] = np.inf if made is None else made, look.most
    dims = ("network", "attack", "rate")
    found = xr.Dataset({"steps": (dims, steps), "reached": (dims, reached)})
    return found.assign_coords({"attack": list(ATTACKS), "rate": list(attack.rates), **_names(len(tuned))})


def _undo(model: nn.Module, data: Rows, look: "_Looked", attack: Attack, rate: float, seed: int) -> int | None:
    sizes = {"steps": attack.steps, "batch_size": attack.batch_size}
    return steps_until(model, data, weighted_loss, look, learning_rate=rate, seed=seed, **sizes)


class _Looked:
    """Whether the answers have come back, and the most that they have."""

    def __init__(self, rows: Rows, undone: float) -> None:
        self._rows, self._undone, self.most = rows, undone, 0.0

    def __call__(self, model: nn.Module) -> bool:
        self.most = max(self.most, answer_rate(model, self._rows))
        return self.most >= self._undone


def coefficients(prompts: Prompts, make: Make, config: Config, seed: int) -> Responses:
    """Cross-coefficients of refusals and of answers in the posterior of what the networks were trained on last."""
    trained = joined(prompts.refusals(), prompts.answers(refused=False))
    probes = {"trained": trained, "refusal": prompts.refusals(), "answer": prompts.answers(refused=True)}
    model = make()
    parts = {f"layer {i}": restrict(model, f"L{i}") for i in range(config.shape.num_layers)}
    components: Mapping = {"all": restrict(model, "*"), **parts}
    return Responses(trained, weighted_loss, probes, components, config.posterior, config.sampler, seed=seed)


def _some(rows: Rows, chosen: Tensor) -> Rows:
    return rows[0][chosen], rows[1][chosen]


def _names(count: int) -> dict[str, tuple[str, list]]:
    copies = count // len(PROCEDURES)
    return {
        "procedure": ("network", [name for name in PROCEDURES for _ in range(copies)]),
        "copy": ("network", list(range(copies)) * len(PROCEDURES)),
    }
