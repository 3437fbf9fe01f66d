"""The one frozen config of the search for stages: fix it before looking at the runs that are reported."""

from pydantic import Field

from ontogeny.core.settings import Settings
from ontogeny.development.usable import Coefficient


class StageConfig(Settings):
    """What counts as a stage boundary. Distances are in decades of the training step.

    Attributes:
        component: whose learning coefficient is staged; "all" is the whole model.
        coefficient: the variable that is staged, "llc_complexity" or "llc"; by default the complexity where it was
            measured. Away from a minimum the LLC is the complexity less the descent, and turns where the descent does.
        resolution: the shortest length scale the smoothed curve may have, and how far from both ends of the curve
            boundaries are looked for.
        confidence: of the band around the whole slope curve that the rise or fall on either side of a boundary must
            leave: with 0.95, one flat curve in twenty has any significant slope at all, and a boundary needs two.
        prominence: at a boundary |slope| falls below this share of the smaller of the two slopes that flank it.
        tolerance: how far from a boundary a posterior sample may show it and still count as showing it.
        min_probability: share of posterior samples that must show a boundary.
        num_samples: posterior samples of the curve; the probabilities are good to 1 / (2 √num_samples).
        num_grid: points on which the smooth curve is evaluated, evenly spaced in log step.
        seed: of the posterior samples and of the optimiser's restarts.
    """

    component: str = "all"
    coefficient: Coefficient | None = None
    resolution: float = Field(0.1, gt=0)
    confidence: float = Field(0.95, gt=0, lt=1)
    prominence: float = Field(0.5, gt=0, lt=1)
    tolerance: float = Field(0.2, gt=0)
    min_probability: float = Field(0.8, ge=0, le=1)
    num_samples: int = Field(300, ge=100)
    num_grid: int = Field(300, ge=50)
    seed: int = 0
