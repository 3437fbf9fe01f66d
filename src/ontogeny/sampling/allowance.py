"""What a calibration may spend, from the sizes of model and data and from a budget; and how it meets noise."""

import math
from dataclasses import dataclass

from ontogeny.sampling.posterior import LocalPosterior
from ontogeny.sampling.spectrum import SAMPLES

WINDOWS = (20, 40, 140, 80, 120)  # steps between updates of mass and batch; chains are heated in the third
FRICTION = (0.05, 0.15)  # of a step: without noise, and at most
SHRINK = 0.7  # of the step, before batches grow
INFLATION = 0.03  # aimed at: the share of the value that minibatch noise may add, which is then taken off
_BATCHES = (64, 1024)  # the smallest is chosen within
_FIRST = 4096  # at most, where the search begins
_PASS = 2**20  # weights times samples of a pass; a smaller one takes hardly less time
_SHARE = 0.2  # of a budget, beside the pass at w*, that the windows take at most
_STEPS = 1200  # of all chains that a budget should allow, by smaller batches if need be
_DESCENT = (256, 4096)  # samples: too few for a descent to be believed, and what is always enough


@dataclass(frozen=True)
class Balance:
    """Batch size, friction and the share of its full length that a step keeps: what minibatch noise is met by."""

    batch_size: int
    friction: float
    shrink: float

    @property
    def cooling(self) -> float:
        """What the share that noise adds goes against."""
        return self.batch_size * _loss(self.friction) / self.shrink**2


@dataclass(frozen=True)
class Allowance:
    """What a calibration may spend.

    Attributes:
        first, smallest, largest: batch sizes; at `first` the search begins.
        windows: steps of each.
        control_variate: whether the gradient at w* on all samples is taken.
        curvature: samples that a product with the Hessian is taken on.
        descent: samples that the descent from w* is taken on; 0 for none.
        spectrum: samples that the spectrum at w* is taken on; 0 for none.
    """

    first: int
    smallest: int
    largest: int
    windows: tuple[int, ...] = WINDOWS
    control_variate: bool = True
    curvature: int = 256
    descent: int = _DESCENT[1]
    spectrum: int = SAMPLES

    def balance(self, share: float, present: Balance, stored: int) -> Balance:
        """The cheapest settings at which minibatches add `INFLATION`, given the share that they add at present.

        Friction first, which costs stiff directions nothing, then steps down to 0.7, then batches; and steps again
        where batches cannot grow. A batch of more than half of all samples is replaced by all, which have no noise.
        """
        wanted = max(share, 1e-6) / INFLATION * present.cooling
        loss = min(max(wanted / self.smallest, _loss(FRICTION[0])), _loss(FRICTION[1]))
        shrink = min(max(math.sqrt(self.smallest * loss / wanted), SHRINK), 1.0)
        size = max(self.smallest, 2 ** math.ceil(math.log2(wanted * shrink**2 / loss) - 0.2))
        if size > min(self.largest, stored / 2):
            if self.largest >= stored:
                return Balance(stored, FRICTION[0], 1.0)
            size = self.largest
            shrink = min(math.sqrt(size * loss / wanted), 1.0)
        return Balance(size, 2 * math.atanh(loss), shrink)


def allow(posterior: LocalPosterior, num_chains: int, budget: int | None, fixed_batch: bool) -> Allowance:
    """What a calibration of this posterior may spend.

    Batches are no smaller than takes less time; under a budget, small enough for 1,200 steps, of which the calibration
    takes a part. Under a budget of less than twice the data, gradients are not corrected by those at w*.
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
    control = budget >= 2 * stored
    left = budget - stored if control else budget
    affordable = max(16, left // (_STEPS * (num_chains + 1)))
    if not fixed_batch:
        smallest, first, largest = min(smallest, affordable), min(first, 2 * affordable), min(largest, 2 * affordable)
        largest = stored if largest > stored / 2 else largest
    steps = _SHARE * left / (first * (num_chains + 1))
    windows = tuple(max(3, round(min(1.0, steps / sum(WINDOWS)) * each)) for each in WINDOWS)
    descent = min(_DESCENT[1], left // 400)
    return Allowance(
        first,
        smallest,
        largest,
        windows,
        control,
        curvature=max(32, min(256, left // 1000)),
        descent=descent if control and descent >= _DESCENT[0] else 0,
        spectrum=0,
    )


def _loss(friction: float) -> float:
    """What the kernel takes of the heat of noise a step, up to a factor."""
    return math.tanh(friction / 2)
