"""Settings of the superposition-phases study."""

from pydantic import PositiveInt

from ontogeny.sampling import Calibrated, Fixed, PosteriorConfig
from ontogeny.studies.study import Preset, StudyConfig
from ontogeny.training import TrainingConfig


class PosteriorSizes(StudyConfig):
    """Replica exchange over n: the posterior exp(-n L(w)) under the prior N(0, I), itself.

    Attributes:
        first, last, count: of the values of n, evenly spaced in log n.
        replicas: chains at each n; one half begins at each of the two phases.
        rounds: of `moves` Hamiltonian trajectories and one exchange; the first third is dropped.
    """

    first: float = 60
    last: float = 2400
    count: PositiveInt = 16
    replicas: PositiveInt = 16
    rounds: PositiveInt = 600
    moves: PositiveInt = 2


class Config(StudyConfig):
    """Everything that the study depends on.

    Attributes:
        num_samples: n of the coefficients at the critical points, with the default nβ and γ.
        sampler: of those.
        paths: networks trained from the 4-gon, each with inputs of its own.
        noise: standard deviation of their distance from the 4-gon.
        training: plain gradient descent on fresh inputs.
        path_posterior, path_sampler: of the coefficients along their paths.
        tolerance: largest relative difference from the loss of a critical point, to be there.
        plateau: checkpoints in a row at one critical point that count as a plateau.
        late: share of training after which checkpoints are late.
        error: largest relative difference of a coefficient from the exact one that counts as agreement.
        phases: the two whose balance in n is followed.
        sizes: of the sampled posterior.
    """

    num_samples: PositiveInt = 500_000
    sampler: Calibrated | Fixed = Calibrated()
    paths: PositiveInt = 20
    noise: float = 0.01
    training: TrainingConfig = TrainingConfig(
        num_steps=20_000,
        batch_size=200,
        optimizer="sgd",
        betas=(0.0, 0.0),
        learning_rate=0.05,
        checkpoints_log=60,
        checkpoints_linear=60,
        state_every=2000,
        log_every=100,
    )
    path_posterior: PosteriorConfig = PosteriorConfig(nbeta=1000, localization=1.0)
    path_sampler: Calibrated | Fixed = Calibrated(error=0.04)
    tolerance: float = 0.05
    plateau: PositiveInt = 3
    late: float = 0.5
    error: float = 0.05
    phases: tuple[str, str] = ("5", "6")
    sizes: PosteriorSizes = PosteriorSizes()


PRESETS = {
    "quick": Preset("3 minutes", Config(paths=8)),
    "standard": Preset("20 minutes a seed", Config(sampler=Calibrated(error=0.01))),
}
