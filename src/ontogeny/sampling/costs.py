"""What sampling will cost, told from a few steps of the very chains that would be sampled."""

import math
import time
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch

from ontogeny.core.draws import MemorySink
from ontogeny.core.errors import InvalidArgument
from ontogeny.sampling.allowance import allow
from ontogeny.sampling.chains import Chains
from ontogeny.sampling.kernels import SGHMC, Kernel
from ontogeny.sampling.loop import Controller, advance
from ontogeny.sampling.peaks import available_on, peak_of
from ontogeny.sampling.posterior import LocalPosterior
from ontogeny.sampling.recorder import Recorder
from ontogeny.sampling.samplers import Calibrated, Fixed, Sampler
from ontogeny.sampling.tuning import TUNING

_TRIED = (3, 20)  # steps of a trial: at least, and at most
_DESCENT_SAMPLES = 256  # of the pass that is timed for the descent
_SECONDS = 1.0  # that a trial takes once it has made the fewest steps
# L-BFGS of scipy, fitted on three networks of 0.9 to 10.6 million weights: its time for each gradient, in sums and dot
# products of vectors of one number per weight; and the vectors that it holds, beside four for each pair that it keeps.
_DESCENT_PRODUCTS, _DESCENT_VECTORS, _PAIR_VECTORS = 70, 5, 4
# Bytes that glibc at most keeps of what is given back: it lies between vectors that stay. Larger blocks it gives back.
_SCATTERED = 2**25
# Vectors of single precision that a calibration holds beside the chains: mass, its root, squares, positions.
_CALIBRATION_VECTORS = 8


@dataclass(frozen=True)
class Forecast:
    """What sampling one posterior costs.

    Attributes:
        seconds: on this device; of a processor that has nothing else to do, if PyTorch has one thread.
        memory: bytes at the peak, beyond model and data.
        gradients: per-sample gradients.
        at_most: whether sampling may stop earlier, because it ends at its target error.
        device: of the chains.
        available: bytes that the device has free now; None if unknown.
    """

    seconds: float
    memory: int
    gradients: int
    at_most: bool
    device: str
    available: int | None

    def __str__(self) -> str:
        most = "at most " if self.at_most else ""
        return (
            f"{most}{duration(self.seconds)}, {most}{self.gradients:,} per-sample gradients, "
            f"{self.memory / 1e9:.3g} GB at the peak on {self.device}"
        )

    def require_fit(self) -> None:
        """Refuse what the device has no memory for.

        Raises:
            InvalidArgument: if the peak exceeds what is free.
        """
        if self.available is not None and self.memory > self.available:
            raise InvalidArgument(
                "device",
                expected=f"{self.memory / 1e9:.3g} GB of free memory for the chains",
                found=f"{self.available / 1e9:.3g} GB free on {self.device}",
                instead="a restriction such as 'L0.attn', fewer chains, or a smaller pass_size",
            )


def forecast(posterior: LocalPosterior, sampler: Sampler | None = None) -> Forecast:
    """What drawing from a posterior costs, from a few steps of its chains.

    Time is steps × seconds of a step, plus losses at w* and the descent to the minimum. Memory is the most that the
    chains' tensors take up in a step, or that the descent takes up, if that is more. Nothing of the posterior changes.

    Args:
        posterior: what would be sampled.
        sampler: default `Calibrated()`. Its length is not known beforehand: the forecast is what its budget allows.

    Returns:
        The forecast. It holds for this machine. Do not trust it for observables, which cost a forward
        pass each; for kernels whose steps have varying numbers of gradients; or for `torch.compile`.
    """
    chosen = Calibrated() if sampler is None else sampler
    if isinstance(chosen, Fixed):
        return _of_fixed(posterior, chosen)
    if isinstance(chosen, Calibrated):
        return _of_calibrated(posterior, chosen)
    raise InvalidArgument(
        "sampler", expected="Calibrated or Fixed", found=type(chosen).__name__, instead="og.forecast(posterior)"
    )


def _of_fixed(posterior: LocalPosterior, sampler: Fixed) -> Forecast:
    draws = sampler.num_warmup + sampler.num_draws
    steps, size = draws * sampler.thinning, min(posterior.batch_size, posterior.samples.stored)
    descends = bool(posterior.nbeta and posterior.num_parameters)
    passed = sampler.descent_lengths(posterior)[0] if descends else 0
    trial = _tried(posterior, sampler.kernel, sampler.num_chains, sampler.control_variate, passed)
    gradients = sampler.num_chains * steps * size
    seconds = (
        draws * trial.recorded
        + (steps - draws) * trial.bare
        + trial.at_center(posterior, sampler.num_chains * draws * size)
    )
    memory = trial.memory
    if descends:
        samples, calls = sampler.descent_lengths(posterior)
        gradients += samples * calls
        seconds += calls * _descent_seconds(posterior, samples)
        memory = max(memory, _descent_memory(posterior, trial, calls))
    return _forecast(posterior, seconds, memory, gradients, at_most=False)


def _of_calibrated(posterior: LocalPosterior, sampler: Calibrated) -> Forecast:
    allowed = allow(posterior, sampler.num_chains, sampler.budget, False)
    size = min(allowed.first, posterior.samples.stored)
    budget = sampler.budget or TUNING.most_steps * sampler.num_chains * size
    there = posterior.at(batch_size=size)
    kernel = SGHMC(1e-6, scale=torch.ones_like(posterior.center))
    trial = _tried(there, kernel, sampler.num_chains, bool(allowed.control_variate), allowed.descent)
    calls = allowed.descent_iterations
    seconds = budget * trial.recorded / (sampler.num_chains * size) + trial.at_center(posterior, budget)
    seconds += calls * _product_seconds(posterior)
    vectors = 4 * _CALIBRATION_VECTORS * posterior.num_parameters
    memory = max(trial.memory, _descent_memory(posterior, trial, calls)) + vectors
    return _forecast(posterior, seconds, memory, budget, at_most=True)


