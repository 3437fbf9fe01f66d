"""Budget of a calibration: batch sizes, window lengths, and how minibatch noise is reduced to its target."""

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ontogeny.core.seeds import generator
from ontogeny.sampling.descent import ITERATIONS
from ontogeny.sampling.posterior import LocalPosterior
from ontogeny.sampling.spectrum import SAMPLES

WINDOWS = (20, 40, 140, 80, 120)  # steps between updates of mass and batch; chains are tempered in the third
FRICTION = (0.05, 0.15)  # of a step: without noise, and at most
SHRINK = 0.7  # of the step, before batches grow
# Targets: the share of the complexity that minibatch noise may add, which is then subtracted; and under a budget.
INFLATION, CHEAP_INFLATION = 0.03, 0.1
UNCORRECTED = 0.15  # share that minibatches may add before a control variate is worth a pass over all samples
_BATCHES = (64, 1024)  # the smallest is chosen within
_LEAST = 16  # samples of a batch under a budget: of small networks fewer hardly take less time
_FIRST = 4096  # at most, where the search begins
_PASS = 2**20  # weights times samples of a pass; a smaller one takes hardly less time
_SHARE = 0.15  # of a budget, beside the pass at w*, that the windows take at most
_STEPS = 4000  # of all chains that a budget should allow, by smaller batches if need be
_DESCENT = (64, 4096)  # samples that descent from w* is taken on
_DESCENT_SHARE = 0.1  # of a budget that descent takes at most
_CHEAP = 0.1  # of a budget: a pass over all samples that takes no more is made without asking
_NOISE = 64  # samples on whose halves noise at w* is measured


@dataclass(frozen=True)
class Balance:
    """Batch size, friction and the share of its full length that a step keeps: what minibatch noise is met by."""

    batch_size: int
    friction: float
    shrink: float

    @property
    def cooling(self) -> float:
        """Noise-induced bias is proportional to 1/cooling = shrink² / (batch_size · tanh(friction/2))."""
        return self.batch_size * _damping(self.friction) / self.shrink**2


@dataclass(frozen=True)
class Allowance:
    """What a calibration may spend.

    Attributes:
        first, smallest, largest: batch sizes; at `first` the search begins.
        windows: steps of each.
        control_variate: whether the gradient at w* on all samples is taken; None where the noise at w* decides.
        curvature: samples that a product with the Hessian is taken on.
        descent, descent_iterations: samples of a gradient of the descent from w*, and how many it may take.
        spectrum: samples that the spectrum at w* is taken on; 0 for none.
        noise_samples: per-sample gradients that measuring the noise at w* took.
        inflation: share of the complexity that minibatches may add.
    """

    first: int
    smallest: int
    largest: int
    windows: tuple[int, ...] = WINDOWS
    control_variate: bool | None = True
    curvature: int = 256
    descent: int = _DESCENT[1]
    descent_iterations: int = ITERATIONS
    spectrum: int = SAMPLES
    noise_samples: int = 0
    inflation: float = INFLATION

    def balance(self, share: float, present: Balance, stored: int) -> Balance:
        """The cheapest settings at which minibatches add `inflation`, given the share that they add at present.

        Friction first, which costs stiff directions nothing, then steps down to 0.7, then batches; and steps again
        where batches cannot grow. A batch of more than half of all samples is replaced by all, which have no noise.
        """
        wanted = max(share, 1e-6) / self.inflation * present.cooling
        damping = min(max(wanted / self.smallest, _damping(FRICTION[0])), _damping(FRICTION[1]))
        shrink = min(max(math.sqrt(self.smallest * damping / wanted), SHRINK), 1.0)
        size = max(self.smallest, 2 ** math.ceil(math.log2(wanted * shrink**2 / damping) - 0.2))
        if size > min(self.largest, stored / 2):
            if self.largest >= stored:
                return Balance(stored, FRICTION[0], 1.0)
            size = self.largest
            shrink = min(math.sqrt(size * damping / wanted), 1.0)
        return Balance(size, 2 * math.atanh(damping), shrink)

    def with_control(self, posterior: LocalPosterior, mass: Tensor, seed: int) -> "Allowance":
        """Whether gradients are corrected by those at w*, decided by the noise of minibatches there.

        The share that batches of the `smallest` size would add to the value is that of a quadratic loss whose
        curvature is the mass: (h²/4) coth(friction/2) Σ S/M / Σ (1 - γ/M), S the variance of a gradient by its batch.
        Where that is more than 15 %, a pass over all samples at w* is the cheaper way.
        """
        if self.control_variate is not None:
            return self
        order = generator(seed, "noise at the center")
        chosen = torch.randint(posterior.samples.stored, (2 * _NOISE,), generator=order)
        halves = [posterior.center_gradient(part) for part in chosen.split(_NOISE)]
        variance = (halves[0] - halves[1]).square() * (_NOISE / 2)  # of a gradient on one sample
        held = float((1 - posterior.localization / mass).clamp(min=0).sum())
        added = float((variance / mass).sum()) / self.smallest * SHRINK**2 / (4 * _damping(FRICTION[1]))
        return replace(self, control_variate=added > UNCORRECTED * held, noise_samples=2 * _NOISE)


def allow(posterior: LocalPosterior, num_chains: int, budget: int | None, fixed_batch: bool) -> Allowance:
    """What a calibration of this posterior may spend.

    Without a budget, batches are the largest that cost no extra time; with one, small enough for 4,000 steps, but of
    16 samples at least.
    """
    stored, low, high = posterior.samples.stored, *_BATCHES
    if fixed_batch:
        smallest = first = largest = posterior.batch_size
    else:
        smallest = min(max(low, min(_PASS // posterior.num_parameters, high)), stored)
        smallest = smallest if smallest <= stored / 2 else stored
        first, largest = max(smallest, min(stored // 8, _FIRST)), stored
    if budget is None:
        return Allowance(first, smallest, largest)
    control: bool | None = None if budget >= 2 * stored else False
    if stored <= _CHEAP * budget:
        control = True
    left = budget if control is False else budget - stored
    affordable = max(_LEAST, left // (_STEPS * (num_chains + 1)))
    if not fixed_batch:
        smallest, first, largest = min(smallest, affordable), min(first, 2 * affordable), min(largest, 2 * affordable)
        largest = stored if largest > stored / 2 else largest
    steps = _SHARE * left / (first * (num_chains + 1))
    windows = tuple(max(3, round(min(1.0, steps / sum(WINDOWS)) * each)) for each in WINDOWS)
    descent = int(min(max(_DESCENT[0], left // 120), _DESCENT[1], stored))
    return Allowance(
        first,
        smallest,
        largest,
        windows,
        control,
        curvature=max(16, min(256, left // 1000)),
        descent=descent,
        descent_iterations=max(4, min(ITERATIONS, int(_DESCENT_SHARE * left / descent))),
        spectrum=0,
        inflation=CHEAP_INFLATION,
    )


def _damping(friction: float) -> float:
    """tanh(friction/2): how strongly friction damps gradient noise in BAOAB."""
    return math.tanh(friction / 2)
