"""What pattern makes each token predictable, and how many patterns of each kind a part has learned by heart."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import xarray as xr
from jaxtyping import Bool, Int
from torch import Tensor

from ontogeny.circuits.pattern_counts import PatternCounts
from ontogeny.core.errors import InvalidArgument

KINDS = ("induction", "bracket", "skip n-gram", "n-gram")
OTHER = "other"
Tokens = Int[np.ndarray, "sequence position"]


@dataclass(frozen=True)
class PatternRules:
    """How a token is assigned to a pattern. The first rule that holds decides, in this order.

    - induction: the pair (token before, token) occurred earlier in the sequence;
    - bracket: the token closes the innermost open delimiter, at least two positions back;
    - skip n-gram: a token two to `reach` positions back raises the probability of this one by `lift` or more in the
      reference text, over `count` occurrences or more, and by more than the token before does; or, together with the
      token before, by `gain` or more above what the token before does alone, and by five standard errors. A skip has no
      fixed gap: occurrences at the distance at which there are most do not count, so that the end of a phrase of three
      tokens or more is none;
    - n-gram: the token before, or the two before together, raise it by `lift` or more, over `count` occurrences.

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
        if self.reach < 3:  # of one distance alone, a fixed gap cannot be told from a skip
            raise InvalidArgument("reach", expected="a distance ≥ 3", found=str(self.reach), instead="reach=6")


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
    counts = PatternCounts(text, size, chosen.count)
    pairs, phrases = counts.pair_lift(given), counts.phrase_lift(given)
    skips, gained = counts.skip_lifts(given, chosen.reach), counts.skip_gains(given, chosen.reach)
    best = skips.max(0)
    skipping = (best >= chosen.lift) & (best > pairs)
    farther = np.where(skipping, skips.argmax(0), gained.argmax(0))
    opened = _closed(given, chosen.delimiters)
    at = np.arange(1, given.shape[1])[None, :]
    skipped = np.take_along_axis(given, np.maximum(at - farther - 2, 0), 1)
    rows = (
        ("induction", _repeated(given), before),
        ("bracket", opened >= 0, opened),
        ("skip n-gram", skipping | (gained.max(0) >= chosen.gain), skipped),
        ("n-gram", np.maximum(pairs, phrases) >= chosen.lift, before),
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