@dataclass(frozen=True)
class _Trial:
    """What a few steps cost.

    Attributes:
        bare, recorded: seconds of a step of all chains, and of one that is recorded.
        loss: seconds of a per-sample loss.
        memory, passed: bytes at the peak, of chains and of a pass alone.
    """

    bare: float
    recorded: float
    loss: float
    memory: int
    passed: int

    def at_center(self, posterior: LocalPosterior, drawn: float) -> float:
        """Seconds for the losses at w* of all samples that are met."""
        stored = posterior.samples.stored
        return self.loss * stored * (1 - math.exp(-drawn / stored))


def _tried(posterior: LocalPosterior, kernel: Kernel, num_chains: int, control: bool, descent: int) -> _Trial:
    size = min(posterior.batch_size, posterior.samples.stored)
    recorder = Recorder(posterior, MemorySink(), {}, None)
    # the largest pass is that of the descent, or that over samples whose losses are compared at w* and the minimum
    largest = max(size, TUNING.compared_samples, descent)
    most = torch.arange(min(posterior.pass_size, posterior.samples.stored, largest))
    posterior.losses(posterior.center, posterior.samples, most[:1])  # sets memory for kept activations aside
    with peak_of(posterior.device) as passed:
        posterior.gradients(posterior.center[None], most, torch.empty_like(posterior.center[None]), paired=False)
    with peak_of(posterior.device) as peak:
        chains = Chains(posterior, kernel, num_chains, 0, control_variate=control)
        recorder.open(num_chains, _TRIED[1] + 1, 0, chains.control_variate)
        advance(chains, 0, 0, recorder, Controller())
    bare, recorded, losses, met = [], [], [], 0
    begun = _now(posterior.device)
    for draw in range(1, _TRIED[1] + 1):
        bare.append(_timed(posterior.device, partial(_step, chains, None, None)))
        unknown = int(posterior._center_losses.isnan().sum())
        losses.append(_timed(posterior.device, partial(_center_losses, chains)))
        met += unknown - int(posterior._center_losses.isnan().sum())
        recorded.append(_timed(posterior.device, partial(_step, chains, draw, recorder)))
        if draw >= _TRIED[0] and _now(posterior.device) - begun > _SECONDS:
            break
    step, plain = sum(recorded) / len(recorded), sum(bare) / len(bare)
    loss = sum(losses) / met if met else plain / (num_chains * size) / 3
    kept = posterior.activation_bytes
    return _Trial(plain, step, loss, max(peak[0], passed[0]) + kept, passed[0])


def _step(chains: Chains, draw: int | None, recorder: Recorder | None) -> None:
    advance(chains, chains.steps, draw, recorder, Controller())


def _center_losses(chains: Chains) -> None:
    for indices in chains.batches():
        everything = torch.arange(chains.posterior.samples.stored)
        chains.posterior.center_losses(everything if indices is None else indices)


def _descent_memory(posterior: LocalPosterior, trial: _Trial, calls: int) -> int:
    pairs = min(TUNING.descent_memory, calls // 2)  # a pair takes about two gradients
    vectors = _PAIR_VECTORS * pairs + _DESCENT_VECTORS
    if posterior.device.type == "cuda":
        return trial.passed + posterior.activation_bytes  # vectors are in main memory
    passes = trial.passed + min(trial.passed, _SCATTERED)
    return 8 * vectors * posterior.num_parameters + passes + posterior.activation_bytes


def _descent_seconds(posterior: LocalPosterior, samples: int) -> float:
    """Seconds for a gradient of the descent: the pass, and what L-BFGS does with it."""
    some, out = min(samples, _DESCENT_SAMPLES), torch.empty_like(posterior.center[None])
    indices = torch.arange(some)

    def gradient() -> None:
        posterior.gradients(posterior.center[None], indices, out, paired=False)

    seconds = sum(_timed(posterior.device, gradient) for _ in range(3)) / 3
    return seconds * samples / some + _product_seconds(posterior)


def _product_seconds(posterior: LocalPosterior) -> float:
    """Seconds that L-BFGS takes for each gradient beside the pass."""
    one = np.ones(posterior.num_parameters)

    def product() -> None:
        (one + one) @ one

    return _DESCENT_PRODUCTS * sum(_timed(torch.device("cpu"), product) for _ in range(10)) / 10


def _forecast(posterior: LocalPosterior, seconds: float, memory: int, gradients: int, at_most: bool) -> Forecast:
    return Forecast(seconds, memory, gradients, at_most, str(posterior.device), available_on(posterior.device))


def _now(device: torch.device) -> float:
    """Seconds, of the processor if one thread computes: other work on the machine does not count then."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.process_time() if device.type == "cpu" and torch.get_num_threads() == 1 else time.perf_counter()


def _timed(device: torch.device, work: Any) -> float:
    begun = _now(device)
    work()
    return _now(device) - begun


def duration(seconds: float) -> str:
    """Seconds as people read them."""
    if seconds < 120:
        return f"{seconds:.3g} s"
    return f"{seconds / 60:.3g} min" if seconds < 7200 else f"{seconds / 3600:.3g} h"
