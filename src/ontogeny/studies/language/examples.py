"""What heads say and serve at the end of training, as text: skip-trigrams, tokens in context, sizes of outputs."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import xarray as xr
from jaxtyping import Int
from torch import Tensor

from ontogeny.circuits import (
    PatternRules,
    most_affected,
    skip_trigram_bugs,
    skip_trigrams,
    tail_of,
    token_effects,
    token_patterns,
)
from ontogeny.data import TextData
from ontogeny.models import Transformer, heads
from ontogeny.stores import Checkpoints
from ontogeny.studies.language.texts import StudyText
from ontogeny.studies.language.universality import last_of, outputs

Make = Callable[[], Transformer]
REFERENCE = 2000  # sequences in which what is predictable is counted
_BRACKETS = {"(": ")", "[": "]", "{": "}"}
_QUOTES = ('"', "'")
TRIGRAMS, BUGS, EXAMPLES = 5, 3, 6


def sorted_tokens(text: TextData, config: StudyText, count: int) -> tuple[Int[Tensor, "sequence position"], xr.Dataset]:
    """Held-out sequences, and the pattern of each of their tokens."""
    tokens = text.validation["mixed"][:count]
    reach = config.planted.skip_span + 1 if config.source == "planted" else PatternRules().reach
    return tokens, token_patterns(
        tokens, text.train["mixed"][:REFERENCE], PatternRules(delimiters(text, config), reach)
    )


def delimiters(text: TextData, config: StudyText) -> dict[int, int]:
    """Numbers of the tokens that open -> of those that close: brackets of every kind, and quotes, which do both."""
    if config.source == "planted":
        return dict(zip(config.planted.rules.opening, config.planted.rules.closing, strict=True))
    names = text.token_strings(range(config.num_tokens))
    numbers = {name: number for number, name in enumerate(names)}
    known = _BRACKETS | {quote: quote for quote in _QUOTES}
    return {numbers[one]: numbers[other] for one, other in known.items() if one in numbers and other in numbers}


def said(run: Checkpoints, make: Make, names: Sequence[str]) -> xr.Dataset:
    """Skip-trigrams that each head of the first layer says most strongly, and what it must therefore say besides.

    Returns:
        Over (head, rank): `source`, `destination`, `output`, as text, `score`; over (head, bug): the same, `bug_…`.
    """
    model = last_of(run, make)
    first = [head.name for head in heads(model) if head.layer == 0]
    said, bugs = [], []
    for name in first:
        found = skip_trigrams(model, name, TRIGRAMS)
        rows = list(zip(*(found[end].values.tolist() for end in ("source", "destination", "output")), strict=True))
        crossed = skip_trigram_bugs(model, name, rows)
        said.append(found)
        bugs.append(crossed.isel(trigram=~crossed["served"].values).isel(trigram=slice(BUGS)))
    data: dict[str, Any] = {}
    for end in ("source", "destination", "output"):
        data[end] = (("head", "rank"), [[names[k] for k in each[end].values] for each in said])
        data[f"bug_{end}"] = (("head", "bug"), [_filled([names[k] for k in each[end].values], "") for each in bugs])
    data["score"] = (("head", "rank"), np.stack([each["score"].values for each in said]))
    data["bug_score"] = (("head", "bug"), [_filled(each["score"].values.tolist(), np.nan) for each in bugs])
    return xr.Dataset(data, {"head": first})


def served_examples(
    run: Checkpoints, make: Make, tokens: Tensor, patterns: xr.Dataset, names: Sequence[str]
) -> xr.Dataset:
    """The tokens that suffer most without each head, in their contexts.

    Returns:
        Over (head, rank): `before` and `token`, as text, `kind`, and `effect` in nats.
    """
    effects = token_effects(last_of(run, make), tokens)
    rows = []
    for name in effects["part"].values:
        found = most_affected(effects, tokens, str(name), EXAMPLES, before=12)
        kinds = [str(patterns["kind"].sel(sequence=each.sequence, position=each.position).item()) for each in found]
        before = ["".join(names[k] for k in each.context) for each in found]
        rows.append((before, [names[each.token] for each in found], kinds, [each.effect for each in found]))
    columns = dict(zip(("before", "token", "kind", "effect"), zip(*rows, strict=True), strict=True))
    data = {name: (("head", "rank"), np.array(values)) for name, values in columns.items()}
    return xr.Dataset(data, {"head": effects["part"].values})


def output_sizes(run: Checkpoints, make: Make, tokens: Tensor) -> xr.Dataset:
    """Norms of what each head writes at one position of each sequence.

    Returns:
        `size` (unit, sample); over `unit`: the Weibull `shape` of the tail, its limits `low` and `high`, and `best`,
        the law with the least AIC.
    """
    model = last_of(run, make)
    sizes = np.stack([np.linalg.norm(each, axis=1) for each in outputs(model, tokens)])
    tails = [tail_of(row) for row in sizes]
    data = {
        "size": (("unit", "sample"), sizes),
        "shape": ("unit", [tail.shape for tail in tails]),
        "low": ("unit", [tail.interval[0] for tail in tails]),
        "high": ("unit", [tail.interval[1] for tail in tails]),
        "best": ("unit", [tail.best for tail in tails]),
    }
    return xr.Dataset(data, {"unit": [head.name for head in heads(model)]})


def _filled(values: list, empty: object) -> list:
    return [*values, *[empty] * (BUGS - len(values))]
