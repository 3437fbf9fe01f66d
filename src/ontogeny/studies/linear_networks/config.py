"""Settings of the linear-networks study."""

from pydantic import PositiveInt

from ontogeny.core.settings import Settings
from ontogeny.sampling import SGLD, Calibrated, Fixed, PosteriorConfig
from ontogeny.studies.study import Preset, StudyConfig
from ontogeny.training import TrainingConfig, gradient_descent

Widths = tuple[int, ...]


class Hierarchy(Settings):
    """Two-layer networks that learn items in a binary tree (see `hierarchy`).

    Attributes:
        singular_values: of each level of the tree, the common one first; there are 2^(levels - 1) items.
        width: hidden units.
        initial: size of a singular value of the initial weights.
        networks: with other initial weights, each trained with all items and without each of them.
        training: gradient descent on the mean over items.
        first, measured: influence is measured at so many checkpoints, evenly spaced in log step, from this one on.
        posterior: of the sampled influence; γ must exceed nβ times the negative curvature at the saddles.
        sampler: of these.
        spread, sizes: networks of which the covariance is divided, and the least and largest size of their initial
            weights, uniform in its logarithm.
        correlation: least correlation of the sampled influence with retraining.
        apart: largest distance in log10 step of a change of sign, or an extreme, from where theory puts it.
        equal: largest distance in log10 step of the largest covariance from equal weights of two phases.
    """

    singular_values: tuple[float, ...] = (5.0, 2.5, 1.25, 0.625)
    width: PositiveInt = 10
    initial: float = 0.003
    networks: PositiveInt = 1
    training: TrainingConfig = gradient_descent(
        num_steps=2400, learning_rate=0.04, checkpoints_log=90, checkpoints_linear=40
    )
    first: PositiveInt = 60
    measured: PositiveInt = 20
    posterior: PosteriorConfig = PosteriorConfig(nbeta=8.0, localization=100.0)
    sampler: Calibrated | Fixed = Fixed(kernel=SGLD(5e-3), num_chains=32, num_draws=40, num_warmup=20, thinning=2)
    spread: PositiveInt = 32
    sizes: tuple[float, float] = (3e-4, 1e-2)
    correlation: float = 0.5
    apart: float = 0.15
    equal: float = 0.05


class Stairs(Settings):
    """Networks of one kind that differ in their initial weights, for opposing staircases.

    Attributes:
        widths, singular_values, initial: as for the other networks.
        count: how many.
        training: of all at once.
        still, least: a plateau is at least so many checkpoints in a row between which the loss changes by less than
            this share of its first value.
        sampler: of coefficients at the plateaus.
        opposed: least share of the transitions between plateaus at which the loss falls and the coefficient rises.
    """

    widths: Widths = (6, 6, 6)
    singular_values: tuple[float, ...] = (4.0, 2.0, 1.0, 0.0, 0.0, 0.0)
    initial: float = 1e-4
    count: PositiveInt = 7
    training: TrainingConfig = gradient_descent(
        num_steps=1500, learning_rate=0.02, batch_size=1, checkpoints_log=0, checkpoints_linear=250
    )
    still: float = 0.002
    least: PositiveInt = 4
    sampler: Calibrated | Fixed = Calibrated(error=0.06, budget=50_000)
    opposed: float = 0.8


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
        hierarchy, stairs: see there.
    """

    networks: tuple[Widths, ...] = ((10, 10, 10), (12, 8, 12), (12, 10, 12), (12, 5, 5, 12))
    singular_values: tuple[float, ...] = (4.0, 2.5, 1.6, 1.0)
    initial: tuple[float, float] = (1e-5, 0.03)
    training: TrainingConfig = gradient_descent(
        num_steps=6000, learning_rate=0.03, batch_size=1, checkpoints_log=60, checkpoints_linear=100
    )
    posterior: PosteriorConfig = PosteriorConfig(nbeta=1e5, localization=1.0)
    sampler: Calibrated | Fixed = Calibrated(error=0.015)
    point_posterior: PosteriorConfig = PosteriorConfig(nbeta=1e7, localization=1e3)
    point_widths: tuple[int, int, int] = (8, 8, 8)
    points: tuple[tuple[int, int], ...] = ((0, 8), (2, 8), (0, 6))
    error: float = 0.05
    agreeing: float = 0.9
    near: float = 0.1
    hierarchy: Hierarchy = Hierarchy()
    stairs: Stairs = Stairs()


PRESETS = {
    "quick": Preset("5 minutes", Config()),
    "standard": Preset(
        "15 minutes",
        Config(sampler=Calibrated(error=0.007), stairs=Stairs(count=20), hierarchy=Hierarchy(networks=4, spread=96)),
    ),
}


def name_of(widths: Widths) -> str:
    """Of a network: "12-8-12"."""
    return "-".join(map(str, widths))
