"""Settings of the reversibility study."""

from pydantic import Field, PositiveFloat, PositiveInt

from ontogeny.core.settings import Settings
from ontogeny.sampling import Calibrated, Fixed, PosteriorConfig
from ontogeny.studies.reversibility.grammar import Grammar, Shape
from ontogeny.studies.study import Preset, StudyConfig
from ontogeny.training import TrainingConfig

PROCEDURES = ("sft", "deep", "ascent", "pruned", "scratch")
"""How refusal is installed, see `recipe`."""
SCRATCH = "scratch"


class Attack(Settings):
    """Fine-tuning that is to undo the refusal.

    Attributes:
        share: of the prompts of class R that are fine-tuned on with their answers; the others are looked at.
        steps: the most that are made.
        batch_size: of a step.
        rates: learning rates of fine-tuning on class R.
        unrelated: learning rate of fine-tuning on class N alone, and on class R with the answers of other prompts.
        undone: mean probability of the answers to other prompts of class R from which the refusal is undone.
    """

    share: float = Field(default=0.5, gt=0, lt=1)
    steps: PositiveInt = 60
    batch_size: PositiveInt = 12
    rates: tuple[PositiveFloat, ...] = (3e-4, 1e-3, 3e-3)
    unrelated: PositiveFloat = 3e-3
    undone: float = Field(default=0.4, gt=0, lt=1)


class Basin(Settings):
    """Random directions through the weights, as in VISAGE, each tensor scaled to the norm of its weights.

    Attributes:
        reach, points: α runs over so many values from -reach to reach.
        directions: how many.
    """

    reach: PositiveFloat = 0.5
    points: PositiveInt = 21
    directions: PositiveInt = 5


class Config(StudyConfig):
    """Everything that the study depends on.

    Attributes:
        grammar, shape, attack, basin: see there.
        copies: networks of each procedure.
        answering, refusing: training of the answers, and each of the two stages that install the refusal.
        pruned: share of the hidden units that are cut out, those that class R needs most.
        posterior, sampler: of the coefficients.
        path: points of linear interpolation to the network before the refusal.
        predicts: least partial rank correlation of a predictor with log steps.
        resamples: of a bootstrap, and permutations of a null.
    """

    grammar: Grammar = Grammar()
    shape: Shape = Shape()
    attack: Attack = Attack()
    basin: Basin = Basin()
    copies: PositiveInt = 8
    answering: TrainingConfig
    refusing: TrainingConfig
    pruned: float = Field(default=0.25, gt=0, lt=1)
    posterior: PosteriorConfig = PosteriorConfig(nbeta=300.0, localization=100.0)
    sampler: Calibrated | Fixed = Calibrated(error=0.1, budget=5_000, num_chains=2)
    path: PositiveInt = 11
    predicts: float = 0.4
    resamples: PositiveInt = 999


def _training(steps: int, rate: float, batch: int) -> TrainingConfig:
    return TrainingConfig(
        num_steps=steps,
        batch_size=batch,
        optimizer="adam",
        learning_rate=rate,
        checkpoints_log=0,
        checkpoints_linear=0,
        state_every=500,
        log_every=50,
    )


PRESETS = {
    "quick": Preset("4 minutes", Config(answering=_training(300, 5e-3, 36), refusing=_training(70, 1e-3, 36))),
    "standard": Preset(
        "an hour a seed",
        Config(
            grammar=Grammar(items=24, questions=12),
            shape=Shape(d_model=64, num_heads=4, d_mlp=256),
            attack=Attack(steps=200, batch_size=24, rates=(1e-4, 3e-4, 1e-3, 3e-3)),
            copies=12,
            answering=_training(1500, 2e-3, 96),
            refusing=_training(200, 1e-3, 96),
            sampler=Calibrated(error=0.05, budget=40_000),
        ),
    ),
}
