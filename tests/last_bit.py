"""A pytest plugin that disturbs the weights of every new network in the last bit: `pytest -p tests.last_bit`.

No test may depend on the bits that one processor's kernels happen to give.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

_DRAWS = (
    "uniform_",
    "normal_",
    "trunc_normal_",
    "kaiming_uniform_",
    "xavier_uniform_",
    "xavier_normal_",
    "orthogonal_",
)


def _disturbed(draw: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def drawn(tensor: Tensor, *arguments: Any, **options: Any) -> Tensor:
        found = draw(tensor, *arguments, **options)
        if found.dtype in (torch.float32, torch.float64) and found.device.type != "meta":
            with torch.no_grad():
                away = torch.where(torch.arange(found.numel()).view(found.shape) % 2 == 0, torch.inf, -torch.inf)
                found.copy_(torch.nextafter(found, away.to(found)))
        return found

    return drawn


for name in _DRAWS:
    setattr(nn.init, name, _disturbed(getattr(nn.init, name)))
