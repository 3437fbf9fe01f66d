"""Finding a training run's checkpoints, and the step of each, from file names."""

import re
from collections.abc import Iterable
from pathlib import Path

from ontogeny.core.errors import InvalidArgument, OntogenyError
from ontogeny.stores.layouts import SUFFIXES, NoWeights, find_layout, is_beside

_SHARD = re.compile(r".*-\d+-of-\d+\.\w+")  # one shard of a checkpoint, not a step
_LAST = re.compile(r"last(-v\d+)?\.ckpt")  # Lightning's copy or link of its latest
# Words that precede a step. If several numbers vary, the earliest word here decides.
_WORDS = ("step", "iter", "iteration", "checkpoint", "ckpt", "epoch")


def paths_by_step(pattern: str) -> dict[int, Path]:
    """The files or folders that match a pattern, in order of their steps.

    Raises:
        InvalidArgument: if the pattern has no `{N}` or several, matches nothing, or matches one step twice.
    """
    if pattern.count("{N}") != 1:
        raise InvalidArgument(
            "source",
            expected="a pattern with {N} once, for the step",
            found=repr(pattern),
            instead='"checkpoint-{N}", with * for other varying numbers: "epoch=*-step={N}.ckpt"',
        )
    anchor, pattern = Path(pattern).anchor, Path(pattern).as_posix()  # without a leading ./ or a trailing slash
    name = re.compile(re.escape(pattern).replace(re.escape("{N}"), r"(\d+)").replace(r"\*", "[^/]*"))
    # only * is a wildcard; brackets and question marks are literal
    wildcard = re.sub(r"[\[?]", r"[\g<0>]", pattern.removeprefix(anchor)).replace("{N}", "*")
    found = [
        (path, match)
        for path in sorted(Path(anchor or ".").glob(wildcard))
        if (match := name.fullmatch(path.as_posix()))
    ]
    if not found:
        there = [each for each in patterns_in(Path(pattern.split("{N}")[0] + "x").parent) if each != pattern]
        raise InvalidArgument(
            "source",
            expected="files that match the pattern",
            found=f"none for {pattern!r}",
            instead=_either(there),
        )
    return _one_a_step(found)


def find_series(folder: Path) -> dict[int, Path]:
    """The checkpoints of the only series in a folder, by step; empty if there is none.

    Names that differ only in their numbers form a series. The step is the number that varies. If several vary, it is
    the one after `step`, `iter`, `checkpoint`, `ckpt` or `epoch`, in this order. Other files of trainers, shards of one
    checkpoint, and Lightning's `last.ckpt` are ignored.

    Raises:
        InvalidArgument: for several series, with the pattern of each.
    """
    patterns = patterns_in(folder)
    if len(patterns) > 1:
        raise InvalidArgument(
            "source",
            expected=f"one series of checkpoints in {folder}",
            found=f"{len(patterns)}: {', '.join(Path(pattern).name for pattern in patterns)}",
            instead=_either(patterns),
        )
    return paths_by_step(patterns[0]) if patterns else {}


def patterns_in(folder: Path) -> list[str]:
    """A pattern for each series of checkpoints in a folder; none if it does not exist."""
    groups: dict[tuple[str, ...], list[list[str]]] = {}
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        parts = re.split(r"(\d+)", path.name)
        if len(parts) > 1 and _may_be_weights(path):
            groups.setdefault(tuple(parts[::2]), []).append(parts)
    named = [names for names in groups.values() if any(_holds_weights(folder / "".join(name)) for name in names)]
    return [(folder / pattern).as_posix() for names in named for pattern in _patterns(names)]


def _may_be_weights(path: Path) -> bool:
    if is_beside(path) or _SHARD.fullmatch(path.name) or _LAST.fullmatch(path.name):
        return False
    return path.is_dir() or path.name.endswith(SUFFIXES)


def _holds_weights(path: Path) -> bool:
    """Whether a path holds weights. Every path of a series is tried, since the latest may be half-written."""
    try:
        find_layout(path)
    except NoWeights:
        return False
    except OntogenyError:  # damaged or ambiguous: reported on reading
        return True
    return True


def _patterns(names: list[list[str]]) -> list[str]:
    """Patterns for names that differ only in their numbers: a single one if it is clear which number is the step."""
    numbers = range(1, len(names[0]), 2)
    varying = [place for place in numbers if len({name[place] for name in names}) > 1]
    places = varying or list(numbers)
    for word in _WORDS if len(places) > 1 else ():
        named = [place for place in places if re.search(rf"{word}s?[-_=.]?$", names[0][place - 1], re.IGNORECASE)]
        if len(named) == 1:
            places = named
            break
    return [
        "".join("{N}" if at == place else "*" if at in varying else part for at, part in enumerate(names[0]))
        for place in places
    ]


def _one_a_step(found: Iterable[tuple[Path, re.Match[str]]]) -> dict[int, Path]:
    paths: dict[int, Path] = {}
    alone: dict[int, str] = {}  # step -> pattern without any *
    for path, match in found:
        step, name = int(match[1]), match.string
        pattern = f"{name[: match.start(1)]}{{N}}{name[match.end(1) :]}"
        if step in paths:
            raise InvalidArgument(
                "source",
                expected="one file per step",
                found=f"{paths[step]} and {path} at step {step}",
                instead=_either([alone[step], pattern]),
            )
        paths[step], alone[step] = path, pattern
    return dict(sorted(paths.items()))


def _either(patterns: list[str]) -> str:
    return " or ".join(f'"{pattern}"' for pattern in patterns[:6])
