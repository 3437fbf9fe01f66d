"""Rows of activations as distinct contexts: one row for each input that they were read after, with its weight."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from ontogeny.core import arguments
from ontogeny.core.arguments import Numbers
from ontogeny.core.errors import InvalidArgument

# Contexts as ids, as one padded array of tokens, or token by token.
Groups = Numbers
_EXPECTED = "ids of shape (row,), tokens of shape (row, position), or a sequence of tokens a row"
_SAME = 1e-5  # relative to the greatest: targets of one context may differ by the rounding of single precision
_CONSTANT = 1e-20  # of a variance relative to the mean square: rounding


class Contexts(NamedTuple):
    """Distinct contexts of positive weight, in the order in which they first appear.

    Attributes:
        rows: the first row of each.
        weights: of each, summing to 1.
        tokens: aligned to the right, −1 before the first token; None where contexts are known by their ids alone.
        order: the rows of positive weight, sorted by context.
        starts: where each context begins in `order`.
    """

    rows: Int[np.ndarray, " context"]
    weights: Float[np.ndarray, " context"]
    tokens: Int[np.ndarray, "context position"] | None
    order: Int[np.ndarray, " kept"]
    starts: Int[np.ndarray, " context"]

    def mean_of(self, name: str, array: Float[np.ndarray, "row column"]) -> Float[np.ndarray, "context column"]:
        """The mean over the rows of each context, in double precision.

        Raises:
            InvalidArgument: for values that are not finite in rows of positive weight.
        """
        rows = array[self.order].astype(np.float64)
        if not np.isfinite(rows).all():
            bad = np.sort(self.order[~np.isfinite(rows).all(axis=1)])
            raise InvalidArgument(name, expected="finite numbers", found=f"others in rows {bad[:5].tolist()} …")
        return np.add.reduceat(rows, self.starts, axis=0) / self._counts[:, None]

    def value_of(self, name: str, array: Float[np.ndarray, "row column"]) -> Float[np.ndarray, "context column"]:
        """What is the same in all rows of a context.

        Raises:
            InvalidArgument: if it is not, or not finite.
        """
        value = self.mean_of(name, array)
        spread = np.abs(array[self.order] - np.repeat(value, self._counts, axis=0)).max(axis=1)
        if (spread > _SAME * np.abs(value).max()).any():
            row = int(self.order[spread.argmax()])
            raise InvalidArgument(
                name,
                expected="the same value wherever the same context is",
                found=f"a difference of {spread.max():.2g} from its mean in row {row}",
                instead="groups that tell apart all contexts, since each has one target and one weight.",
            )
        return value

    def varying(self, name: str, array: Float[np.ndarray, "row column"]) -> Float[np.ndarray, "context column"]:
        """What is the same in all rows of a context, and not in all contexts.

        Raises:
            InvalidArgument: if it is the same in all contexts, or is refused by `value_of`.
        """
        value = self.value_of(name, array)
        if np.var(value, axis=0).max() <= _CONSTANT * np.square(value).max():
            raise InvalidArgument(name, expected="values that differ between contexts", found="the same everywhere")
        return value

    @property
    def _counts(self) -> Int[np.ndarray, " context"]:
        return np.diff(self.starts, append=len(self.order))


def distinct_contexts(groups: Groups, weights: Numbers | None, num_rows: int) -> Contexts:
    """Rows collapsed to distinct contexts.

    Args:
        groups: ids (row,); or tokens (row, position), negative where there is none; or one sequence of tokens a row.
        weights: of the context, the same in all its rows and counted once; contexts of weight 0 are left out. None
            weighs each context by the number of its rows.
        num_rows: how many there must be.

    Raises:
        InvalidArgument: for another number of rows, and for weights that are negative, not finite, all zero or
            different in rows of one context.
    """
    tokens, ids = _identify(groups)
    if len(ids) != num_rows:
        raise InvalidArgument("groups", expected=f"a context for each of {num_rows} rows", found=f"{len(ids)} contexts")
    kept = np.arange(num_rows)
    if weights is not None:
        weights = as_weights(weights, num_rows)
        kept = np.flatnonzero(weights > 0)
    _, first, inverse, counts = np.unique(ids[kept], return_index=True, return_inverse=True, return_counts=True)
    by_appearance = np.argsort(first)
    rank = np.argsort(by_appearance)
    order = kept[np.argsort(rank[inverse], kind="stable")]
    starts = np.concatenate([[0], np.cumsum(counts[by_appearance])[:-1]])
    rows = kept[first[by_appearance]]
    contexts = Contexts(
        rows, counts[by_appearance] / len(kept), None if tokens is None else tokens[rows], order, starts
    )
    if weights is None:
        return contexts
    # Relative to the greatest, since the probabilities of long contexts are all tiny.
    share = contexts.value_of("weights", (weights / weights.max())[:, None])[:, 0]
    return contexts._replace(weights=share / share.sum())


def _identify(groups: Groups) -> tuple[Int[np.ndarray, "row position"] | None, Int[np.ndarray, " row"]]:
    """Right-aligned tokens, if known, and one id for each distinct context."""
    ragged = isinstance(groups, (list, tuple)) and any(np.ndim(each) == 1 for each in groups)
    if not ragged:
        given = arguments.as_array("groups", groups)
        if given.ndim == 1 and given.dtype.kind in "biufU" and not (given != given).any():
            return None, np.unique(given, return_inverse=True)[1]
        if given.ndim != 2 or given.dtype.kind not in "iu":
            raise InvalidArgument("groups", expected=_EXPECTED, found=arguments.describe(given, groups))
        # False sorts before True, and a stable sort keeps the order of the tokens.
        order = np.argsort(given >= 0, axis=1, kind="stable")
        tokens = np.maximum(np.take_along_axis(given.astype(np.int64), order, axis=1), -1)
    else:
        sequences = [_sequence(each) for each in groups]
        tokens = np.full((len(sequences), max(map(len, sequences))), -1, dtype=np.int64)
        for row, sequence in zip(tokens, sequences, strict=True):
            row[len(row) - len(sequence) :] = sequence
    return tokens, np.unique(tokens, axis=0, return_inverse=True)[1].reshape(-1)


def _sequence(given: Numbers) -> Int[np.ndarray, " position"]:
    tokens = arguments.as_array("groups", given)
    if tokens.ndim != 1 or (tokens.size and tokens.dtype.kind not in "biu"):
        raise InvalidArgument("groups", expected=_EXPECTED, found=f"a context {arguments.show(given)}")
    return tokens.astype(np.int64)


def as_weights(given: Numbers, num_rows: int) -> Float[np.ndarray, " row"]:
    """Weights in double precision, refused where they are none."""
    expected = f"numbers for {num_rows} rows, not negative, not all zero"
    weights = arguments.real_array("weights", given, expected)
    if weights.shape != (num_rows,):
        expected = f"one number for each of {num_rows} rows"
        raise InvalidArgument("weights", expected=expected, found=f"shape {weights.shape}")
    if (weights < 0).any() or not weights.any():
        found = f"numbers from {weights.min()} to {weights.max()}"
        raise InvalidArgument("weights", expected=expected, found=found)
    return weights
