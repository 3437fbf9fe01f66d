"""Conversion of arguments: arrays, lists, tensors and scalars are read as numbers, or refused by name."""

import math
import operator
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from ontogeny.core.errors import InvalidArgument

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    Numbers = ArrayLike | Tensor | Sequence[ArrayLike | Tensor]
else:
    Numbers = object  # checked here, with the argument's name, not by run-time annotations


def as_array(name: str, given: object) -> Shaped[np.ndarray, " *shape"]:
    """An array-like, a tensor of any device and dtype, or a list of them, as one NumPy array.

    Raises:
        InvalidArgument: for anything ragged or without numbers.
    """
    try:
        return np.asarray(_plain(name, given))
    except InvalidArgument:
        raise
    except (ValueError, TypeError, RuntimeError, OverflowError):
        found = "parts that differ in shape" if isinstance(given, (list, tuple)) else show(given)
        raise InvalidArgument(name, expected="an array", found=found) from None


def real_array(name: str, given: object, expected: str) -> Float[np.ndarray, " *shape"]:
    """Finite real numbers in double precision. Always a copy, so that the caller's array stays writeable."""
    array = as_array(name, given)
    if array.dtype.kind not in "biuf":
        raise InvalidArgument(name, expected=expected, found=describe(array, given))
    array = array.astype(np.float64)
    if not np.isfinite(array).all():
        raise InvalidArgument(name, expected=f"finite {expected}", found="NaN or infinity")
    return array


def real_matrix(name: str, given: object, rows: int | None = None) -> Shaped[np.ndarray, "row column"]:
    """A two-dimensional array of real numbers in its own dtype, finite or not."""
    array = as_array(name, given)
    if array.ndim != 2 or not array.size or array.dtype.kind not in "biuf" or len(array) != (rows or len(array)):
        expected = f"two dimensions{'' if rows is None else f', the first of {rows} rows'}, real numbers"
        raise InvalidArgument(name, expected=expected, found=describe(array, given))
    return array


def rounding(given: object) -> float:
    """The relative rounding error of the coarsest floating-point type in an argument; float64 if there is none."""
    if isinstance(given, (list, tuple)):
        return max(map(rounding, given), default=0.0)
    if isinstance(given, Tensor):
        return torch.finfo(given.dtype).eps if given.is_floating_point() else 0.0
    dtype = getattr(given, "dtype", None)
    return float(np.finfo(dtype).eps) if isinstance(dtype, np.dtype) and dtype.kind == "f" else 0.0


def whole_number(name: str, given: object, least: int | None = 0) -> int:
    """An integer of any library, at least `least`; floats and bools are refused."""
    expected = "a whole number" if least is None else f"a whole number of at least {least}"
    try:
        number = operator.index(given)  # pyrefly: ignore[bad-argument-type]
    except (TypeError, ValueError, RuntimeError):
        raise InvalidArgument(name, expected=expected, found=show(given)) from None
    if isinstance(given, (bool, np.bool_)) or (least is not None and number < least):
        raise InvalidArgument(name, expected=expected, found=show(given))
    return number


def real_number(
    name: str, given: object, expected: str = "a number", low: float = -math.inf, high: float = math.inf
) -> float:
    """A finite real number of any library, from `low` to `high`."""
    number = number_or_nan(name, given)
    if not (math.isfinite(number) and low <= number <= high):
        raise InvalidArgument(name, expected=expected, found=show(given))
    return number


def number_or_nan(name: str, given: object) -> float:
    """A real number of any library; NaN for anything else."""
    array = np.asarray(None) if isinstance(given, (str, bytes)) else as_array(name, given)
    return float(array) if array.ndim == 0 and array.dtype.kind in "biuf" else math.nan


def choice(name: str, given: object, options: Iterable[str]) -> str:
    """One of the known names."""
    known = list(options)
    if not isinstance(given, str) or given not in known:
        raise InvalidArgument(name, expected=f"one of {', '.join(known)}", found=show(given))
    return given


def between_0_and_1(name: str, given: object) -> float:
    """A number strictly between 0 and 1."""
    expected = "a number between 0 and 1"
    if not 0 < (number := real_number(name, given, expected)) < 1:
        raise InvalidArgument(name, expected=expected, found=show(given))
    return number


def probability(name: str, given: object) -> float:
    """A number from 0 to 1."""
    return real_number(name, given, "a probability", 0.0, 1.0)


def usable_device(given: object) -> torch.device:
    """A device of this machine."""
    try:
        device = torch.device(given)  # pyrefly: ignore[bad-argument-type]
        torch.empty(1, device=device)
    except (RuntimeError, TypeError, ValueError, AssertionError, NotImplementedError):
        expected, found = "a device of this machine", f"{show(given)}, which PyTorch cannot use here"
        raise InvalidArgument("device", expected=expected, found=found, instead="device='cpu'") from None
    return device


def as_device(given: object) -> torch.device:
    """A device of this machine that supports double precision."""
    try:
        device = torch.device(given)  # pyrefly: ignore[bad-argument-type]
        torch.empty(1, dtype=torch.float64, device=device).sum().item()
    except (RuntimeError, TypeError, ValueError, AssertionError, NotImplementedError):
        expected = "a device of this machine that holds double precision"
        raise InvalidArgument("device", expected=expected, found=show(given), instead="device='cpu'") from None
    return device


def describe(array: np.ndarray, given: object) -> str:
    """A short description of an array."""
    return show(given) if array.ndim == 0 else f"{array.dtype} of shape {array.shape}"


def show(given: object) -> str:
    """An argument on one short line."""
    text = " ".join(repr(given).split())
    return text if len(text) <= 60 else f"a {kind(given)}"


def kind(given: object) -> str:
    """The name of an argument's type."""
    return type(given).__name__


def _plain(name: str, given: object) -> object:
    """Tensors, including those in lists, as arrays."""
    if isinstance(given, (list, tuple)):
        return [_plain(name, part) for part in given]
    return from_tensor(name, given) if isinstance(given, Tensor) else given


def from_tensor(name: str, tensor: Tensor) -> Shaped[np.ndarray, " *shape"]:
    """A tensor's numbers, whatever its device and layout."""
    if tensor.is_meta:
        raise InvalidArgument(name, expected="numbers", found="a tensor on the meta device, which has none")
    if tensor.layout is not torch.strided:
        tensor = tensor.to_dense()
    if tensor.is_floating_point() and (tensor.dtype is torch.bfloat16 or tensor.dtype.itemsize == 1):
        tensor = tensor.float()  # NumPy has no such dtype
    return tensor.detach().cpu().resolve_conj().resolve_neg().numpy()
