"""Samplers: frozen values that say how a posterior is sampled. The posterior itself says what is sampled."""

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import torch
import xarray as xr
from pydantic import ConfigDict, Field, PositiveInt, field_serializer, field_validator

from ontogeny.core import arguments
from ontogeny.core.draws import with_descent
from ontogeny.core.errors import InvalidArgument
from ontogeny.core.protocols import Progress, Sink
from ontogeny.core.settings import Settings
from ontogeny.sampling import kernels
from ontogeny.sampling.calibration import Mass, calibrate
from ontogeny.sampling.descent import Descent, descend
from ontogeny.sampling.kernels import SGLD, Kernel
from ontogeny.sampling.loop import sample_fixed
from ontogeny.sampling.posterior import LocalPosterior
from ontogeny.sampling.stopping import sample_until
from ontogeny.sampling.tuning import TUNING


@runtime_checkable
class Sampler(Protocol):
    """A frozen, hashable value whose `draw` samples a posterior (see `ontogeny.core.draws`)."""

    def draw(
        self,
        posterior: LocalPosterior,
        *,
        observables: Mapping[str, Any] | None = None,
        seed: int = 0,
        progress: Progress | bool = False,
        sink: Sink | None = None,
        start: Mass | None = None,
    ) -> xr.DataTree:
        """Sample, deterministically given the seed. `start` is the mass of a nearby calibration and may be ignored."""
        ...


def as_sampler(given: Any) -> Sampler:
    """A sampler, or the error that says what to write instead of a kernel, a class or a name."""
    if isinstance(given, Sampler) and not isinstance(given, type):
        return given
    instead = "og.Calibrated()"
    if isinstance(given, Kernel):
        instead = f"og.Fixed(kernel=og.{given!r})"
    elif isinstance(given, type) and issubclass(given, Settings):
        instead = f"og.{given.__name__}()"
    raise InvalidArgument("sampler", expected="a sampler", found=arguments.show(given), instead=instead)


class Calibrated(Settings):
    """Sets its own mass, step, batch and length (`calibrate`, `sample_until`): the default everywhere.

    Attributes:
        error: Monte Carlo error, as a share of the complexity, at which sampling stops once the chains agree.
        resolution: complexity in nats; errors and biases are taken as shares of it where the complexity is smaller.
            Default 0.1; along a training run, a quarter of the run's largest complexity (`ontogeny.measure`).
        budget: most per-sample gradients to spend, calibration included; None for up to 6,000 steps per chain. A
            calibration and the fewest draws need 1,600 for each chain and 1,600 more (8,000 for four chains). With less
            they are still made, and the outcome says that the draws are too few.
        num_chains: number of chains.
    """

    error: float = Field(default=TUNING.error, gt=0)
    budget: PositiveInt | None = None
    resolution: float | None = Field(default=None, gt=0)
    num_chains: int = Field(default=4, ge=2)

    def draw(
        self,
        posterior: LocalPosterior,
        *,
        observables: Mapping[str, Any] | None = None,
        seed: int = 0,
        progress: Progress | bool = False,
        sink: Sink | None = None,
        start: Mass | None = None,
    ) -> xr.DataTree:
        """See `Sampler.draw`. With `observables`, draws are five steps apart.

        Raises:
            InvalidArgument: for a sink, because rounds are drawn until they suffice; and without localization at nβ =
                0, where draws are independent Gaussians.
        """
        if sink is not None:
            raise InvalidArgument(
                "sink", expected="None with a calibrated sampler", found=type(sink).__name__, instead="og.Fixed(...)"
            )
        if posterior.num_parameters == 0 or posterior.nbeta == 0:
            return _untouched(posterior, self.num_chains, observables, seed)
        options = {"seed": seed, "budget": self.budget, "progress": progress}
        resolution = self.resolution or TUNING.resolution
        calibration = calibrate(posterior, num_chains=self.num_chains, resolution=resolution, start=start, **options)
        return sample_until(posterior, calibration, error=self.error, observables=observables, **options)


