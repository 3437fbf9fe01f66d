"""Checks of a posterior's arguments, and its default temperature."""

import math

from torch import Tensor, nn

from ontogeny.core import arguments
from ontogeny.core.errors import InvalidArgument
from ontogeny.core.restriction import Restriction


def free_of(parameters: dict[str, nn.Parameter], restriction: Restriction | None) -> dict[str, Tensor | None]:
    """Parameter -> its free coordinates (None for all): those in the restriction that are not frozen."""
    wanted = dict.fromkeys(parameters) if restriction is None else dict(restriction.indices)
    free = {name: index for name, index in wanted.items() if parameters[name].requires_grad}
    if wanted and not free:
        frozen = f"{len(wanted)} frozen ones: " + ", ".join(list(wanted)[:3]) + (" …" if len(wanted) > 3 else "")
        raise InvalidArgument(
            "model" if restriction is None else "restriction",
            expected="parameters with requires_grad=True",
            found=frozen,
            instead="model.requires_grad_(True) first; frozen parameters are never sampled",
        )
    return free


def refuse_complex(free: dict[str, nn.Parameter]) -> None:
    """Refuse complex weights, whose Gaussian and gradients would need a meaning of their own."""
    if found := [name for name, parameter in free.items() if parameter.is_complex()]:
        raise InvalidArgument(
            "model",
            expected="real weights",
            found=f"complex ones: {', '.join(found[:3])}",
            instead="one real parameter for both parts, and torch.view_as_complex(parameter) in the forward pass",
        )


def check_passes(precision: str, recompute: bool, sharded: bool) -> None:
    """Refuse passes of an unknown precision, and changes to a sharded model, which is run as it is."""
    if precision not in ("float32", "model"):
        raise InvalidArgument(
            "precision", expected="'float32' or 'model'", found=repr(precision), instead="precision='float32'"
        )
    if recompute and sharded:
        raise InvalidArgument(
            "recompute",
            expected="False for a sharded model, which is run as it is",
            found="True",
            instead="recompute=False, with checkpoint_wrapper of PyTorch around layers before fully_shard",
        )


def at_least_0(name: str, given: float, otherwise: str) -> float:
    """The argument as a finite number ≥ 0, or an error."""
    number = arguments.number_or_nan(name, given)
    if not 0 <= number < math.inf:
        found = arguments.show(given)
        raise InvalidArgument(name, expected="a finite number ≥ 0", found=found, instead=f"{name}={otherwise}")
    return number


def default_nbeta(num_samples: int) -> float:
    """N / log n (Lau et al., 2308.12108)."""
    if num_samples < 3:
        raise InvalidArgument(
            "data",
            expected="at least 3 samples for the default nβ = n / log n",
            found=str(num_samples),
            instead="nbeta=...",
        )
    return num_samples / math.log(num_samples)
