"""The settings of a comparison."""

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt

from ontogeny.core.settings import Settings
from ontogeny.sampling import Calibrated, Fixed, PosteriorConfig


class CompareConfig(Settings):
    """How two sets of weights are compared, and what counts as a change.

    Attributes:
        twins: networks that are fine-tuned from the base on the trusted data, until they are as far from it as the
            tuned weights are: what any fine-tuning does. 0 if twins are given.
        twin_steps, twin_batch, twin_learning_rate: of their training, by Adam.
        weight_noises: random weights around the base, in every tensor as far from it as the tuned ones.
        significance: a loss has changed if its change, among those of twins and among those of weight noises, has a
            p-value below this after Holm's correction over datasets.
        deviations, least: the change must also differ from that of twins by so many of its standard errors over
            samples, and by so many nats.
        parts_sampled: parts, the most telling ones, whose susceptibilities and cross-coefficients are sampled; 0 for
            none.
        posterior, sampler: of these. nβ is n / log n of the trusted data unless given.
        undo_steps: steps of fine-tuning on the trusted data, at most, until a change is undone; 0 to leave it out.
    """

    twins: NonNegativeInt = 6
    twin_steps: PositiveInt = 500
    twin_batch: PositiveInt = 32
    twin_learning_rate: PositiveFloat = 1e-3
    weight_noises: int = Field(default=20, ge=3)
    significance: float = Field(default=0.05, gt=0, lt=1)
    deviations: PositiveFloat = 3.0
    least: float = Field(default=0.05, ge=0)
    parts_sampled: NonNegativeInt = 3
    posterior: PosteriorConfig = PosteriorConfig(localization=100.0)
    sampler: Calibrated | Fixed = Calibrated(error=0.05, budget=20_000)
    undo_steps: NonNegativeInt = 0