class Fixed(Settings):
    """Chains of a kernel with your own settings and a fixed length.

    Attributes:
        kernel: the kernel; as text {"name": "SGLD", "step_size": 1e-4}.
        num_chains, num_draws, num_warmup, thinning, control_variate: see `ontogeny.sample`.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    kernel: Any = SGLD(1e-4)
    num_chains: PositiveInt = 4
    num_draws: PositiveInt = 200
    num_warmup: int = Field(default=200, ge=0)
    thinning: PositiveInt = 1
    control_variate: bool = False

    @field_validator("kernel", mode="before")
    @classmethod
    def _kernel(cls, value: Any) -> Kernel:
        if isinstance(value, Mapping) and isinstance(getattr(kernels, str(value.get("name")), None), type):
            settings = {name: setting for name, setting in value.items() if name != "name"}
            return getattr(kernels, value["name"])(**settings)
        if not isinstance(value, Kernel):  # type: ignore[unsafe-overlap]
            raise InvalidArgument(
                "kernel",
                expected="a kernel, or its name and settings",
                found=arguments.show(value),
                instead='og.SGLD(1e-4), or {"name": "SGLD", "step_size": 1e-4}',
            )
        return value

    @field_serializer("kernel")
    def _as_mapping(self, kernel: Any) -> dict[str, Any]:
        settings = {name: value for name, value in vars(kernel).items() if not isinstance(value, torch.Tensor)}
        return {"name": type(kernel).__name__} | settings

    def draw(
        self,
        posterior: LocalPosterior,
        *,
        observables: Mapping[str, Any] | None = None,
        seed: int = 0,
        progress: Progress | bool = False,
        sink: Sink | None = None,
        start: Mass | None = None,
    ) -> xr.DataTree:
        """See `Sampler.draw`. Chains start at w*. A separate descent from w* costs a quarter of their gradients."""
        lengths = self.model_dump(exclude={"kernel"})
        common = {"observables": observables, "seed": seed, "progress": progress, "sink": sink}
        if not posterior.nbeta or not posterior.num_parameters:
            return sample_fixed(posterior, self.kernel, **lengths, **common)
        found = self._descend(posterior, seed)
        draws = sample_fixed(posterior, self.kernel, descent=found, **lengths, **common)
        return with_descent(draws, found.value, found.error, found.gradient_evaluations)

    def descent_lengths(self, posterior: LocalPosterior) -> tuple[int, int]:
        """Samples of each gradient of the descent from w*, and the largest number of gradients."""
        stored = posterior.samples.stored
        steps = self.num_chains * (self.num_warmup + self.num_draws) * self.thinning
        spend = int(TUNING.fixed_share * steps * min(posterior.batch_size, stored))
        size = min(max(spend // TUNING.fixed_gradients, TUNING.fixed_samples[0]), TUNING.fixed_samples[1])
        size = stored if stored < TUNING.fixed_whole * size else size
        return size, min(max(spend // size, TUNING.fewest_gradients), TUNING.descent_iterations)

    def _descend(self, posterior: LocalPosterior, seed: int) -> Descent:
        size, iterations = self.descent_lengths(posterior)
        scale = torch.full_like(posterior.center, self.kernel.step_size**0.5)
        return descend(posterior.at(batch_size=size), scale, seed, iterations)


def _untouched(
    posterior: LocalPosterior, num_chains: int, observables: Mapping[str, Any] | None, seed: int
) -> xr.DataTree:
    """Draws without the loss: there is no free parameter, or nβ = 0, where the prior is sampled independently."""
    if posterior.num_parameters == 0:
        return sample_fixed(posterior, SGLD(1e-6), 1, 1, 0, seed=seed)
    if not posterior.localization:
        raise InvalidArgument(
            "localization", expected="more than 0 where nbeta is 0", found="0", instead="localization=1.0"
        )
    step_size = 2 / posterior.localization  # at which an SGLD step is independent of the previous position
    return sample_fixed(posterior, SGLD(step_size), num_chains, 200, 1, observables=observables, seed=seed)
