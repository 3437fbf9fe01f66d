"""A network on a mixture of languages, copies in which one language is suppressed, and what they do by position."""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import torch
import xarray as xr
from torch import Tensor, nn

from ontogeny.compmech import ProcessTask
from ontogeny.core.losses import next_token
from ontogeny.core.seeds import derive
from ontogeny.models import Transformer, TransformerConfig, components
from ontogeny.stores import Checkpoints
from ontogeny.studies.many_shot.behaviour import Case, behaviour
from ontogeny.studies.many_shot.config import ABSENT, Config
from ontogeny.studies.many_shot.languages import Languages, brute_force
from ontogeny.studies.many_shot.positions import by_position
from ontogeny.studies.workspace import Workspace

Weights = dict[str, Tensor]
_HEAD = re.compile(r"L\d+H\d+")


def run(work: Workspace, config: Config) -> None:
    """Makes `exact`; the network `base` and its copies `tuned`; `behaviour` over cases; `positions-N` of the base (0),
    of those in which a language is suppressed, and of the one that saw it alone; and `heads-N` of the base and of the
    one in which the last language is suppressed most.
    """
    mixture, languages = config.mixture, config.mixture.drawn(work.seed("languages"))
    work.step("exact", exactness, languages, mixture.weights, config.brute_length)
    make = partial(network, config.shape.transformer(mixture), work.seed("weights"))
    data = languages.mixture(mixture.weights).sample(config.sequences, mixture.length, seed=work.seed("data"))
    base = work.train("base", make, data, next_token, config.training)
    arms = config.arms()
    tasks = [ProcessTask(languages.mixture(mixture.shifted(*arm)), mixture.length) for arm in arms]
    begun = partial(from_weights, make, last(base))
    tuned = work.train_instances("tuned", begun, len(arms), tasks, next_token, config.tuning)
    networks, cases = [last(base), *map(last, tuned)], cases_of(config)
    given = (make, networks, cases, languages, config, work.seed("tests"))
    work.step("behaviour", behaviour, *given)
    positions(work, config, languages, make, networks)


def cases_of(config: Config) -> list[Case]:
    """(language, shift, network): the base on each language but the first, and every copy on its own."""
    others = range(1, len(config.mixture.weights))
    return [(language, 0.0, 0) for language in others] + [(*arm, i + 1) for i, arm in enumerate(config.arms())]


def exactness(languages: Languages, weights: Sequence[float], length: int) -> xr.Dataset:
    """The largest difference of exact laws from brute force, over all words of this length and their beginnings."""
    return xr.Dataset({"difference": brute_force(languages, weights, length), "words": languages.tokens**length})


def network(config: TransformerConfig, seed: int) -> Transformer:
    """With its initial weights."""
    return Transformer(config, torch.Generator().manual_seed(seed))


def from_weights(make: Callable[[], nn.Module], weights: Weights) -> nn.Module:
    """A copy of a trained network."""
    model = make()
    model.load_state_dict(weights)
    return model


def last(run: Checkpoints) -> Weights:
    """The weights at the end."""
    return run.load(run.steps[-1])


def of_parts(
    make: Callable[[], nn.Module],
    weights: Weights,
    data: Tensor,
    sets: Mapping[str, Tensor],
    parts: Sequence[str],
    config: Config,
    seed: int,
) -> xr.Dataset:
    """`by_position` of each part, over `part`; "" is the whole network."""
    common = (config.posterior, config.sampler)
    each = [by_position(make, weights, data, sets, part, *common, derive(seed, part)) for part in parts]
    return xr.concat(each, xr.DataArray(list(parts), dims="part", name="part"))


def positions(
    work: Workspace,
    config: Config,
    languages: Languages,
    make: Callable[[], nn.Module],
    networks: Sequence[Weights],
) -> None:
    """Coefficients by position of all networks, and susceptibilities of heads of two, on sequences of their
    languages.
    """
    mixture, arms, cases = config.mixture, [(1, 0.0), *config.arms()], cases_of(config)
    heads = [name for name in components(make()) if _HEAD.fullmatch(name)]
    strongest = arms.index((len(mixture.weights) - 1, max(config.shifts)))
    wanted = [i for i, (_, shift) in enumerate(arms) if i == 0 or shift not in (0.0, ABSENT)]
    asked = [("positions", number, [""]) for number in wanted]
    asked += [("heads", number, heads) for number in (0, strongest) if config.heads]
    for kind, number, parts in asked:
        own = languages.mixture(mixture.shifted(*arms[number]))
        data = own.sample(config.rows, mixture.length, seed=work.seed("rows", number))
        sets = {
            f"language {language}": languages.processes[language].sample(
                config.observed, mixture.length, seed=work.seed("observed", language)
            )
            for language, _, of in cases
            if of == number
        }
        name = f"{kind}-{number}"
        work.step(name, of_parts, make, networks[number], data, sets, parts, config, work.seed("sampler", name))
