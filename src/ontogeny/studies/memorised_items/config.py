"""Settings of the memorised-items study."""

from pydantic import PositiveInt

from ontogeny.core.settings import Settings
from ontogeny.sampling import Calibrated, Fixed
from ontogeny.studies.grokking.config import Shape
from ontogeny.studies.study import Preset, StudyConfig
from ontogeny.training import TrainingConfig


class Tables(Settings):
    """Look-up tables of random labels.

    Attributes:
        items: N of each table.
        labels: K.
        per_item, localization: nβ/N and γ.
        sampler: of their coefficients.
    """

    items: tuple[int, ...] = (50, 100, 150, 200, 300, 400)
    labels: PositiveInt = 8
    per_item: float = 1.0
    localization: float = 1.0
    sampler: Calibrated | Fixed = Calibrated(error=0.03, budget=400_000)


class Exceptions(Settings):
    """Networks on the whole table of (a + b) mod p, with wrong labels for some pairs.

    Attributes:
        modulus: p.
        counts: of exceptions.
        copies: networks of each count.
        shape: of the network.
        per_item, localization: nβ/n and γ; n is p² for all, so that nβ is the same.
        sampler: of their coefficients.
        tolerated: rise of the loss in nats up to which weights are compressed.
    """

    modulus: PositiveInt = 13
    counts: tuple[int, ...] = (0, 8, 16, 32, 64)
    copies: PositiveInt = 3
    shape: Shape = Shape()
    per_item: float = 1.0
    localization: float = 30.0
    sampler: Calibrated | Fixed = Calibrated(error=0.07, budget=300_000)
    tolerated: float = 0.1


class Config(StudyConfig):
    """Everything that the study depends on. Every training is by full batches, whatever `batch_size`.

    Attributes:
        tables, exceptions: see there.
        table_training: of each table, from normal weights.
        training: of the networks.
        straight: least R² of λ̂ over the items of the tables.
        learned: least accuracy on all pairs, for a network to count.
        resamples: of a bootstrap.
    """

    tables: Tables = Tables()
    exceptions: Exceptions = Exceptions()
    table_training: TrainingConfig = TrainingConfig(
        num_steps=300,
        batch_size=1,
        optimizer="adam",
        learning_rate=0.02,
        checkpoints_log=0,
        checkpoints_linear=1,
        log_every=100,
    )
    training: TrainingConfig = TrainingConfig(
        num_steps=3000,
        batch_size=1,
        optimizer="adam",
        learning_rate=3e-3,
        weight_decay=5e-4,
        checkpoints_log=0,
        checkpoints_linear=1,
        state_every=3000,
        log_every=100,
    )
    straight: float = 0.99
    learned: float = 0.99
    resamples: PositiveInt = 999


PRESETS = {
    "quick": Preset("3 minutes", Config()),
    "standard": Preset(
        "20 minutes",
        Config(
            tables=Tables(items=(50, 100, 150, 200, 300, 400, 600, 800), sampler=Calibrated(error=0.02)),
            exceptions=Exceptions(counts=(0, 4, 8, 16, 24, 32, 48, 64), copies=6, sampler=Calibrated(error=0.05)),
        ),
    ),
}
