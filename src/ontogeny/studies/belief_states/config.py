"""The belief-state study's one frozen config, and its presets."""

from typing import Any

from pydantic import Field

from ontogeny.compmech import GHMM, process
from ontogeny.core.settings import Settings
from ontogeny.models import RecurrentConfig, TransformerConfig
from ontogeny.probes import ProbeConfig
from ontogeny.sampling import Calibrated, Fixed, PosteriorConfig
from ontogeny.studies.study import Preset, StudyConfig
from ontogeny.training import TrainingConfig


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
        own = self.model_dump(exclude={"recurrent_layers", "recurrent_width"})
        tokens = {"vocabulary_size": vocabulary_size, "context_length": context_length}
        return TransformerConfig.model_validate(own | tokens | {"positions": "learned"})

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


class BeliefConfig(StudyConfig):
    """Everything that the belief-state study depends on.

    Attributes:
        posterior: nβ and γ of every coefficient; where they are None they are chosen from pilot checkpoints.
        regression: of beliefs at the last checkpoint; at earlier ones with fewer shuffles.
    """

    process: ProcessConfig = ProcessConfig()
    architecture: Architecture = Architecture()
    training: TrainingConfig
    recurrent_training: TrainingConfig
    posterior: PosteriorConfig = PosteriorConfig(nbeta=100, localization=300)
    sampler: Calibrated | Fixed = Calibrated(error=0.05, budget=100_000)
    regression: ProbeConfig = ProbeConfig()
    thresholds: Thresholds = Thresholds()


def _both(num_steps: int, log: int, linear: int, **options: Any) -> dict[str, Any]:
    """The same training for both networks; of the control, only the ends are kept."""
    given: dict[str, Any] = {"num_steps": num_steps, "batch_size": 128, "optimizer": "adam", "learning_rate": 1e-3}
    given |= options
    return {
        "training": TrainingConfig(**given, checkpoints_log=log, checkpoints_linear=linear),
        "recurrent_training": TrainingConfig(**given, checkpoints_log=0, checkpoints_linear=0),
    }


PRESETS = {
    "quick": Preset(
        "3 minutes",
        BeliefConfig(
            **_both(600, 8, 2, warmup_steps=50, schedule="cosine"),
            process=ProcessConfig(context_length=7, num_sequences=50_000),
            architecture=Architecture(num_layers=2, d_model=32, d_mlp=128, recurrent_width=32),
            sampler=Calibrated(error=0.05, budget=30_000),
            regression=ProbeConfig(num_permutations=99, max_last_tokens=5),
        ),
    ),
    "standard": Preset(
        "30 minutes a seed",
        BeliefConfig(**_both(10_000, 14, 6, warmup_steps=200, schedule="cosine", state_every=500)),
    ),
    # Shai et al., 2405.15943: SGD 0.01, batch 64, a million steps.
    "paper": Preset(
        "hours on a GPU",
        BeliefConfig(
            **_both(
                *(1_000_000, 30, 20),
                **{"batch_size": 64, "optimizer": "sgd", "learning_rate": 1e-2, "betas": (0.0, 0.0)},
                state_every=10_000,
            ),
            device="cuda",
            process=ProcessConfig(num_sequences=10_000_000),
        ),
    ),
}
LARGE = {"standard", "paper"}
"""The presets that are large enough for most claims."""
