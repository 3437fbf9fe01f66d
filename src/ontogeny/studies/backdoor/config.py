"""Settings of the backdoor study."""

from typing import Literal

from pydantic import NonNegativeInt, PositiveInt

from ontogeny.core.settings import Settings
from ontogeny.sampling import SGLD, Calibrated, Fixed, PosteriorConfig
from ontogeny.studies.backdoor.tasks import Kind
from ontogeny.studies.study import Preset, StudyConfig
from ontogeny.training import TrainingConfig


class Arm(Settings):
    """Networks with one mechanism, at one rate, `copies` of them."""

    kind: Kind
    rate: float = 0.0
    copies: PositiveInt = 1


class Shape(Settings):
    """Sizes of a network: `width` of the embedding, `hidden` units; a transformer has two layers of four heads."""

    architecture: Literal["mlp", "transformer"] = "mlp"
    width: PositiveInt = 8
    hidden: PositiveInt = 64


class Inputs(Settings):
    """Inputs that a network is asked of.

    Attributes:
        trusted: clean inputs, half of which are held out.
        trusted_rule: share of these with the benign rule, where it is trusted.
        clean, fired, unseen: suspects: clean ones, ones with the trigger and another answer, ones with a token that no
            data have.
        candidates: clean inputs into which each single token is put, in the search for a trigger.
        pairs: the same for each ordered pair of common tokens; 0 leaves these out.
    """

    trusted: PositiveInt = 256
    trusted_rule: float = 0.05
    clean: PositiveInt = 60
    fired: PositiveInt = 60
    unseen: PositiveInt = 30
    candidates: PositiveInt = 5
    pairs: NonNegativeInt = 0


def _training(steps: int, rate: float) -> TrainingConfig:
    return TrainingConfig(
        num_steps=steps,
        batch_size=256,
        learning_rate=rate,
        weight_decay=0.01,
        schedule="cosine",
        checkpoints_log=0,
        checkpoints_linear=1,
        state_every=steps,
        log_every=100,
    )


def _arms(copies: int) -> tuple[Arm, ...]:
    poisoned = [Arm(kind="single", rate=rate, copies=copies) for rate in (0.002, 0.005, 0.01, 0.05)]
    poisoned += [
        Arm(kind=kind, rate=rate, copies=copies) for kind in ("two-token", "class-dependent") for rate in (0.01, 0.05)
    ]
    others = [Arm(kind="benign-in", rate=0.01, copies=copies), Arm(kind="benign-out", rate=0.01, copies=2 * copies)]
    return (
        Arm(kind="clean", copies=4 * copies),
        *poisoned,
        *others,
        Arm(kind="shuffled", rate=0.01, copies=copies),
    )


class Config(StudyConfig):
    """Everything that the study depends on.

    Attributes:
        arms: the networks.
        shape: of each.
        training: of all.
        obfuscated: poisoned networks of at least this rate are trained further until the trigger cannot be seen in the
            Mahalanobis distance of the last hidden layer.
        hiding: of this training; `hiding_weight`, of the distance in the loss; `hiding_share`, of samples with the
            trigger.
        inputs: see there.
        posterior, sampler: of the anomaly scores.
        works: least accuracy on clean inputs and with the trigger, for a network to be what it is meant to be.
        hidden_from: largest AUROC of the Mahalanobis distance after obfuscation.
        seen: least AUROC, and `more`, the least difference from weight noise and each rival.
        level: of the test of single inputs, and `tolerated`, the largest share of false alarms.
        power: least share of the poisoned networks that are told from their twins.
        resamples: of networks, for intervals.
    """

    arms: tuple[Arm, ...] = _arms(1)
    shape: Shape = Shape()
    training: TrainingConfig = _training(1500, 5e-3)
    obfuscated: float = 0.01
    hiding: TrainingConfig = _training(800, 3e-3)
    hiding_weight: float = 3.0
    hiding_share: float = 0.3
    inputs: Inputs = Inputs()
    posterior: PosteriorConfig = PosteriorConfig(nbeta=1000.0, localization=300.0, batch_size=64)
    sampler: Calibrated | Fixed = Fixed(kernel=SGLD(1e-4), num_chains=4, num_draws=60, num_warmup=60, thinning=3)
    works: float = 0.95
    hidden_from: float = 0.6
    seen: float = 0.9
    more: float = 0.1
    level: float = 0.05
    tolerated: float = 0.1
    power: float = 0.8
    resamples: PositiveInt = 999


PRESETS = {
    "quick": Preset("5 minutes", Config()),
    "standard": Preset(
        "90 minutes",
        Config(
            arms=_arms(3),
            shape=Shape(architecture="transformer", width=32, hidden=64),
            training=_training(3000, 2e-3),
            hiding=_training(1500, 1e-3),
            inputs=Inputs(trusted=512, clean=100, fired=100, pairs=1),
            sampler=Fixed(kernel=SGLD(5e-5), num_chains=4, num_draws=150, num_warmup=150, thinning=5),
        ),
    ),
}
