"""Settings of the superposition-phases study."""

from pydantic import PositiveInt

from ontogeny.sampling import Calibrated, Fixed
from ontogeny.studies.study import Preset, StudyConfig
from ontogeny.training import TrainingConfig, gradient_descent


class PosteriorSizes(StudyConfig):
    """Replica exchange over n: the posterior exp(-n L(w)) under the prior N(0, I), itself.

    Attributes:
        first, last, count: of the values of n, evenly spaced in log n.
        replicas: chains at each n; one half begins at each of the two phases.
        rounds: of `moves` Hamiltonian trajectories and one exchange; the first third is dropped.
        thinning: rounds from one draw that is kept to the next.
    """

    first: float = 30
    last: float = 2400
    count: PositiveInt = 16
    replicas: PositiveInt = 16
    rounds: PositiveInt = 600
    moves: PositiveInt = 2
    thinning: PositiveInt = 20


class Config(StudyConfig):
    """Everything that the study depends on.

    Attributes:
        num_samples: n of the coefficients, with nβ = n / log n and γ = 1.
        sampler: of those at the critical points.
        paths: networks trained from small weights, each on inputs of its own.
        initial: standard deviation of their initial weights; initial biases are 0.
        training: plain gradient descent on fresh inputs.
        path_sampler: of the coefficients along their paths.
        tolerance: largest relative difference from the loss of a critical point, to be there.
        plateau: checkpoints in a row at one critical point that count as a plateau.
        late: share of training after which checkpoints are late.
        recognised: least share of late checkpoints that are at a critical point.
        opposed: least share of the steps between plateaus where the coefficient rises as the loss falls.
        error: largest relative difference of a coefficient from the exact one that counts as agreement.
        phases: the two whose balance in n is followed.
        apart: least factor between n and a critical n, for a preference to be expected at that n.
        sizes: of the sampled posterior.
    """

    num_samples: PositiveInt = 500_000
    sampler: Calibrated | Fixed = Calibrated()
    paths: PositiveInt = 20
    initial: float = 0.001
    training: TrainingConfig = gradient_descent(
        num_steps=5000, learning_rate=0.05, batch_size=20, checkpoints_log=50, checkpoints_linear=50
    )
    path_sampler: Calibrated | Fixed = Calibrated(error=0.08)
    tolerance: float = 0.05
    plateau: PositiveInt = 3
    late: float = 0.5
    recognised: float = 0.9
    opposed: float = 0.8
    error: float = 0.05
    phases: tuple[str, str] = ("5", "6")
    apart: float = 1.5
    sizes: PosteriorSizes = PosteriorSizes()


PRESETS = {
    "quick": Preset("3 minutes", Config(paths=8, sizes=PosteriorSizes(count=12, replicas=8, rounds=200))),
    "standard": Preset("15 minutes a seed", Config()),
}
