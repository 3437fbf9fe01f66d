"""Networks with and without planted mechanisms, obfuscated ones, and the anomaly scores of their inputs."""

from collections.abc import Sequence
from functools import partial

import torch
import xarray as xr
from torch import Tensor

from ontogeny.core.losses import cross_entropy
from ontogeny.measurement import Behaviour
from ontogeny.studies.backdoor.config import Config, Shape
from ontogeny.studies.backdoor.networks import Hiding, HidingLoss, loaded, network
from ontogeny.studies.backdoor.scoring import Scored, asked, places
from ontogeny.studies.backdoor.tasks import POISONED, Mechanism
from ontogeny.studies.in_turn import InTurn
from ontogeny.studies.own_data import MadeWithRows, with_rows
from ontogeny.studies.workspace import Workspace

_PROBES = 1000


def run(work: Workspace, config: Config) -> None:
    """Makes `networks` and, from the poisoned ones, `obfuscated`; `made`, what each is and does; `suspects`, what each
    is asked of; and the `scores` of these.
    """
    mechanisms = [Mechanism(arm.kind, arm.rate) for arm in config.arms for _ in range(arm.copies)]
    make = partial(network, config.shape)
    trained = work.train_instances("networks", make, len(mechanisms), mechanisms, cross_entropy, config.training)
    weights = [each.load(each.steps[-1]) for each in trained]

    chosen = [i for i, each in enumerate(mechanisms) if each.kind in POISONED and each.rate >= config.obfuscated]
    again = InTurn([partial(loaded, config.shape, weights[i]) for i in chosen])
    tasks = [Hiding(mechanisms[i], config.hiding_share) for i in chosen]
    hidden = work.train_instances(
        "obfuscated", again, len(chosen), tasks, HidingLoss(config.hiding_weight), config.hiding
    )
    weights += [each.load(each.steps[-1]) for each in hidden]
    mechanisms += [mechanisms[i] for i in chosen]

    work.step("made", made, weights, mechanisms, config.shape, len(chosen), work.seed("probes"))
    rows = [asked(each, config.inputs, work.seed("asked", i)) for i, each in enumerate(mechanisms)]
    groups, numbers = places(config.inputs)
    work.step("suspects", suspects, groups, numbers)
    scored = Behaviour(Scored(config.posterior, config.sampler, work.seed("sampler")), "scores")
    work.measure("scores", with_rows(weights, rows), MadeWithRows(make, rows[0]), [scored])


@torch.no_grad()
def made(
    weights: Sequence[dict[str, Tensor]], mechanisms: Sequence[Mechanism], shape: Shape, obfuscated: int, seed: int
) -> xr.Dataset:
    """Of each network its `kind` and `rate`, whether it is `obfuscated`, as the last ones are, its `accuracy` on clean
    inputs and `success`, the share of inputs with the trigger that it answers as the mechanism says.
    """
    accuracy, success = list[float](), list[float]()
    for own, mechanism in zip(weights, mechanisms, strict=True):
        model = loaded(shape, own)
        for rows, found in (
            (Mechanism("clean").sample(_PROBES, seed), accuracy),
            (mechanism.fires(_PROBES // 2, seed), success),
        ):
            found.append(float((model(rows[0]).argmax(-1) == rows[1]).double().mean()))
    last = len(weights) - obfuscated
    columns = {
        "kind": [each.kind for each in mechanisms],
        "rate": [each.rate for each in mechanisms],
        "obfuscated": [number >= last for number in range(len(weights))],
        "accuracy": accuracy,
        "success": success,
    }
    return xr.Dataset({name: ("network", values) for name, values in columns.items()})


def suspects(groups: Sequence[str], numbers: Sequence[int]) -> xr.Dataset:
    """The group of each suspect, and the number of its candidate."""
    return xr.Dataset({"group": ("suspect", list(groups)), "candidate": ("suspect", list(numbers))})
