"""Settings of the grokking study."""

from pydantic import PositiveInt

from ontogeny.core.settings import Settings
from ontogeny.sampling import Calibrated, Fixed, PosteriorConfig
from ontogeny.studies.study import Preset, StudyConfig
from ontogeny.training import TrainingConfig

GENERALISING = TrainingConfig(
    num_steps=5000,
    batch_size=1,
    optimizer="adam",
    learning_rate=1e-3,
    weight_decay=1e-3,
    checkpoints_log=24,
    checkpoints_linear=16,
    state_every=2500,
    log_every=100,
)
MEMORISING = GENERALISING.model_copy(
    update={"num_steps": 1500, "weight_decay": 0.0, "checkpoints_log": 0, "checkpoints_linear": 60, "state_every": 1500}
)


class Shape(Settings):
    """Widths of the network: of the embedding, which both summands share, and of the hidden layer."""

    embedding: PositiveInt = 12
    hidden: PositiveInt = 48


class Sweeps(Settings):
    """Networks at the end of training, over the modulus and over the number of items.

    Attributes:
        moduli: of networks on the table of sums and on random labels.
        train_share: of the pairs.
        items: with random labels, at the modulus of the main networks; each divides the largest, so that all are
            trained by full batches of one size. They are trained without weight decay, as `memorising`.
        loss: at which these are compared.
        copies: networks of each kind.
        learning_rate, weight_decay, num_steps: of training over the moduli, by Adam with weight decay in the gradient.
    """

    moduli: tuple[int, ...] = (13, 17, 23, 29)
    train_share: float = 0.9
    items: tuple[int, ...] = (48, 96, 192, 384)
    loss: float = 0.05
    copies: PositiveInt = 2
    learning_rate: float = 3e-3
    weight_decay: float = 5e-4
    num_steps: PositiveInt = 2000


class Config(StudyConfig):
    """Everything that the study depends on. Every training is by full batches, whatever `batch_size`.

    Attributes:
        modulus: p of (a + b) mod p.
        train_share: of the p² pairs; the others are the test.
        networks: that are trained alike, each on pairs of its own.
        training: of these, by Adam with weight decay in the gradient; and of one with random labels.
        other_training: of one more network, by AdamW.
        memorising: of networks on the same pairs without weight decay, which never compute the sum.
        measured: checkpoints whose coefficients are measured, about evenly spaced in log step.
        first_measured: the earliest.
        posterior: nβ and γ along training; where they are None, what `ontogeny.measure` chooses for the first run.
        along: sampler of the run for which nβ and γ are chosen. Trials take a fifth of its budget; with 200,000
            gradients the masses that they found led chains astray (`step_too_large`).
        sampler: of every other coefficient.
        per_item, localization: nβ/n and γ where they are fixed: in the sweeps and for pairs of equal loss.
        published: γ of the sweep over moduli at nβ = n / log n.
        sweeps: see there.
        learned: accuracy from which a network counts as having learned.
        delay: least steps from training to test accuracy.
        rise, fall: least factor from the start to the peak of the coefficient, and least share by which it falls.
        slopes: the range of the slope of log λ̂ over log p.
        linear: least R² of λ̂ over the number of items.
        part: least distance of the coefficients of two solutions of equal loss, in units of its error.
        restricted, excluded: largest loss on all pairs with the key frequencies alone, and least training loss without
            them, as a share of log p.
        resamples: of a bootstrap.
    """

    modulus: PositiveInt = 23
    train_share: float = 0.75
    shape: Shape = Shape()
    networks: PositiveInt = 4
    training: TrainingConfig = GENERALISING
    other_training: TrainingConfig = TrainingConfig(
        num_steps=8000,
        batch_size=1,
        optimizer="adamw",
        learning_rate=1e-3,
        weight_decay=1.0,
        checkpoints_log=24,
        checkpoints_linear=16,
        state_every=4000,
        log_every=100,
    )
    memorising: TrainingConfig = MEMORISING
    measured: PositiveInt = 10
    first_measured: PositiveInt = 50
    posterior: PosteriorConfig = PosteriorConfig()
    along: Calibrated | Fixed = Calibrated(error=0.1, budget=600_000)
    sampler: Calibrated | Fixed = Calibrated(error=0.1, budget=200_000)
    per_item: float = 1.0
    localization: float = 30.0
    published: float = 5.0
    sweeps: Sweeps = Sweeps()
    learned: float = 0.95
    delay: PositiveInt = 1000
    rise: float = 2.0
    fall: float = 0.5
    slopes: tuple[float, float] = (1.34, 1.57)
    linear: float = 0.98
    part: float = 3.0
    restricted: float = 0.1
    excluded: float = 0.5
    resamples: PositiveInt = 999

    def fixed(self, count: int) -> PosteriorConfig:
        """The posterior at fixed nβ/n, of so many items."""
        return PosteriorConfig(nbeta=self.per_item * count, localization=self.localization)


PRESETS = {
    "quick": Preset("3 minutes", Config()),
    "standard": Preset(
        "30 minutes",
        Config(
            networks=12,
            measured=24,
            along=Calibrated(error=0.05),
            sampler=Calibrated(error=0.05, budget=500_000),
            sweeps=Sweeps(moduli=(13, 17, 23, 29, 37), copies=6),
        ),
    ),
}
