"""Which checkpoints of a long series are taken, and which its regular spacing would have and it lacks."""

import itertools
import re
from collections import Counter
from collections.abc import Sequence

import numpy as np

from ontogeny.core.errors import InvalidArgument

_FORM = re.compile(r"(log|linear):(\d+)")


def on_grid(steps: Sequence[int], every: str | int | None) -> list[int]:
    """The steps nearest to a grid, in order.

    Args:
        steps: those there are.
        every: "log:24" for 24 steps spaced evenly in their logarithm from the first positive one to the last, with step
            0 as one of them where there is one; "linear:24" likewise, from the first to the last; a number for every
            multiple of it; None for all. The first and the last step are always taken by the first two.

    Raises:
        InvalidArgument: for anything else, or if no step is a multiple.
    """
    ordered = sorted(steps)
    if every is None:
        return ordered
    form = _FORM.fullmatch(every) if isinstance(every, str) else None
    if form and int(form[2]) > 1:
        return _nearest(ordered, int(form[2]), form[1] == "log")
    if isinstance(every, int) and not isinstance(every, bool) and every > 0:
        if multiples := [step for step in ordered if step % every == 0]:
            return multiples
        raise InvalidArgument(
            "every",
            expected=f"a number of which some step is a multiple ({ordered[0]} to {ordered[-1]})",
            found=str(every),
            instead='every="log:24", or every=None for all',
        )
    raise InvalidArgument(
        "every",
        expected='"log:24" or "linear:24" with the number of checkpoints, at least 2; or a number of steps',
        found=repr(every),
        instead='every="log:24"',
    )


def _nearest(steps: list[int], number: int, log: bool) -> list[int]:
    """At most `number` steps near an even grid: as many, unless there are fewer."""
    if len(steps) <= number:
        return steps
    zero = [0] if log and steps[0] == 0 else []
    places = np.array(steps[len(zero) :], dtype=float)
    places = np.log(places) if log else places
    best: list[int] = []
    # near the start of a logarithmic grid several points meet in one step, so that a finer grid is needed
    for points in range(number - len(zero), 50 * number):
        grid = np.linspace(places[0], places[-1], points) if points > 1 else places[-1:]
        taken = np.unique(np.abs(grid[:, None] - places[None]).argmin(1))
        if len(zero) + len(taken) > number:
            break
        best = [*zero, *(steps[len(zero) + int(index)] for index in taken)]
        if len(best) == number:
            break
    return best


def gaps(steps: Sequence[int]) -> list[int]:
    """Steps that the spacing of a series would have and that it lacks, such as 3000 in 1000, 2000, 4000, 5000.

    The spacing is the most common difference between neighbours, if it is that of at least half of them.
    """
    ordered = sorted(steps)
    differences = Counter(after - before for before, after in itertools.pairwise(ordered))
    if not differences:
        return []
    spacing, count = differences.most_common(1)[0]
    if count < 2 or 2 * count < sum(differences.values()):
        return []
    there = set(ordered)
    return [step for step in range(-(-ordered[0] // spacing) * spacing, ordered[-1], spacing) if step not in there]
