"""The settings of a posterior: one frozen config shared by calls, TOML files and flags."""

from typing import Any

from pydantic import Field, PositiveInt

from ontogeny.core.settings import Settings


class PosteriorConfig(Settings):
    """The settings that define a coefficient, whatever the sampler. See `LocalPosterior`.

    Attributes:
        nbeta: n·β; None is n / log n, or in `ontogeny.measure` the run's own.
        localization: γ; None is 1, or in `ontogeny.measure` the run's own.
        batch_size: samples per gradient of a `Fixed` sampler; None is the smaller of n and 256.
        device: torch device of the chains; None is the model's.
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
