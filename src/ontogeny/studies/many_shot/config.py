"""Settings of the many-shot study."""

import math

import numpy as np
from pydantic import Field, PositiveInt, field_validator

from ontogeny.core.errors import InvalidArgument
from ontogeny.core.settings import Settings
from ontogeny.models import TransformerConfig
from ontogeny.sampling import Calibrated, Fixed, PosteriorConfig
from ontogeny.studies.many_shot.languages import Languages
from ontogeny.studies.study import Preset, StudyConfig
from ontogeny.training import TrainingConfig

ABSENT, ALONE = math.inf, -math.inf  # shifts of the log-odds against a language: it is never shown, or nothing else is


class Mixture(Settings):
    """The languages that sequences are of, see `Languages`.

    Attributes:
        tokens, distances: see there; the first language is the one that distances are from.
        weights: of the languages in pre-training.
        length: tokens of a sequence.
    """

    tokens: PositiveInt = 4
    distances: tuple[float, ...] = (0.25, 0.5, 1.0)
    weights: tuple[float, ...] = (0.4, 0.2, 0.2, 0.2)
    length: PositiveInt = 24

    def drawn(self, seed: int) -> Languages:
        return Languages(self.tokens, self.distances, seed)

    def against(self, language: int, shift: float) -> float:
        """m: the log-odds against a language, raised by `shift` from those of pre-training."""
        weight = self.weights[language]
        return float(np.log((1 - weight) / weight) + shift)

    def shifted(self, language: int, shift: float) -> list[float]:
        """The weights with the log-odds against a language raised by `shift`, the others in proportion."""
        chosen = 1 / (1 + math.exp(self.against(language, shift))) if math.isfinite(shift) else float(shift < 0)
        rest = 1 - self.weights[language]
        found = [(1 - chosen) * weight / rest for weight in self.weights]
        found[language] = chosen
        return found

    def crossing(self, language: int, shift: float) -> float:
        """n* = m/d, the tokens after which the evidence has outweighed the prior."""
        return self.against(language, shift) / self.distances[language - 1]


class Shape(Settings):
    """Of the transformer."""

    num_layers: PositiveInt = 2
    d_model: PositiveInt = 32
    num_heads: PositiveInt = 2
    d_mlp: PositiveInt = 64
    init_std: float = 0.2

    def transformer(self, mixture: Mixture) -> TransformerConfig:
        sizes = {"vocabulary_size": mixture.tokens, "context_length": mixture.length, "positions": "learned"}
        return TransformerConfig.model_validate(self.model_dump() | sizes)


class Thresholds(Settings):
    """What the claims are held to, fixed before the seeds that are reported.

    Attributes:
        exact: largest difference of laws from brute-force Bayes.
        slope: the mean slope before fine-tuning is at least this and at most its inverse.
        offset: how near to 1 the ratio of measured to predicted shifts of the offset must be.
        stays: largest mean |log| of the ratio of slopes after to before.
        crossing: least rank correlation of crossings, and of change points, with n*.
        tokens: largest median distance of change points from n*.
        wins: share of the networks whose curve the Bayesian law predicts best.
    """

    exact: float = 1e-10
    slope: float = 0.8
    offset: float = 0.25
    stays: float = 0.2
    crossing: float = 0.8
    tokens: float = 3.0
    wins: float = 0.5


class Config(StudyConfig):
    """Everything that the study depends on.

    Attributes:
        mixture, shape, thresholds: see there.
        shifts: by which the log-odds against each language but the first are raised in fine-tuning, in nats.
        sequences: that pre-training draws from.
        training, tuning: of the network, and of its fine-tuned copies.
        tested_sequences: of each language, on which laws are read.
        single: sequences whose slope and offset are fitted one by one.
        brute_length: tokens of the words on which laws are held against brute force.
        rows: n of the posteriors.
        observed: sequences of each language whose losses are recorded at every draw.
        posterior, sampler: of the coefficients by position.
        heads: whether susceptibilities of heads by position are sampled, of two networks.
        resamples: of a bootstrap, and permutations of a null.
    """

    mixture: Mixture = Mixture()
    shape: Shape = Shape()
    thresholds: Thresholds = Thresholds()
    shifts: tuple[float, ...] = (1.0, 2.0)
    sequences: PositiveInt = 30_000
    training: TrainingConfig
    tuning: TrainingConfig
    tested_sequences: PositiveInt = 400
    single: PositiveInt = 20
    brute_length: int = Field(default=4, ge=2)
    rows: PositiveInt = 1000
    observed: PositiveInt = 120
    posterior: PosteriorConfig = PosteriorConfig(nbeta=300.0, localization=100.0)
    sampler: Calibrated | Fixed = Calibrated(error=0.05, budget=8_000, num_chains=2)
    heads: bool = True
    resamples: PositiveInt = 499

    @field_validator("shifts")
    @classmethod
    def _suppress(cls, shifts: tuple[float, ...]) -> tuple[float, ...]:
        if not shifts or not all(0 < each < math.inf for each in shifts):
            expected = "finite numbers above 0, in nats"
            raise InvalidArgument("shifts", expected=expected, found=str(shifts), instead="shifts=(1.0, 2.0)")
        return shifts

    def arms(self) -> list[tuple[int, float]]:
        """(language, shift) of each fine-tuned network: those suppressed, those never shown, a twin, and one alone."""
        others = range(1, len(self.mixture.weights))
        suppressed = [(language, shift) for language in others for shift in (*self.shifts, ABSENT)]
        return [*suppressed, (1, 0.0), (len(self.mixture.weights) - 1, ALONE)]


def _training(steps: int, rate: float, batch: int = 32) -> TrainingConfig:
    return TrainingConfig(
        num_steps=steps,
        batch_size=batch,
        optimizer="adam",
        learning_rate=rate,
        schedule="cosine",
        warmup_steps=steps // 25,
        checkpoints_log=0,
        checkpoints_linear=0,
        state_every=1000,
        log_every=50,
    )


PRESETS = {
    "quick": Preset("3 minutes", Config(training=_training(2000, 1e-2), tuning=_training(200, 3e-3))),
    "standard": Preset(
        "an hour a seed",
        Config(
            mixture=Mixture(length=64, distances=(0.15, 0.3, 0.6, 1.0), weights=(0.36, 0.16, 0.16, 0.16, 0.16)),
            shape=Shape(d_model=64, num_heads=4, d_mlp=256),
            shifts=(1.0, 2.0, 3.0, 4.0),
            sequences=200_000,
            training=_training(10_000, 5e-3, 64),
            tuning=_training(1000, 1e-3),
            tested_sequences=1000,
            sampler=Calibrated(error=0.05, budget=60_000),
        ),
    ),
}
