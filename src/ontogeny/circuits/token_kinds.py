"""What pattern makes each token predictable, and how many patterns of each kind a part has learned by heart."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import xarray as xr
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ontogeny.core.errors import InvalidArgument

KINDS = ("induction", "bracket", "skip n-gram", "n-gram")
OTHER = "other"
_ERRORS = 5.0
Tokens = Int[np.ndarray, "sequence position"]


@dataclass(frozen=True)
class PatternRules:
    """How a token is assigned to a pattern. The first rule that holds decides, in this order.

    - induction: the pair (token before, token) occurred earlier in the sequence;
    - bracket: the token closes the innermost open delimiter, at least two positions back;
    - skip n-gram: a token two to `reach` positions back raises the probability of this one by `lift` or more in the
      reference text, over `count` occurrences or more, and by more than the token before does; or, together with the
      token before, by `gain` or more above what the token before does alone, and by five standard errors;
    - n-gram: the token before raises it by `lift` or more.

    The order is that of Wang et al., 2410.02984; they sorted by hand, and the rules and thresholds are ours.

    Attributes:
        delimiters: number of an opening token -> that of its closing one. A quote closes itself.
        reach: largest distance of a skip n-gram.
        lift: P(token | earlier token) / P(token).
        gain: P(token | earlier token, token before) / P(token | token before).
        count: occurrences in the reference text.
    """

    delimiters: Mapping[int, int] = field(default_factory=dict)
    reach: int = 6
    lift: float = 5.0
    gain: float = 1.5
    count: int = 5

    def __post_init__(self) -> None:
        if self.reach < 2:
            raise InvalidArgument("reach", expected="a distance ≥ 2", found=str(self.reach), instead="reach=6")


def token_patterns(
    tokens: Int[Tensor, "sequence position"],
    reference: Int[Tensor, "text position"],
    rules: PatternRules | None = None,
) -> xr.Dataset:
    """The pattern of each token but the first of its sequence.

    Args:
        tokens: sequences to sort, those of `token_effects`.
        reference: text in which lifts are counted; other text than `tokens`, or rare pairs are called n-grams because
            they occur where they are sorted.
        rules: default `PatternRules()`, which knows no delimiters.

    Returns:
        Over (sequence, position): `kind`, one of `KINDS` or "other"; `source`, the number of the earlier token of the
        pattern (of an induction the token before, of a bracket the opening one), -1 for none; `token`, its own number.

    When not to trust it: sorting says what could have made a token predictable, not what did: an ablation does
        (`multigrams`).
    """
    chosen, given, text = rules or PatternRules(), tokens.cpu().numpy(), reference.cpu().numpy()
    size = 1 + int(max(given.max(), text.max()))
    before = given[:, :-1]
    pairs = _lifts(given, text, [1], size, chosen.count)[0]
    skips = _lifts(given, text, range(2, chosen.reach + 1), size, chosen.count)
    best, gained = skips.max(0), _gains(given, text, range(2, chosen.reach + 1), size, chosen.count)
    skipping = (best >= chosen.lift) & (best > pairs)
    farther = np.where(skipping, skips.argmax(0), gained.argmax(0))
    opened = _closed(given, chosen.delimiters)
    at = np.arange(1, given.shape[1])[None, :]
    skipped = np.take_along_axis(given, np.maximum(at - farther - 2, 0), 1)
    rows = (
        ("induction", _repeated(given), before),
        ("bracket", opened >= 0, opened),
        ("skip n-gram", skipping | (gained.max(0) >= chosen.gain), skipped),
        ("n-gram", pairs >= chosen.lift, before),
    )
    kind, source = np.full(before.shape, OTHER, dtype="U16"), np.full(before.shape, -1)
    for name, holds, earlier in reversed(rows):
        kind, source = np.where(holds, name, kind), np.where(holds, earlier, source)
    alone = np.sum([holds for _, holds, _ in rows], axis=0) == 1
    dims = ("sequence", "position")
    found = {"kind": (dims, kind), "source": (dims, source), "token": (dims, given[:, 1:]), "alone": (dims, alone)}
    return xr.Dataset(found, {"sequence": np.arange(len(given)), "position": at[0]})


def multigrams(effects: xr.Dataset, sorted_tokens: xr.Dataset, least: float = 0.5) -> xr.Dataset:
    """How many tokens of each kind a part predicts, and how many patterns these make.

    Args:
        effects: of `token_effects`, (part, sequence, position).
        sorted_tokens: of `token_patterns`, on the same tokens.
        least: nats by which the loss of a token must rise without the part.

    Returns:
        Over (part, kind): `tokens`, the affected ones; `multigrams`, the different pairs (earlier token, token) among
        them; `expected`, the tokens that there would be if the part affected all kinds alike.
    """
    kinds = (*KINDS, OTHER)
    kind, source, token = (sorted_tokens[name].values for name in ("kind", "source", "token"))
    shares = np.array([(kind == name).mean() for name in kinds])
    counts, different = np.zeros((2, effects.sizes["part"], len(kinds)), dtype=int)
    for row, part in enumerate(effects["part"].values):
        hit = effects["effect"].sel(part=part).values >= least
        for column, name in enumerate(kinds):
            there = hit & (kind == name)
            counts[row, column] = there.sum()
            different[row, column] = len(set(zip(source[there].tolist(), token[there].tolist(), strict=True)))
    dims, expected = ("part", "kind"), counts.sum(1, keepdims=True) * shares
    found = {"tokens": (dims, counts), "multigrams": (dims, different), "expected": (dims, expected)}
    return xr.Dataset(found, {"part": effects["part"].values, "kind": list(kinds)})


def _repeated(tokens: Tokens) -> Bool[np.ndarray, "sequence later"]:
    """Whether the pair of each token and the one before occurred earlier in the sequence."""
    pairs = tokens[:, :-1].astype(np.int64) * (tokens.max() + 1) + tokens[:, 1:]
    seen = np.zeros(pairs.shape, dtype=bool)
    for row, own in enumerate(pairs):
        first = np.unique(own, return_index=True)[1]
        seen[row] = True
        seen[row, first] = False
    return seen


def _closed(tokens: Tokens, delimiters: Mapping[int, int]) -> Int[np.ndarray, "sequence later"]:
    """The opening delimiter that each token closes from at least two positions back; -1 for none."""
    found = np.full((len(tokens), tokens.shape[1] - 1), -1)
    if not delimiters:
        return found
    closing = set(delimiters.values())
    for row, own in enumerate(tokens.tolist()):
        stack = list[tuple[int, int]]()
        for place, token in enumerate(own):
            if stack and delimiters[stack[-1][0]] == token:
                opening, since = stack.pop()
                if place - since > 1:
                    found[row, place - 1] = opening
            elif token in delimiters:
                stack.append((token, place))
            elif token in closing:  # closes nothing that is open: the nesting is not known from here on
                stack.clear()
    return found


def _lifts(
    tokens: Tokens, text: Tokens, distances: "range | list[int]", size: int, least: int
) -> Float[np.ndarray, "distance sequence later"]:
    """P(token | token d back) / P(token) in the text, at each token but the first; 0 for pairs seen too rarely.

    Pairs at all the distances are counted together: a skip n-gram has no fixed gap.
    """
    codes = np.concatenate([(text[:, :-d].astype(np.int64) * size + text[:, d:]).ravel() for d in distances])
    known, counts = np.unique(codes, return_counts=True)
    firsts = np.bincount(np.concatenate([text[:, :-d].ravel() for d in distances]), minlength=size)
    seconds = np.bincount(np.concatenate([text[:, d:].ravel() for d in distances]), minlength=size) / len(codes)
    found = np.zeros((len(distances), len(tokens), tokens.shape[1] - 1))
    for row, d in enumerate(distances):
        earlier, later = tokens[:, :-d].astype(np.int64), tokens[:, d:]
        seen = _looked_up(earlier * size + later, known, counts)
        rate = np.divide(seen, firsts[earlier] * seconds[later], out=np.zeros(seen.shape), where=seen >= least)
        found[row, :, d - 1 :] = rate
    return found


def _gains(
    tokens: Tokens, text: Tokens, distances: range, size: int, least: int
) -> Float[np.ndarray, "distance sequence later"]:
    """P(token | token d back, token before) / P(token | token before) in the text, at each token but the first.

    0 where the three were seen too rarely, or no more often than five standard errors above what the last two say.
    Triples at all the distances are counted together.
    """
    base = size * size
    triples = np.concatenate([_codes(text, d, size).ravel() for d in distances])
    known, counts = np.unique(triples, return_counts=True)
    contexts, seen = np.unique(triples // size, return_counts=True)
    ends = _codes(text, 1, size).ravel() % base
    pairs, times = np.unique(ends, return_counts=True)
    befores = np.bincount(ends // size, minlength=size)
    found = np.zeros((len(distances), len(tokens), tokens.shape[1] - 1))
    for row, d in enumerate(distances):
        codes = _codes(tokens, d, size)
        together, context = _looked_up(codes, known, counts), _looked_up(codes // size, contexts, seen)
        alone = _looked_up(codes % base, pairs, times) / np.maximum(befores[codes % base // size], 1)
        expected = context * alone
        rate = np.divide(together, expected, out=np.zeros(codes.shape), where=(together >= least) & (expected > 0))
        found[row, :, d - 1 :] = np.where(together - expected >= _ERRORS * np.sqrt(expected), rate, 0)
    return found


def _codes(tokens: Tokens, distance: int, size: int) -> Int[np.ndarray, "sequence later"]:
    """One number for the token `distance` back, the one before and the token itself."""
    earlier, before, own = tokens[:, :-distance], tokens[:, distance - 1 : -1], tokens[:, distance:]
    return (earlier.astype(np.int64) * size + before) * size + own


def _looked_up(codes: np.ndarray, known: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """How often each code was counted."""
    place = np.searchsorted(known, codes).clip(max=len(known) - 1)
    return np.where(known[place] == codes, counts[place], 0)
