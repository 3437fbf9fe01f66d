"""What errors of this room say to write instead."""

import copy
from typing import Any

import torch
from tests.advice import Mistake, follow, mistakes
from torch import nn

import ontogeny as og
from ontogeny.comparison import Comparison, Roles

PLACE = "comparison/"


def network() -> nn.Linear:
    return nn.Linear(3, 2)


def moved(weights: dict[str, Any]) -> dict[str, Any]:
    return {name: value + 0.1 for name, value in copy.deepcopy(weights).items()}


trusted, other = ((torch.randn(count, 3), torch.arange(count) % 2) for count in (20, 8))
base = network()
tuned, fine_tuned = moved(base.state_dict()), network()


def compared(
    tuned: Any = tuned, datasets: Any = None, count: int = 20, twins: Any = None, roles: Roles | None = None
) -> Comparison:
    sets = {"trusted": tuple(part[:count] for part in trusted), "other": other} if datasets is None else datasets
    config = og.CompareConfig(twins=3, twin_steps=2, weight_noises=3, parts_sampled=0)
    options = {"config": config, "twins": twins, "roles": roles}
    return og.compare(base.state_dict(), tuned, network, sets, og.losses.cross_entropy, **options)


@mistakes(
    (PLACE + "networks.py:network_of", "compared(tuned=3)", "tuned", "model.state_dict()",
     "compared(tuned=(lambda model: ADVICE)(fine_tuned))"),
    (PLACE + "networks.py:check_alike", "compared(tuned=base.state_dict())", "tuned", "tuned=fine_tuned.state_dict()",
     "compared(ADVICE)"),
    (PLACE + "compared.py:compare", "compared(datasets={'trusted': trusted})", "datasets",
     '{"trusted": data, "suspect": more}', "compared(datasets=(lambda data, more: ADVICE)(trusted, other))"),
    (PLACE + "compared.py:compare#2", "compared(twins=[tuned])", "twins", "twins=None", "compared(ADVICE)"),
    (PLACE + "roles.py:check_roles", "compared(roles=Roles(triggers=('suspect',)))", "roles", "'other'",
     "compared(roles=Roles(triggers=(ADVICE,)))"),
    (PLACE + "compared.py:_halves", "compared(count=4)", "datasets['trusted']", "10 samples or more",
     "compared(count=10)"),
)  # fmt: skip
def test_advice(mistake: Mistake, tmp_path: Any, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    follow(mistake, globals())
