"""The one frozen config of the study of in-context regression, and its presets."""

from collections.abc import Mapping

from pydantic import Field, PositiveInt

from ontogeny.core.settings import Settings
from ontogeny.data import LinearRegressionTask
from ontogeny.development import EssentialConfig, StageConfig
from ontogeny.models import RegressionConfig
from ontogeny.sampling import Calibrated, Fixed, PosteriorConfig
from ontogeny.studies.study import Preset, StudyConfig
from ontogeny.training import TrainingConfig

INFINITE = "∞"


class Architecture(Settings):
    """Shape of the networks; dimension and number of pairs come from the task."""

    num_layers: int = 3
    d_model: int = 32
    num_heads: int = 2
    d_mlp: int = 128


class Selection(Settings):
    """Chains from both phases, ridge-like and dMMSE-like, at several nβ, from which free energies are integrated.

    Attributes:
        diversities: of the networks for which this is done.
        nbetas: increasing, in sequences, from where the localization outweighs the loss.
        sampler: of each.
    """

    diversities: tuple[PositiveInt, ...]
    nbetas: tuple[float, ...] = (0.1, 0.3, 1.0, 3.0, 10.0)
    sampler: Calibrated | Fixed = Calibrated(error=0.05, budget=60_000)


class Thresholds(Settings):
    """What the claims are held to; fixed before the seeds that are reported.

    Attributes:
        rebound: least factor by which an intermediate diversity's distance to ridge rises again after its minimum.
        steady: largest such factor of an infinite diversity.
        apart: least distance to ridge of the smallest diversity, relative to that at step 0.
        bend: least share by which a path comes nearer to ridge than its straight line does.
        shared: largest spread of the coefficients of ridge-like networks, relative to their mean.
        bootstrap: resamples over probe sequences.
        bridges: Brownian bridges that a path is held against.
    """

    rebound: float = 2.0
    steady: float = 1.5
    apart: float = 0.5
    bend: float = 0.1
    shared: float = 0.15
    bootstrap: int = 1000
    bridges: int = 2000


class RegressionStudyConfig(StudyConfig):
    """Everything that the study depends on.

    Attributes:
        dimension, num_pairs, noise_variance: D, K and σ² of every task.
        diversities: finite M, increasing; a network of infinite diversity is always trained beside them.
        intermediate: those among which a transient ridge is looked for.
        training: of all networks, which begin with the same weights and have batches of their own.
        probe_sequences: of each distribution, on which predictions are compared.
        scales: of inputs and tasks, out of distribution.
        coefficient_sequences: n of the posteriors.
        coefficient_steps: checkpoints that have a coefficient, evenly spaced in log step.
        first_measured: of these; in the first steps a network is at no minimum.
        posterior, sampler: of every coefficient along training; nβ counts sequences.
        selection: the free energies of both phases; None leaves them out.
    """

    dimension: PositiveInt = 4
    num_pairs: PositiveInt = 8
    noise_variance: float = Field(default=0.25, gt=0)
    diversities: tuple[PositiveInt, ...]
    intermediate: tuple[PositiveInt, ...]
    network: Architecture = Architecture()
    training: TrainingConfig
    probe_sequences: PositiveInt = 512
    scales: tuple[float, ...] = (0.5, 1.0, 2.0, 4.0)
    coefficient_sequences: PositiveInt = 4096
    coefficient_steps: PositiveInt = 8
    first_measured: int = 100
    posterior: PosteriorConfig = PosteriorConfig(nbeta=3, localization=300)
    sampler: Calibrated | Fixed = Calibrated(error=0.05, budget=60_000)
    selection: Selection | None = None
    stages: StageConfig = StageConfig()
    essential: EssentialConfig = EssentialConfig()
    thresholds: Thresholds = Thresholds()

    @property
    def shape(self) -> RegressionConfig:
        """Of every network."""
        return RegressionConfig(dimension=self.dimension, num_pairs=self.num_pairs, **self.network.model_dump())

    def tasks(self, seed: int) -> Mapping[str, LinearRegressionTask]:
        """Label of the diversity -> its task, in increasing order; the sets are nested."""
        common = {
            "dimension": self.dimension,
            "num_pairs": self.num_pairs,
            "noise_variance": self.noise_variance,
            "seed": seed,
        }
        finite = {str(M): LinearRegressionTask(task_diversity=M, **common) for M in self.diversities}
        return finite | {INFINITE: LinearRegressionTask(**common)}


LARGE = {"standard", "paper"}
"""The presets that are large enough for the transient ridge."""


def _training(num_steps: int, linear: int, **options: float) -> TrainingConfig:
    steps = {"num_steps": num_steps, "checkpoints_log": 30, "checkpoints_linear": linear, "state_every": 1000}
    common = {"optimizer": "adam", "batch_size": 64, "learning_rate": 3e-3, "warmup_steps": 200, "clip_norm": 1.0}
    return TrainingConfig.model_validate(common | steps | options)


PRESETS = {
    # Networks learn in context and the smallest diversities are known; nothing is forgotten again yet.
    "quick": Preset(
        "5 minutes",
        RegressionStudyConfig(
            diversities=(2, 4, 8),
            intermediate=(8,),
            network=Architecture(num_layers=2),
            training=_training(1600, 10),
            probe_sequences=256,
            coefficient_sequences=2048,
            coefficient_steps=2,
            sampler=Calibrated(error=0.05, budget=30_000),
            selection=Selection(
                diversities=(4,), nbetas=(0.1, 1.0, 10.0), sampler=Calibrated(error=0.05, budget=20_000)
            ),
        ),
    ),
    "standard": Preset(
        "75 minutes a seed",
        RegressionStudyConfig(
            diversities=(2, 4, 8, 12, 16, 32, 128),
            intermediate=(8, 12, 16),
            training=_training(14_000, 30),
            coefficient_steps=8,
            selection=Selection(diversities=(2, 4, 8, 12, 16)),
        ),
    ),
    # The size of Carroll et al., 2501.17745.
    "paper": Preset(
        "hours on a GPU",
        RegressionStudyConfig(
            device="cuda",
            dimension=8,
            num_pairs=16,
            noise_variance=0.125,
            diversities=tuple(2**power for power in range(16)),
            intermediate=(32, 64, 128, 256),
            network=Architecture(num_layers=2, d_model=512, num_heads=4, d_mlp=512),
            training=_training(150_000, 200, batch_size=1024, learning_rate=1e-3),
            coefficient_sequences=2**17,
            coefficient_steps=40,
            selection=Selection(diversities=(16, 32, 64, 128)),
        ),
    ),
}
