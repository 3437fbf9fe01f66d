"""Budget of a calibration: batch sizes, window lengths, and how minibatch noise is reduced to its target."""

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ontogeny.core.seeds import generator
from ontogeny.sampling.posterior import LocalPosterior
from ontogeny.sampling.tuning import TUNING


@dataclass(frozen=True)
class Balance:
    """Batch size, friction and the factor by which the step is shortened. Together they set the minibatch noise."""

    batch_size: int
    friction: float
    shrink: float

    @property
    def cooling(self) -> float:
        """Noise-induced bias is proportional to 1/cooling = shrink² / (batch_size · tanh(friction/2))."""
        return self.batch_size * _damping(self.friction) / self.shrink**2


@dataclass(frozen=True)
class Allowance:
    """The cost limits of a calibration.

    Attributes:
        first, smallest, largest: batch sizes; the search begins at `first`.
        windows: number of steps in each window.
        control_variate: whether to compute the full-data gradient at w*; None lets the noise at w* decide.
        curvature: samples used for a Hessian-vector product.
        descent, descent_iterations: samples in each gradient of the descent from w*, and the largest number of
            gradients.
        descent_whole: full-data gradients that the descent may always take.
        spectrum: samples used for the spectrum at w*; 0 skips it.
        noise_samples: per-sample gradients spent on measuring the noise at w*.
        inflation: largest share of the complexity that minibatch noise may add.
    """

    first: int
    smallest: int
    largest: int
    windows: tuple[int, ...] = TUNING.windows
    control_variate: bool | None = True
    curvature: int = 256
    descent: int = TUNING.descent_samples[1]
    descent_iterations: int = TUNING.descent_iterations
    descent_whole: int = TUNING.whole_gradients
    spectrum: int = TUNING.spectrum_samples
    noise_samples: int = 0
    inflation: float = TUNING.inflation

    def balance(self, share: float, present: Balance, stored: int) -> Balance:
        """The cheapest settings at which minibatch noise adds `inflation`, given the share that it adds at present.

        Friction is raised first, because it costs stiff directions nothing. Then the step is shortened, down to a
        factor of 0.7, and then batches grow. Where batches cannot grow, the step is shortened further. A batch of more
        than half of the samples is replaced by all of them, which has no noise.
        """
        wanted = max(share, 1e-6) / self.inflation * present.cooling
        damping = min(max(wanted / self.smallest, _damping(TUNING.friction[0])), _damping(TUNING.friction[1]))
        shrink = min(max(math.sqrt(self.smallest * damping / wanted), TUNING.shrink), 1.0)
        size = max(self.smallest, 2 ** math.ceil(math.log2(wanted * shrink**2 / damping) - 0.2))
        if size > min(self.largest, stored / 2):
            if self.largest >= stored:
                return Balance(stored, TUNING.friction[0], 1.0)
            size = self.largest
        if size == self.largest:
            shrink = min(math.sqrt(size * damping / wanted), shrink)
        return Balance(size, 2 * math.atanh(damping), shrink)

    def with_control(self, posterior: LocalPosterior, mass: Tensor, seed: int) -> "Allowance":
        """Decide from the minibatch noise at w* whether gradients use the control variate.

        The share that batches of the `smallest` size would add to the value is computed for a quadratic loss whose
        curvature is the mass: (h²/4) coth(friction/2) Σ S/M / Σ (1 - γ/M), where S is the minibatch variance of the
        gradient. Above 15 %, one pass over all samples at w* is cheaper.
        """
        if self.control_variate is not None:
            return self
        order = generator(seed, "noise at the center")
        chosen = torch.randint(posterior.samples.stored, (2 * TUNING.noise_samples,), generator=order)
        halves = [posterior.center_gradient(part) for part in chosen.split(TUNING.noise_samples)]
        variance = (halves[0] - halves[1]).square() * (TUNING.noise_samples / 2)  # of a gradient on one sample
        summed = posterior.layout.summed
        held = float(summed((1 - posterior.localization / mass).clamp(min=0).sum()))
        added = (
            float(summed((variance / mass).sum()))
            / self.smallest
            * TUNING.shrink**2
            / (4 * _damping(TUNING.friction[1]))
        )
        return replace(self, control_variate=added > TUNING.uncorrected * held, noise_samples=2 * TUNING.noise_samples)


def allow(posterior: LocalPosterior, num_chains: int, budget: int | None, fixed_batch: bool) -> Allowance:
    """The cost limits of a calibration of this posterior.

    Without a budget, batches are the largest that cost no extra time. With a budget, they are small enough for 4,000
    steps, but never below 16 samples.
    """
    stored, low, high = posterior.samples.stored, *TUNING.smallest_batch
    if fixed_batch:
        smallest = first = largest = posterior.batch_size
    else:
        smallest = min(max(low, min(TUNING.full_pass // posterior.num_parameters, high)), stored)
        smallest = smallest if smallest <= stored / 2 else stored
        first, largest = max(smallest, min(stored // 8, TUNING.first_batch)), stored
    if budget is None:
        return Allowance(first, smallest, largest)
    control: bool | None = None if budget >= 2 * stored else False
    if stored <= TUNING.cheap_pass * budget:
        control = True
    left = budget if control is False else budget - stored
    affordable = max(TUNING.least_batch, left // (TUNING.steps * (num_chains + 1)))
    if not fixed_batch:
        smallest, first, largest = min(smallest, affordable), min(first, 2 * affordable), min(largest, 2 * affordable)
        largest = stored if largest > stored / 2 else largest
    steps = TUNING.windows_share * left / (first * (num_chains + 1))
    windows = tuple(max(3, round(min(1.0, steps / sum(TUNING.windows)) * each)) for each in TUNING.windows)
    descent = int(min(max(TUNING.descent_samples[0], left // 120), TUNING.descent_samples[1], stored))
    return Allowance(
        first,
        smallest,
        largest,
        windows,
        control,
        curvature=max(16, min(256, left // 1000)),
        descent=descent,
        descent_iterations=max(4, min(TUNING.descent_iterations, int(TUNING.descent_share * left / descent))),
        descent_whole=0,
        spectrum=0,
        inflation=TUNING.budget_inflation,
    )


def _damping(friction: float) -> float:
    """tanh(friction/2): how strongly friction damps gradient noise in BAOAB."""
    return math.tanh(friction / 2)
