"""Sequences of symbols as people have them, as numbers that do not depend on the symbols' names."""

import math
from collections.abc import Iterable, Iterator, Mapping, Set
from itertools import chain
from numbers import Integral, Real
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Int, Shaped
from torch import Tensor

from ontogeny.core import arguments
from ontogeny.core.arguments import Numbers
from ontogeny.core.errors import InvalidArgument

Symbol = int | str | bool
if TYPE_CHECKING:
    Sequences = Numbers | Iterable[Numbers]  # one sequence of symbols, or many
else:
    Sequences = object

_EXPECTED = "one sequence of symbols (integers, strings or bools), or several"


class Symbols(NamedTuple):
    """Sequences end to end, their symbols numbered in the order in which they first appear.

    Numbered like this, data whose symbols are renamed are the same numbers, and so is all that is made of them.

    Attributes:
        tokens: (position,), from 0 on, all sequences one after the other.
        left: (position,), how many tokens there are from here to the end of the sequence, this one included: a word of
            L tokens begins wherever L are left.
        alphabet: the symbols that occur, sorted.
        numbers: (symbol,), the number of each symbol of the alphabet.
    """

    tokens: Int[np.ndarray, " position"]
    left: Int[np.ndarray, " position"]
    alphabet: tuple[Symbol, ...]
    numbers: Int[np.ndarray, " symbol"]

    @property
    def size(self) -> int:
        return len(self.alphabet)

    @property
    def lengths(self) -> Int[np.ndarray, " sequence"]:
        """How many tokens each sequence has; those that had none are left out."""
        return self.left[np.append(True, self.left[:-1] == 1)]

    @property
    def typical_length(self) -> int:
        """The length of the sequence that the median token is in."""
        return int(np.median(np.repeat(self.lengths, self.lengths)))

    @property
    def ages(self) -> Int[np.ndarray, " position"]:
        """How many tokens of the same sequence there are before each."""
        return np.repeat(self.lengths, self.lengths) - self.left

    def words(self, length: int) -> Int[np.ndarray, " word"]:
        """Where each word of so many tokens begins."""
        return np.flatnonzero(self.left >= length)

    def words_by_length(self, longest: int) -> Iterator[tuple[Int[np.ndarray, " word"], Int[np.ndarray, " word"]]]:
        """For lengths 1 … `longest`: where each word begins, and its rank among those that occur, for any length."""
        ranks = np.zeros(len(self.tokens), np.int64)
        for length in range(1, longest + 1):
            starts = self.words(length)
            _, found = np.unique(ranks[starts] * self.size + self.tokens[starts + length - 1], return_inverse=True)
            ranks[starts] = found
            yield starts, found


def read(sequence: Sequences | Symbols) -> Symbols:
    """One sequence or many, whatever holds them.

    A string is a sequence of its characters. An array or tensor has shape (n,), or (sequence, n) for many. A list or
    tuple holds symbols, or sequences of any lengths; a list of strings is one sequence, whose symbols are the strings.
    Floats that are whole are taken for integers.

    Raises:
        InvalidArgument: for no symbols, for what is no symbol (fractions, NaN, None, deeper lists), and for numbers
            among strings.
    """
    if isinstance(sequence, Symbols):
        return sequence
    parts = [part for part in _sequences(sequence) if part]
    if not parts:
        raise InvalidArgument("sequence", expected=_EXPECTED, found="no symbols")
    found: dict[Symbol, int] = {}
    try:
        tokens = np.array([found.setdefault(symbol, len(found)) for symbol in chain.from_iterable(parts)])
    except TypeError:  # not hashable: a list or an array where a symbol should be
        raise _no_symbol(next(s for s in chain.from_iterable(parts) if not isinstance(s, (Real, str)))) from None
    names = _names(found)
    order = sorted(range(len(names)), key=lambda number: names[number])
    left = np.concatenate([np.arange(len(part), 0, -1) for part in parts])
    return Symbols(tokens, left, tuple(names[number] for number in order), np.array(order))


def _sequences(given: object) -> Iterator[list]:
    """Each sequence as a list of Python's own values."""
    if isinstance(given, str):
        yield list(given)
        return
    if isinstance(given, (bytes, bytearray)):
        raise InvalidArgument("sequence", expected=_EXPECTED, found="bytes", instead="sequence.decode()")
    if isinstance(given, (Mapping, Set)) or not (hasattr(given, "__array__") or isinstance(given, Iterable)):
        raise InvalidArgument("sequence", expected=_EXPECTED, found=arguments.show(given))
    if hasattr(given, "__array__"):
        array = _array(given)
        if array.dtype != object or array.ndim == 2:
            yield from array.tolist() if array.ndim == 2 else [array.tolist()]
            return
        given = array.tolist()
    parts = [_unpacked(part) for part in given]  # pyrefly: ignore[not-iterable]
    if not any(isinstance(part, list) for part in parts):
        parts = [parts]
    for part in parts:
        if not isinstance(part, list):
            raise InvalidArgument("sequence", expected=_EXPECTED, found=f"{arguments.show(part)} among sequences")
        yield part


def _array(given: object) -> Shaped[np.ndarray, " *shape"]:
    array = arguments.as_array("sequence", given)
    if array.ndim not in (1, 2) or array.dtype.kind not in "biufUO" or np.ma.is_masked(given):
        found = "a masked array" if np.ma.is_masked(given) else arguments.describe(array, given)
        raise InvalidArgument("sequence", expected=f"{_EXPECTED}: shape (n,) or (sequence, n)", found=found)
    return array


def _unpacked(part: object) -> object:
    """A member of a list: a sequence as a list, a scalar of NumPy or torch as Python's own."""
    if isinstance(part, np.generic):
        return part.item()
    if isinstance(part, Tensor) and part.ndim == 0:
        return arguments.as_array("sequence", part).item()
    if hasattr(part, "__array__"):
        return _array(part).tolist()
    return [_unpacked(symbol) for symbol in part] if isinstance(part, (list, tuple, range)) else part


def _names(found: Iterable[object]) -> list[Symbol]:
    """The distinct symbols as strings, bools or integers."""
    symbols = list(found)
    for symbol in symbols:
        if not (isinstance(symbol, (str, Integral)) or (isinstance(symbol, float) and symbol.is_integer())):
            raise _no_symbol(symbol)
    strings = [symbol for symbol in symbols if isinstance(symbol, str)]
    if 0 < len(strings) < len(symbols):
        other = next(symbol for symbol in symbols if not isinstance(symbol, str))
        raise InvalidArgument("sequence", expected="symbols of one kind", found=f"{strings[0]!r} beside {other!r}")
    if strings or all(isinstance(symbol, bool) for symbol in symbols):
        return symbols  # pyrefly: ignore[bad-return]
    return [int(symbol) for symbol in symbols]  # pyrefly: ignore[bad-argument-type]


def _no_symbol(symbol: object) -> InvalidArgument:
    real = isinstance(symbol, float) and math.isfinite(symbol)
    return InvalidArgument(
        "sequence",
        expected=_EXPECTED,
        found=f"{arguments.show(symbol)}, which is no symbol",
        instead="np.digitize(x, np.quantile(x, [0.5])) for a series x of real numbers." if real else "",
    )
