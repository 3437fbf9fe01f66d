"""Formatting of numbers and sentences."""

import math
import re
from collections.abc import Sequence
from html import escape

Number = float | int


def plain(text: object) -> str:
    """Escape text for a plotly figure, where some HTML is markup."""
    return escape(str(text), quote=False)


def literal(text: object) -> str:
    """Escape text for the prose of a page, where `**` and brackets are markup."""
    return re.sub(r"([\\*\[\]])", r"\\\1", str(text))


def shorten(text: str, length: int) -> str:
    """At most this many characters of a text, ending in an ellipsis if shortened."""
    return text if len(text) <= length else f"{text[: length - 1].rstrip()}…"


def shorten_start(text: str, length: int) -> str:
    """At most this many last characters of a text, after an ellipsis if shortened: run names differ at their ends."""
    return text if len(text) <= length else f"…{text[1 - length :].lstrip()}"


def visible(token: str) -> str:
    """A token with visible line ends, tabs and spaces."""
    return token.replace("\n", "⏎").replace("\t", "⇥").replace(" ", "·")


def number(value: Number | None, digits: int = 3) -> str:
    """A number with this many significant digits; a dash for none."""
    if value is None or math.isnan(value):
        return "–"
    if math.isinf(value) or abs(value) >= 1000:
        return _signed(f"{value:,.0f}")
    if value == 0:
        return "0"
    if abs(value) < 1e-3:
        return _signed(f"{value:.{digits - 1}e}")
    return _signed(f"{value:.{max(digits - 1 - math.floor(math.log10(abs(value))), 0)}f}")


def measured(value: Number | None, interval: Sequence[Number] | None = None) -> str:
    """A value with its interval, to two digits of half the interval's width: 0.412 [0.371, 0.453]."""
    if value is None or interval is None or not all(math.isfinite(v) for v in (value, *interval)):
        return number(value)
    half = (interval[1] - interval[0]) / 2
    if 0 < half < 1e-5:
        center, low, high = (number(v, 2) for v in (value, *interval))
        return f"{center} [{low}, {high}]"
    decimals = min(max(1 - math.floor(math.log10(half)), 0), 6) if half > 0 else 3
    center, low, high = (_signed(f"{v:,.{decimals}f}") for v in (value, *interval))
    return f"{center} [{low}, {high}]"


def with_error(value: Number, error: Number) -> str:
    """A value with its error, both to two digits of the error: 0.0007 ± 0.0023."""
    decimals = max(1 - math.floor(math.log10(error)), 0) if math.isfinite(error) and error > 0 else None
    if decimals is None or decimals > 6 or not math.isfinite(value):
        return number(value) if decimals is None else f"{number(value)} ± {number(error, 2)}"
    return f"{_signed(f'{value:,.{decimals}f}')} ± {error:,.{decimals}f}"


def p_value(value: Number | None) -> str:
    """A p-value to two digits, as a bound below 0.001."""
    if value is None or math.isnan(value):
        return "–"
    return "< 0.001" if value < 0.001 else f"{value:.2g}" if value < 0.1 else f"{value:.2f}"


def probability(value: Number) -> str:
    """A probability in whole percent, never rounded to 0 or 100 %."""
    if math.isnan(value):
        return "–"
    return "> 99 %" if 0.995 <= value < 1 else "< 1 %" if 0 < value < 0.005 else f"{value:.0%}".replace("%", " %")


def counted(count: int, noun: str) -> str:
    """`1 stage`, `4 stages`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def listed(items: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}" if items else ""


def steps(value: Number) -> str:
    """A training step in full: 6,000."""
    return f"{value:,.0f}"


def _signed(digits: str) -> str:
    return digits.replace("-", "−") if "e" not in digits else digits.replace("e-0", "e-").replace("e+0", "e")
