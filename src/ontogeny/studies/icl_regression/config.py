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

    num_layers: int = 2
    d_model: int = 32
    num_heads: int = 2
    d_mlp: int = 64


class Selection(Settings):
    """Chains from both phases, ridge-like and dMMSE-like, at several nβ, from which free energies are integrated.

    Attributes:
        diversities: of the networks for which this is done.
        nbetas: increasing, in sequences, from where the localization outweighs the loss.
        sampler: of each.
    """

    diversities: tuple[PositiveInt, ...]
    nbetas: tuple[float, ...] = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0)
    sampler: Calibrated | Fixed = Calibrated(error=0.05, budget=20_000)


class Thresholds(Settings):
    """What the claims are held to; fixed before the seeds that are reported.

    Attributes:
        rebound: least factor by which the distance to ridge rises again after its minimum, of an intermediate diversity.
        steady: largest such factor of the smallest diversity, and of an infinite one.
        bend: least share by which a path comes nearer to ridge than its straight line does.
        shared: largest spread of the coefficients of ridge-like networks, relative to their mean.
        bootstrap: resamples over probe sequences.
        bridges: Brownian bridges that a path is held against.
    """

    rebound: float = 2.0
    steady: float = 1.5
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
    noise_variance: float = Field(default=0.5, gt=0)
    diversities: tuple[PositiveInt, ...]
    intermediate: tuple[PositiveInt, ...]
    network: Architecture = Architecture()
    training: TrainingConfig
    probe_sequences: PositiveInt = 512
    scales: tuple[float, ...] = (0.5, 1.0, 2.0, 4.0)
    coefficient_sequences: PositiveInt = 4096
    coefficient_steps: PositiveInt = 8
    first_measured: int = 100
    posterior: PosteriorConfig = PosteriorConfig(nbeta=100, localization=10)
    sampler: Calibrated | Fixed = Calibrated(error=0.05, budget=20_000)
    selection: Selection | None = None
    stages: StageConfig = StageConfig()
    essential: EssentialConfig = EssentialConfig()
    thresholds: Thresholds = Thresholds()

    @property
    def shape(self) -> RegressionConfig:
        """Of every network."""
        return RegressionConfig(
            dimension=self.dimension, num_pairs=self.num_pairs, **self.network.model_dump()
        )

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
