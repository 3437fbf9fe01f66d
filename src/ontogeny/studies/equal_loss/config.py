"""Settings of the study of networks of equal loss."""

from pydantic import PositiveInt

from ontogeny.core.settings import Settings
from ontogeny.sampling import Calibrated, Fixed, PosteriorConfig
from ontogeny.studies.grokking.config import GENERALISING, MEMORISING, Shape
from ontogeny.studies.study import Preset, StudyConfig
from ontogeny.training import TrainingConfig


class Sums(Settings):
    """Modular addition: networks that add, and networks on the same pairs that remember them.

    Attributes:
        modulus, train_share: of the table; see `grokking`.
        shape: of a network.
        training, memorising: of networks that come to add, and of those without weight decay, which never do.
    """

    modulus: PositiveInt = 23
    train_share: float = 0.75
    shape: Shape = Shape()
    training: TrainingConfig = GENERALISING.model_copy(update={"checkpoints_log": 0, "checkpoints_linear": 10})
    memorising: TrainingConfig = MEMORISING


class Matching(Settings):
    """Brackets: networks that count, and networks that match nested brackets.

    Attributes:
        length, unequal: see `Brackets`.
        hidden: units of each of two layers.
        training: of both.
        loss: on the sequences on which both agree, at which networks are compared.
    """

    length: PositiveInt = 12
    unequal: PositiveInt = 396
    hidden: PositiveInt = 32
    training: TrainingConfig = TrainingConfig(
        num_steps=1500,
        batch_size=1,
        optimizer="adam",
        learning_rate=3e-3,
        weight_decay=1e-4,
        checkpoints_log=0,
        checkpoints_linear=100,
        state_every=1500,
        log_every=100,
    )
    loss: float = 0.02


class Config(StudyConfig):
    """Everything that the study depends on.

    Attributes:
        networks: of each algorithm.
        sums, matching: see there.
        per_item, localization: nβ/n and γ of every posterior, which is that of the shared training data.
        sampler: of all draws.
        close: largest difference of the losses of a pair, in nats.
        rule: least accuracy on data that tell the algorithms apart, from which a network has its own.
        certain: distance in units of its error from which an instrument tells two networks apart.
        separation: least distance of the mean coefficients of both algorithms, in standard deviations of networks.
        resamples: of a bootstrap, and permutations of a null.
    """

    networks: PositiveInt = 10
    sums: Sums = Sums()
    matching: Matching = Matching()
    per_item: float = 1.0
    localization: float = 30.0
    sampler: Calibrated | Fixed = Calibrated(error=0.1, budget=60_000)
    close: float = 0.005
    rule: float = 0.9
    certain: float = 1.96
    separation: float = 3.0
    resamples: PositiveInt = 999

    def posterior(self, count: int) -> PosteriorConfig:
        """That of so many items."""
        return PosteriorConfig(nbeta=self.per_item * count, localization=self.localization)


PRESETS = {
    "quick": Preset("5 minutes", Config()),
    "standard": Preset("20 minutes", Config(networks=20, sampler=Calibrated(error=0.05, budget=200_000))),
}
