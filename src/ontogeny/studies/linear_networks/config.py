"""Settings of the linear-networks study."""

from ontogeny.sampling import Calibrated, Fixed, PosteriorConfig
from ontogeny.studies.study import Preset, StudyConfig
from ontogeny.training import TrainingConfig

Widths = tuple[int, ...]


class Config(StudyConfig):
    """Everything that the study depends on.

    Attributes:
        networks: units a layer of each network, from inputs to outputs. At rank 0 of three layers the value at this nβ
            and γ lies some 15 % above the exact one, which is that of nβ without end.
        singular_values: of the teacher T, which is diagonal; there is a plateau for each rank from 0 on.
        initial: size of a singular value of the initial weights, for networks of two layers and of more.
        training: plain gradient descent.
        posterior: nβ and γ at the plateaus.
        sampler: of every coefficient.
        points: ranks of the two layers at planted points, of layers of `point_widths` units. `point_posterior` holds
            chains near them: with a γ of 1 they find the more degenerate points of the same fibre.
        error: largest relative distance from the exact value that counts as agreement.
        agreeing: least share of the plateaus that agree.
        near: largest distance from a saddle, relative to the singular value that is learned next, to have visited it.
    """

    networks: tuple[Widths, ...] = ((10, 10, 10), (12, 8, 12), (12, 10, 12), (12, 5, 5, 12))
    singular_values: tuple[float, ...] = (4.0, 2.5, 1.6, 1.0)
    initial: tuple[float, float] = (1e-5, 0.03)
    training: TrainingConfig = TrainingConfig(
        num_steps=6000,
        batch_size=1,
        optimizer="sgd",
        betas=(0.0, 0.0),
        learning_rate=0.03,
        checkpoints_log=60,
        checkpoints_linear=100,
        state_every=1000,
    )
    posterior: PosteriorConfig = PosteriorConfig(nbeta=1e5, localization=1.0)
    sampler: Calibrated | Fixed = Calibrated(error=0.015)
    point_posterior: PosteriorConfig = PosteriorConfig(nbeta=1e7, localization=1e3)
    point_widths: tuple[int, int, int] = (8, 8, 8)
    points: tuple[tuple[int, int], ...] = ((0, 8), (2, 8), (0, 6))
    error: float = 0.05
    agreeing: float = 0.9
    near: float = 0.1


PRESETS = {
    "quick": Preset("3 minutes", Config()),
    "standard": Preset("10 minutes", Config(sampler=Calibrated(error=0.007))),
}


def name_of(widths: Widths) -> str:
    """Of a network: "12-8-12"."""
    return "-".join(map(str, widths))
