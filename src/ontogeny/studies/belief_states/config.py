"""The belief-state study's one frozen config, and its presets."""

from typing import Literal

from pydantic import Field

from ontogeny.compmech import GHMM, BeliefRegressionConfig, process
from ontogeny.core.settings import Settings
from ontogeny.models import RecurrentConfig, TransformerConfig
from ontogeny.sampling import Calibrated, Fixed, PosteriorConfig
from ontogeny.training import TrainingConfig

Preset = Literal["quick", "standard", "paper"]


class ProcessConfig(Settings):
    """A named process (`ontogeny.compmech.process_names`) and its parameters; sequences begin in its stationary state.

    Attributes:
        context_length: tokens of a sequence; a network predicts all but the first.
        num_sequences: of the training set.
    """

    name: str = "mess3"
    parameters: dict[str, float] = Field(default_factory=dict)
    context_length: int = 10
    num_sequences: int = 500_000

    def make(self) -> GHMM:
        return process(self.name, **self.parameters)


class Architecture(Settings):
    """Shape of the transformer, and of the recurrent control."""

    num_layers: int = 4
    d_model: int = 64
    num_heads: int = 4
    d_mlp: int = 256
    init_std: float = 0.02
    recurrent_layers: int = 1
    recurrent_width: int = 64

    def transformer(self, vocabulary_size: int, context_length: int) -> TransformerConfig:
        return TransformerConfig(
            vocabulary_size=vocabulary_size,
            context_length=context_length,
            num_layers=self.num_layers,
            d_model=self.d_model,
            num_heads=self.num_heads,
            d_mlp=self.d_mlp,
            init_std=self.init_std,
            positions="learned",
        )

    def recurrent(self, vocabulary_size: int) -> RecurrentConfig:
        return RecurrentConfig(
            vocabulary_size=vocabulary_size, num_layers=self.recurrent_layers, d_model=self.recurrent_width
        )


class Thresholds(Settings):
    """What the claims are held to, fixed before the seeds that are reported.

    Attributes:
        excess_loss: largest distance from the optimum h(L), in nats, mean over positions.
        rival_tokens: the last n tokens that activations must tell more than.
        untrained_ratio: how many times larger 1 - R² of the untrained network must be.
        distance_gap: by how much the R² of distances with beliefs must exceed that with next-token laws, and that of
            the untrained network with beliefs.
        level: of permutation tests.
    """

    excess_loss: float = 0.005
    rival_tokens: int = 2
    untrained_ratio: float = 3.0
    distance_gap: float = 0.3
    level: float = 0.01


class BeliefConfig(Settings):
    """Everything that the belief-state study depends on.

    Attributes:
        seed: of initial weights, training sequences, folds and sampling.
        posterior: nβ and γ of every coefficient; where they are None they are chosen from pilot checkpoints.
        regression: of beliefs at the last checkpoint; at earlier ones with fewer shuffles.
        device: where networks are trained, as torch names it.
        tested: ids of the claims that this preset is large enough to test.
    """

    preset: Preset
    seed: int = 0
    process: ProcessConfig = ProcessConfig()
    architecture: Architecture = Architecture()
    training: TrainingConfig
    recurrent_training: TrainingConfig
    posterior: PosteriorConfig = PosteriorConfig()
    sampler: Calibrated | Fixed = Calibrated(error=0.05)
    regression: BeliefRegressionConfig = BeliefRegressionConfig()
    thresholds: Thresholds = Thresholds()
    device: str = "cpu"
    tested: tuple[str, ...] = ("optimal-loss", "beyond-last-tokens", "training", "shuffles", "distances", "steering")


def preset(name: Preset) -> BeliefConfig:
    """`quick` for a look in minutes, `standard` for the claims on two cores, `paper` for the published lengths."""
    return {"quick": _quick, "standard": _standard, "paper": _paper}[name]()


def _quick() -> BeliefConfig:
    training = TrainingConfig(
        num_steps=600,
        batch_size=128,
        optimizer="adam",
        learning_rate=1e-3,
        warmup_steps=50,
        schedule="cosine",
        checkpoints_log=8,
        checkpoints_linear=2,
    )
    return BeliefConfig(
        preset="quick",
        process=ProcessConfig(context_length=7, num_sequences=50_000),
        architecture=Architecture(num_layers=2, d_model=32, d_mlp=128, recurrent_width=32),
        training=training,
        recurrent_training=training.model_copy(update={"checkpoints_log": 0, "checkpoints_linear": 0}),
        posterior=PosteriorConfig(nbeta=100, localization=300),
        sampler=Calibrated(error=0.05, budget=30_000),
        regression=BeliefRegressionConfig(num_permutations=99, max_last_tokens=5),
        tested=("training", "shuffles"),
    )


def _standard() -> BeliefConfig:
    training = TrainingConfig(
        num_steps=10_000,
        batch_size=128,
        optimizer="adam",
        learning_rate=1e-3,
        warmup_steps=200,
        schedule="cosine",
        checkpoints_log=14,
        checkpoints_linear=6,
        state_every=500,
    )
    return BeliefConfig(
        preset="standard",
        training=training,
        recurrent_training=training.model_copy(update={"checkpoints_log": 0, "checkpoints_linear": 0}),
        posterior=PosteriorConfig(nbeta=100, localization=300),
        sampler=Calibrated(error=0.05, budget=100_000),
    )


def _paper() -> BeliefConfig:
    # Shai et al., 2405.15943: SGD 0.01, batch 64, a million steps.
    training = TrainingConfig(
        num_steps=1_000_000,
        batch_size=64,
        optimizer="sgd",
        learning_rate=1e-2,
        betas=(0.0, 0.0),
        checkpoints_log=30,
        checkpoints_linear=20,
        state_every=10_000,
    )
    return _standard().model_copy(
        update={
            "preset": "paper",
            "device": "cuda",
            "training": training,
            "process": ProcessConfig(num_sequences=10_000_000),
            "recurrent_training": training.model_copy(update={"checkpoints_log": 0, "checkpoints_linear": 0}),
        }
    )
