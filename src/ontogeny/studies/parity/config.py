"""Settings of the parity study."""

from pydantic import PositiveInt

from ontogeny.core.settings import Settings
from ontogeny.sampling import Calibrated, Fixed, PosteriorConfig
from ontogeny.studies.parity.tasks import Parities
from ontogeny.studies.study import Preset, StudyConfig
from ontogeny.training import TrainingConfig


class Tasks(Settings):
    """The sparse parities that a network learns; see `Parities`."""

    count: PositiveInt = 10
    bits: PositiveInt = 12
    subset: PositiveInt = 3
    exponent: float = 1.0

    def drawn(self, seed: int, exponent: float | None = None) -> Parities:
        """With sets of bits of this seed, and perhaps another law of frequencies."""
        law = self.exponent if exponent is None else exponent
        return Parities(self.count, self.bits, self.subset, law, seed)


class Sweep(Settings):
    """Networks at the end of one training, of which some have learned more tasks than others.

    Attributes:
        exponents: of the frequencies of their tasks.
        copies: networks of each exponent, each with sets of bits of its own.
        num_steps: of their training.
    """

    exponents: tuple[float, ...] = (0.5, 1.0, 1.5, 2.0)
    copies: PositiveInt = 8
    num_steps: PositiveInt = 1000


class Answers(Settings):
    """Susceptibilities of the first network to the data of each task.

    Attributes:
        checkpoints: how many, evenly spaced in log step.
        samples: of each task.
        sampler: of the draws.
    """

    checkpoints: PositiveInt = 8
    samples: PositiveInt = 100
    sampler: Calibrated | Fixed = Calibrated(error=0.05, budget=300_000)


class Config(StudyConfig):
    """Everything that the study depends on.

    Attributes:
        tasks, sweep, answers: see there.
        hidden: units of a network.
        networks: that are followed along training, each with sets of bits of its own.
        training: of these.
        samples: n, of the posteriors.
        posterior: nβ and γ of every coefficient.
        measured: checkpoints whose coefficients are measured, about evenly spaced in log step.
        first_measured: the earliest.
        sampler: of coefficients.
        learned: accuracy from which a task counts as learned.
        order: least rank correlation of a task's frequency, and of the peak of its cross-coefficient, with when it is
            learned.
        along: least rank correlation of λ̂ with the number of learned tasks along training.
        resamples: of a bootstrap, and permutations of a null.
    """

    tasks: Tasks = Tasks()
    sweep: Sweep = Sweep()
    answers: Answers = Answers()
    hidden: PositiveInt = 64
    networks: PositiveInt = 4
    training: TrainingConfig = TrainingConfig(
        num_steps=4000,
        batch_size=512,
        optimizer="adam",
        learning_rate=3e-3,
        weight_decay=1e-4,
        checkpoints_log=30,
        checkpoints_linear=10,
        state_every=2000,
        log_every=100,
    )
    samples: PositiveInt = 2000
    posterior: PosteriorConfig = PosteriorConfig(nbeta=300.0, localization=100.0)
    measured: PositiveInt = 10
    first_measured: PositiveInt = 100
    sampler: Calibrated | Fixed = Calibrated(error=0.05, budget=300_000)
    learned: float = 0.9
    order: float = 0.5
    along: float = 0.8
    resamples: PositiveInt = 999


PRESETS = {
    "quick": Preset("3 minutes", Config()),
    "standard": Preset(
        "20 minutes",
        Config(
            networks=6,
            measured=24,
            sweep=Sweep(copies=16),
            answers=Answers(checkpoints=12, samples=400),
            sampler=Calibrated(error=0.05),
        ),
    ),
}
