"""The frozen config of the search for stages. Fix it before looking at the runs you report."""

from pydantic import Field

from ontogeny.core.settings import Settings
from ontogeny.development.usable import Coefficient


class StageConfig(Settings):
    """The definition of a stage boundary. Distances are in decades of the training step.

    Attributes:
        component: the component whose learning coefficient is staged; "all" is the whole model.
        coefficient: the variable that is staged, "llc_complexity" or "llc"; default: the complexity if it was measured.
            Away from a minimum the LLC is the complexity minus the descent, and also turns where the descent does.
        resolution: the shortest length scale of the smoothed curve, and the distance from both ends within which no
            boundaries are sought.
        confidence: of the simultaneous band of the slope curve. The slopes on both sides of a boundary must leave it.
            With 0.95, one flat curve in twenty has any significant slope, and a boundary needs two.
        prominence: at a boundary |slope| falls below this share of the smaller adjacent slope.
        tolerance: largest distance at which a posterior sample still counts as showing a boundary.
        min_probability: share of posterior samples that must show a boundary.
        num_samples: posterior samples of the curve; the probabilities are good to 1 / (2 √num_samples).
        num_grid: points on which the smooth curve is evaluated, evenly spaced in log step.
        seed: for the posterior samples and the optimiser's restarts.
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
