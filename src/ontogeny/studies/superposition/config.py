"""Settings of the superposition study."""

from typing import Annotated, Literal

from pydantic import Field, PositiveInt, model_validator

from ontogeny.core.errors import InvalidArgument
from ontogeny.core.settings import Settings
from ontogeny.sampling import Calibrated, Fixed, PosteriorConfig
from ontogeny.studies.study import Preset, StudyConfig
from ontogeny.training import TrainingConfig

Density = Annotated[float, Field(gt=0, le=1)]
Densities = tuple[Density, Density]


class Sweep(Settings):
    """Networks on features of equal importance, one for each density, evenly spaced in its logarithm.

    Attributes:
        features, hidden: n and m.
        densities: least and largest probability 1 - S with which a feature is on.
        count: of densities.
        training: of all at once, on fresh inputs.
    """

    features: PositiveInt = 64
    hidden: PositiveInt = 12
    densities: Densities = (0.17, 0.8)
    count: PositiveInt = 24
    training: TrainingConfig

    @model_validator(mode="after")
    def _is_narrow(self) -> "Sweep":
        if self.hidden >= self.features:
            expected, found = f"fewer than the {self.features} features, which must share them", str(self.hidden)
            raise InvalidArgument("hidden", expected=expected, found=found, instead="hidden=12")
        return self


class Diagram(Settings):
    """Networks of one dimension less than features, over densities and relative importances of the last feature.

    Attributes:
        features: n; the others have importance 1.
        side: densities, and importances.
        densities, importances: least and largest of each, evenly spaced in their logarithms.
        margin: cells are near a boundary if the exact losses of the two best solutions differ by less than this share.
        training: of all at once, on fresh inputs.
        tries: networks at each cell, from other weights; the one with the lowest loss counts.
    """

    features: Literal[2, 3] = 2
    side: PositiveInt = 10
    densities: Densities = (0.03, 1.0)
    importances: tuple[float, float] = (0.1, 10.0)
    margin: float = Field(default=0.05, ge=0)
    training: TrainingConfig
    tries: PositiveInt = 4


class Pairs(Settings):
    """Networks on pairs of features that go together, that exclude each other, or that are independent.

    Attributes:
        pairs, hidden: features are twice as many as pairs; m.
        density: probability with which a feature is on; at most ½ where pairs exclude each other.
        copies: networks of each kind that count.
        tries: networks for each of these, from other weights; the one with the lowest loss counts.
        training: of all at once, on fresh inputs.
    """

    pairs: PositiveInt = 2
    hidden: PositiveInt = 2
    density: float = Field(default=0.2, gt=0, le=0.5)
    copies: PositiveInt = 4
    tries: PositiveInt = 8
    training: TrainingConfig


class Config(StudyConfig):
    """Everything that the study depends on.

    Attributes:
        sweep, pairs: see there.
        diagram, three: of two features in one dimension, and of three in two.
        followed: density of the network that is followed along its training.
        num_samples: n of its coefficients.
        posterior, sampler: of these; nβ and γ are chosen from pilot checkpoints unless given.
        length: least |W_i| of a feature that counts as represented.
        near: largest distance of a dimensionality from that of a geometry, to be of it.
        plateau: least share of the represented features of a network that are of a geometry, for it to be reached.
        reached: geometries of the five that must be reached.
        opposite, orthogonal: largest cosine of the columns of an exclusive pair, and largest |cosine| of a pair that
            goes together, to count as such.
        paired: least share of the pairs of each kind that count.
        agreement: least share of the cells away from boundaries that are as theory says.
    """

    sweep: Sweep
    diagram: Diagram
    three: Diagram
    pairs: Pairs
    followed: Density = 0.4
    num_samples: PositiveInt = 20_000
    posterior: PosteriorConfig = PosteriorConfig()
    sampler: Calibrated | Fixed = Calibrated(error=0.05, budget=200_000)
    length: float = 0.3
    near: float = 0.02
    plateau: float = 0.5
    reached: PositiveInt = 3
    opposite: float = -0.8
    orthogonal: float = 0.2
    paired: float = 0.8
    agreement: float = 0.9


def _training(steps: int, batch: int, rate: float, log: int = 0) -> TrainingConfig:
    options = {"num_steps": steps, "batch_size": batch, "learning_rate": rate, "schedule": "cosine"}
    kept = {"checkpoints_log": log, "checkpoints_linear": 0, "state_every": 2000, "log_every": 100}
    return TrainingConfig.model_validate(options | kept)


PRESETS = {
    "quick": Preset(
        "3 minutes",
        Config(
            sweep=Sweep(count=20, training=_training(10_000, 256, 5e-3, log=12)),
            diagram=Diagram(side=8, training=_training(800, 256, 3e-2)),
            three=Diagram(features=3, side=8, training=_training(800, 256, 3e-2)),
            pairs=Pairs(training=_training(2000, 128, 1e-2)),
        ),
    ),
    "standard": Preset(
        "15 minutes a seed",
        Config(
            sweep=Sweep(count=40, training=_training(30_000, 256, 5e-3, log=24)),
            diagram=Diagram(side=12, training=_training(2000, 512, 3e-2)),
            three=Diagram(features=3, side=12, training=_training(2000, 512, 3e-2)),
            pairs=Pairs(copies=12, training=_training(6000, 512, 1e-2)),
        ),
    ),
}
