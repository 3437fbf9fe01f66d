"""What errors of this room say to write instead."""

from typing import Any

import torch
from tests.advice import Mistake, follow, mistakes
from torch import nn

import ontogeny as og
from ontogeny.measurement.responses import Responses

code = torch.randn(8, 3), torch.arange(8) % 2
mixed = torch.randn(8, 3), torch.arange(8) % 2


def responses(probes: dict[str, Any]) -> Responses:
    return Responses(code, og.losses.cross_entropy, probes, {"all": og.restrict(nn.Linear(3, 2), "*")})


# fmt: off
MISTAKES = (
    ("measurement/responses.py:Responses.__post_init__", "responses({'code': code})", "probes",
     '{"mixed": …, "code": …}', "responses({'mixed': mixed, 'code': code})"),
)
# fmt: on


@mistakes(*MISTAKES)
def test_advice(mistake: Mistake) -> None:
    follow(mistake, globals())
