"""What a comparison found."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import xarray as xr

from ontogeny.comparison.roles import ChangeClass
from ontogeny.comparison.verdicts import Verdict


@dataclass(frozen=True)
class Comparison:
    """What `compare` found.

    Attributes:
        verdict: the kind of change and what it rests on.
        behaviour, places, activations: see `ontogeny.comparison.effects`; `behaviour` has `p_value` and `changed`.
        sampled: of `ontogeny.measurement.Responses`, over `step` (0 base, 1 tuned, 2 and more twins), for the most
            telling parts; None if none was sampled.
        undone: dataset -> steps of fine-tuning on the trusted data after which its change was undone, or None.
        told: the class of the change, if the roles of datasets were given.
        carried: over `dataset`, those that have changed, and `sample` of the fine-tuning data: see
            `ontogeny.comparison.influences.carriers`; None without these data or a change.
        report: path of the page.
    """

    verdict: Verdict
    behaviour: xr.Dataset
    places: xr.Dataset
    activations: xr.Dataset
    sampled: xr.Dataset | None
    undone: Mapping[str, int | None]
    told: ChangeClass | None
    carried: xr.Dataset | None
    report: Path
