"""The figure style: colours for light and dark pages and colour-blind readers, and the axis of training steps."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from ontogeny.reports.wording import plain, shorten

# Every colour has a contrast of at least 3:1 on white and on near-black, so dark pages need no second set of colours.
# Every pair is distinguishable for deuteranopes and protanopes.
BLUE, ORANGE, GREEN, VIOLET, RUST = "#2f86d8", "#dc781e", "#12a083", "#6a4be0", "#a4452f"
PALETTE = (BLUE, ORANGE, GREEN, VIOLET, RUST)
NEUTRAL = "#7f8a98"
GRID = "rgba(127,138,152,0.20)"
CLEAR = "rgba(0,0,0,0)"
# From the start of training to its end, equally bright at both ends for the same reason.
SEQUENCE = ("#2f86d8", "#7377c9", "#b0659f", "#cf6a63", "#dc781e")
LINE_LENGTH = 40  # characters of a colour key that fit below a panel on a phone
FONT = "'Inter', 'Helvetica Neue', 'Segoe UI', Roboto, 'Liberation Sans', Arial, sans-serif"

_AXIS = {
    "gridcolor": GRID,
    "gridwidth": 1,
    "zeroline": False,
    "showline": False,
    "ticks": "",
    "title": {"standoff": 10, "font": {"size": 12}},
    "automargin": False,
}
TEMPLATE = go.layout.Template(
    layout={
        "font": {"family": FONT, "size": 12, "color": NEUTRAL},
        "paper_bgcolor": CLEAR,
        "plot_bgcolor": CLEAR,
        "colorway": PALETTE,
        "hovermode": "x unified",
        "hoverlabel": {"font": {"family": FONT, "size": 12}, "align": "left", "namelength": -1},
        "xaxis": _AXIS,
        "yaxis": {**_AXIS, "nticks": 6, "tickfont": {"size": 11}},
        "showlegend": False,
        "modebar": {"bgcolor": CLEAR, "color": NEUTRAL, "activecolor": NEUTRAL},
        "margin": {"l": 58, "r": 92, "t": 40, "b": 52},
    }
)


def translucent(color: str, alpha: float) -> str:
    """The `#rrggbb` colour with an opacity between 0 and 1, in CSS notation."""
    red, green, blue = (int(color[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{alpha:g})"


def along_sequence(fraction: float | int) -> str:
    """Colour at a fraction of the way from the start of training (0) to its end (1)."""
    channels = np.array([[int(color[i : i + 2], 16) for i in (1, 3, 5)] for color in SEQUENCE])
    at = np.linspace(0, 1, len(SEQUENCE))
    return "#" + "".join(f"{round(float(np.interp(fraction, at, channel))):02x}" for channel in channels.T)


def distinct_colors(count: int) -> list[str]:
    """`count` colours: from the palette if it is large enough, else evenly along the sequence."""
    return list(PALETTE[:count]) if count <= len(PALETTE) else [along_sequence(k / (count - 1)) for k in range(count)]


def color_key(colors: Mapping[str, str]) -> str:
    """Names in their colours, for the title of an axis, with line breaks for phones."""
    lines, used = [""], 0
    for name, color in colors.items():
        text = shorten(name, LINE_LENGTH)
        if used and used + len(text) + 3 > LINE_LENGTH:
            lines.append("")
            used = 0
        lines[-1] += f'<span style="color:{color}">● {plain(text)}</span>   '
        used += len(text) + 3
    return "<br>".join(line.rstrip() for line in lines)


def step_text(step: float | int) -> str:
    """A training step in few characters: 250, 1.5k, 20k, 3M."""
    for size, suffix in ((1e6, "M"), (1e3, "k")):
        if step >= size:
            return f"{step / size:.3g}{suffix}"
    return f"{step:.4g}"


@dataclass(frozen=True)
class StepAxis:
    """The logarithmic axis of training steps that all figures share.

    A logarithmic axis has no place for step 0. If the next step is 1 or 2, step 0 is drawn to its left under a tick
    "0". If it is later, the gap would misrepresent the distance, and step 0 is not drawn.

    Args:
        first: smallest positive step.
        last: largest step.
        has_zero: whether step 0 is among the steps.
    """

    first: float
    last: float
    has_zero: bool

    ZERO_AT = 0.4  # rounds to 0 in hover texts

    @classmethod
    def of(cls, steps: np.ndarray) -> "StepAxis":
        """The axis for these steps."""
        positive = steps[steps > 0]
        if positive.size == 0:
            return cls(1.0, 10.0, has_zero=bool(steps.size))
        return cls(float(positive.min()), float(positive.max()), has_zero=bool((steps == 0).any()))

    @property
    def left(self) -> float:
        """Where the axis begins."""
        if self.has_zero and self.first <= 2:
            return self.ZERO_AT / 1.25
        return self.first / (1.12 if self.last > self.first else 3)

    @property
    def right(self) -> float:
        """Where the axis ends."""
        return self.last * (1.06 if self.last > self.first else 3)

    def place(self, steps: np.ndarray) -> np.ndarray:
        """Where steps are drawn; NaN for a step 0 that has no place."""
        zero_at = self.ZERO_AT if self.left < self.ZERO_AT else np.nan
        return np.where(steps > 0, steps, zero_at)

    def within(self, steps: np.ndarray) -> np.ndarray:
        """Where edges of stages and intervals are drawn: never outside the axis."""
        return np.clip(steps.astype(float), self.left, self.right)

    def fraction(self, steps: np.ndarray) -> np.ndarray:
        """How far along the axis steps lie, from 0 to 1."""
        return np.log(self.within(steps) / self.left) / np.log(self.right / self.left)

    def layout(self, title: str = "training step") -> dict:
        """The plotly axis: type, range and ticks."""
        start = max(self.left, 1.0)
        decades = np.arange(np.floor(np.log10(start)), np.floor(np.log10(self.right)) + 1)
        ticks = [tick for tick in 10.0**decades if tick >= start]
        if len(ticks) < 3:
            ticks = [m * 10.0**d for d in decades for m in (1, 2, 5) if start <= m * 10.0**d <= self.right]
        labels = [step_text(tick) for tick in ticks]
        if self.left < self.ZERO_AT:
            ticks, labels = [self.ZERO_AT, *ticks], ["0", *labels]
        return {
            "type": "log",
            "range": [float(np.log10(self.left)), float(np.log10(self.right))],
            "tickmode": "array",
            "tickvals": ticks,
            "ticktext": labels,
            "tickangle": 0,
            "title": {"text": title},
            "unifiedhovertitle": {"text": "<b>step %{x:,.0f}</b>"},
        }
