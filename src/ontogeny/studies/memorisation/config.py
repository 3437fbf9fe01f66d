"""Settings of the memorisation study."""

from pydantic import Field, PositiveInt, field_validator, model_validator

from ontogeny.core.errors import InvalidArgument
from ontogeny.core.settings import Settings
from ontogeny.sampling import Calibrated, Fixed, PosteriorConfig
from ontogeny.studies.study import Preset, StudyConfig
from ontogeny.training import TrainingConfig


class Repeats(Settings):
    """Networks on data of which one point is repeated.

    Attributes:
        size: different data points.
        counts: how often the first occurs.
        copies: datasets for each count.
    """

    size: PositiveInt = 1280
    counts: tuple[PositiveInt, ...] = (1, 4, 16, 64, 256)
    copies: PositiveInt = 3


class Config(StudyConfig):
    """Everything that the study depends on.

    Attributes:
        features, hidden: n and m.
        density: probability 1 - S with which a feature is on in a data point.
        sizes: T, data points of a dataset, increasing.
        copies: datasets of each size, each with a network of its own.
        training: of all networks at once, on all T points at every step if they are no more than a batch, else on
            some of them drawn at random.
        strong: the weight decay beside that of `training`.
        repeats: see there.
        test_samples: fresh points of which test losses are means.
        rows: n of the coefficients: every dataset is repeated to this number of rows, so that all have one nβ.
        posterior, sampler: of these.
        polygons: sizes at which hidden vectors are held against regular polygons; triangles apart, see the claim.
        close: largest median relative distance of the dimensionality of points from 2/T.
        ends: how many of the smallest and of the largest sizes are the ends.
        ordered: least share of the networks at the ends whose dimensionalities are ordered as expected.
        bump, flat: least and largest ratio of the highest test loss between the ends to the larger of those at them,
            for there to be a bump, and none.
    """

    features: PositiveInt = 200
    hidden: PositiveInt = 2
    density: float = Field(default=0.03, gt=0, le=1)
    sizes: tuple[int, ...] = (3, 4, 5, 6, 10, 20, 40, 80, 160, 320, 640, 1280, 2560)
    copies: PositiveInt = 3
    training: TrainingConfig
    strong: float = Field(default=1.0, ge=0)
    repeats: Repeats = Repeats()
    test_samples: PositiveInt = 5000
    rows: PositiveInt = 2560
    posterior: PosteriorConfig = PosteriorConfig()
    sampler: Calibrated | Fixed = Calibrated(error=0.05, budget=100_000)
    polygons: tuple[int, ...] = (4, 5, 6)
    close: float = 0.1
    ends: PositiveInt = 3
    ordered: float = 0.9
    bump: float = 1.1
    flat: float = 1.05

    @model_validator(mode="after")
    def _is_narrow(self) -> "Config":
        if self.hidden >= self.features:
            expected, found = f"fewer than the {self.features} features, which must share them", str(self.hidden)
            raise InvalidArgument("hidden", expected=expected, found=found, instead="hidden=2")
        return self

    @field_validator("sizes")
    @classmethod
    def _has_points(cls, sizes: tuple[int, ...]) -> tuple[int, ...]:
        if not sizes or min(sizes) < 1 or list(sizes) != sorted(set(sizes)):
            expected = "numbers of data points, at least 1 and increasing"
            raise InvalidArgument("sizes", expected=expected, found=str(sizes), instead="sizes=(3, 4, 5, 6, 40, 640)")
        return sizes


def _training(steps: int, batch: int, rate: float) -> TrainingConfig:
    return TrainingConfig(
        num_steps=steps,
        batch_size=batch,
        learning_rate=rate,
        weight_decay=0.01,
        schedule="cosine",
        warmup_steps=steps // 20,
        checkpoints_log=0,
        checkpoints_linear=0,
        state_every=1000,
        log_every=100,
    )


PRESETS = {
    "quick": Preset("3 minutes", Config(training=_training(3000, 128, 1e-2))),
    "standard": Preset(
        "25 minutes a seed", Config(features=500, density=0.012, training=_training(5000, 256, 5e-3), rows=5120)
    ),
}
