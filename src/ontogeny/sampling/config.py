"""What a posterior is, apart from network, data and loss: one frozen config that calls, TOML files and flags share."""

from typing import Any

from pydantic import Field, PositiveInt

from ontogeny.core.settings import Settings


class PosteriorConfig(Settings):
    """What defines a coefficient; how it is sampled is the sampler's business. See `LocalPosterior`.

    Attributes:
        nbeta: n·β; None is n / log n, or in `ontogeny.measure` the run's own.
        localization: γ; None is 1, or in `ontogeny.measure` the run's own.
        batch_size: samples a gradient of a `Fixed` sampler is taken on; None is the smaller of n and 256.
        device: where chains live, as torch names it; None is that of the model.
        pass_size: samples that go through the model at once; None is what fits in 128 MB.
    """

    nbeta: float | None = Field(default=None, ge=0)
    localization: float | None = Field(default=None, ge=0)
    batch_size: PositiveInt | None = None
    device: str | None = None
    pass_size: PositiveInt | None = None

    def options(self) -> dict[str, Any]:
        """As keyword arguments of `LocalPosterior`."""
        return self.model_dump() | {"localization": 1.0 if self.localization is None else self.localization}
