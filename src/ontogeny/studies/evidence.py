"""What a claim expects, and what one seed can say of it: evidence, nothing, or an error."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ontogeny.development.nulls import Null
from ontogeny.studies.findings import Findings


@dataclass(frozen=True)
class Evidence:
    """What one seed says of one claim.

    Attributes:
        effect: what was measured.
        met: whether it meets the expectation.
        interval: its 95 % interval within the seed, by a bootstrap over probes, say.
        control: the control's own number, in words.
        null: the effect held against chance; None for an exact check, which has no p-value.
    """

    effect: float
    met: bool
    interval: tuple[float, float] | None = None
    control: str = ""
    null: Null | None = None


@dataclass(frozen=True)
class NotTested:
    """Why one seed cannot speak of one claim."""

    reason: str


@dataclass(frozen=True)
class Failed:
    """The error that a test of a claim raised."""

    error: str


Finding = Evidence | NotTested | Failed
Test = Callable[[Findings, Any, np.random.Generator], Evidence | NotTested]
AT_PRESET = NotTested("this preset is too small to show it")


@dataclass(frozen=True)
class Claim:
    """What a study expects. `presets`: those large enough to show it; None is all."""

    id: str
    title: str
    expects: str
    test: Test = field(repr=False)
    unit: str = ""
    source: str = ""
    presets: Collection[str] | None = None

    def tested_at(self, preset: str, tested: Collection[str] | None) -> bool:
        """Whether a run tests it: `tested`, the ids of its config, decides before the presets of the claim."""
        return self.id in tested if tested is not None else self.presets is None or preset in self.presets
