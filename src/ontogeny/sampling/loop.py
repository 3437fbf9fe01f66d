"""The one sampling loop: chains of any kernel over any local posterior, recorded as draws."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor

from ontogeny.core import arguments
from ontogeny.core.draws import MemorySink, SamplingSettings
from ontogeny.core.errors import InvalidArgument
from ontogeny.core.protocols import Progress, Sink
from ontogeny.sampling.chains import Chains, Potential
from ontogeny.sampling.kernels import Kernel, State
from ontogeny.sampling.posterior import LocalPosterior
from ontogeny.sampling.recorder import Halves, Recorder
from ontogeny.terminal import as_progress

# Every so many draws the gradient is taken on two halves of the minibatch, whose difference shows its noise.
_NOISE_EVERY = 10


def sample_fixed(
    posterior: LocalPosterior,
    kernel: Kernel,
    num_chains: int = 4,
    num_draws: int = 200,
    num_warmup: int = 200,
    thinning: int = 1,
    *,
    observables: Mapping[str, Any] | None = None,
    seed: int = 0,
    progress: Progress | bool = False,
    sink: Sink | None = None,
    control_variate: bool = False,
    vectorized: bool | None = None,
    compiled: bool = False,
    minimum: Float[Tensor, " parameters"] | None = None,
) -> xr.DataTree:
    """Chains of a kernel from the center: at each draw, the loss paired with the loss at w* on the same samples.

    Each chain has its own noise and its own order of minibatches, which are functions of the seed, the chain's number
    and the step: a chain does not depend on how many others run or how they are batched. Warm-up is recorded apart.
    Step t records w_t before it is updated.

    Args:
        posterior: what to sample.
        kernel: how to step.
        num_chains, num_draws, num_warmup: chains, recorded draws a chain, draws a chain before those.
        thinning: steps from one draw to the next, in warm-up too; there are `thinning * (num_warmup + num_draws)`
            steps.
        observables: name -> samples whose losses are recorded at every draw, averaged over positions; all of them for
            `Samples(data, per_token=True)`.
        seed: root of the seed tree.
        progress: a `Progress`, or True for a bar in the terminal.
        sink: where draws go as they are made; default memory. `ontogeny.stores.ZarrSink` streams them to disk.
        control_variate: take gradients as ∇L_B(w) - ∇L_B(w*) + ∇L(w*), which removes most minibatch noise near w* for
            one pass over the data and one more gradient a step; all chains then share their minibatches.
        vectorized: all chains in one pass through `torch.func.vmap`; default for models below 16,384 weights
            (1,000,000 on a GPU) that allow it.
        compiled: that pass through `torch.compile`, which takes some seconds at first and pays off in long runs of
            small models.
        minimum: ŵ, around which the virial is taken where it is known.

    Returns:
        Draws (see `ontogeny.core.draws`). A chain that leaves the finite numbers stops there, its later draws are
        NaN, and `failed_at` says when.

    Raises:
        InvalidArgument: for counts that are not positive, or a kernel that needs gradients on all
            samples where they are taken on minibatches.
    """
    _check(posterior, kernel, num_chains=num_chains, num_draws=num_draws, thinning=thinning, num_warmup=num_warmup)
    passes = {"vectorized": vectorized, "compiled": compiled}
    chains = Chains(posterior, kernel, num_chains, seed, control_variate=control_variate, **passes)
    recorder = Recorder(posterior, sink or MemorySink(), observables or {}, minimum)
    recorder.open(num_chains, num_draws, num_warmup, chains.control_variate)
    reporter = as_progress(progress)
    num_steps = (num_warmup + num_draws) * thinning
    reporter.start("sampling", num_steps)
    run(
        chains,
        num_steps,
        Controller(),
        reporter,
        "sampling",
        recorder,
        lambda step: None if step % thinning else step // thinning - num_warmup,
    )
    reporter.finish("sampling")
    settings = describe(chains, num_draws=num_draws, num_warmup=num_warmup, thinning=thinning, seed=seed)
    return recorder.close(chains.failed_at, settings)


class Controller:
    """What happens beside the steps of chains: nothing here; calibration and watching override what they need.

    Attributes:
        paired: whether it reads losses at steps that are not recorded.
    """

    paired = False

    def before_step(self, chains: Chains, step: int) -> None:
        """May change `chains.kernel`."""

    def evaluated(self, chains: Chains, block: list[int], state: State, potential: Potential) -> None:
        """A block's losses and gradients at its present positions, before they are used up by the step."""

    def goes_on(self, chains: Chains) -> bool:
        """Whether there is a next step."""
        return chains.finite


def run(
    chains: Chains,
    num_steps: int,
    controller: Controller,
    progress: Progress,
    task: str,
    recorder: Recorder | None = None,
    draw_at: Callable[[int], int | None] = lambda step: None,
) -> None:
    """The one loop: step all chains under a controller, and record what `draw_at` gives a number."""
    for step in range(num_steps):
        controller.before_step(chains, step)
        advance(chains, step, draw_at(step), recorder, controller)
        progress.advance(task)
        if not controller.goes_on(chains):
            break


def advance(chains: Chains, step: int, draw: int | None, recorder: Recorder | None, controller: Controller) -> None:
    """One step of all chains, recorded as `draw` unless that is None."""
    batches = chains.batches()
    halved = draw is not None and draw % _NOISE_EVERY == 0 and not chains.posterior.full_batch
    paired = draw is not None or chains.kernel.exact or controller.paired
    potentials = chains.potentials(batches, paired)
    for (block, state), potential in zip(chains.blocks(), potentials, strict=True):
        if not any(chains.alive(chain) for chain in block):
            continue
        both = evaluate_halves(chains, state, potential) if halved and potential.batch_size > 1 else None
        chains.evaluate(state, potential)
        for chain, loss in zip(block, state.losses.tolist(), strict=True):
            if not abs(loss) < float("inf"):
                chains.stop(chain, step)
        controller.evaluated(chains, block, state, potential)
        if draw is not None and recorder is not None:
            recorder.record(draw, block, state, potential, chains, both)
        chains.step(block, state, potential)
    chains.steps += 1


def evaluate_halves(chains: Chains, state: State, potential: Potential) -> Halves:
    """Evaluate the state on its minibatch by way of both halves of it."""
    assert potential.indices is not None
    size = (potential.batch_size + 1) // 2
    shares, gradients, losses = (size / potential.batch_size, 1 - size / potential.batch_size), [], []
    for part in (potential.indices[..., :size], potential.indices[..., size:]):
        control = chains.control(part) if potential.control is not None else None
        half = Potential(chains.posterior, part, chains.engine, control)
        gradients.append(torch.empty_like(state.gradients))
        losses.append(half(state.positions, gradients[-1]))
        if control is not None:  # of mean 0, and close to what the labels' noise adds to the loss
            losses[-1] = losses[-1] + _slope(chains, state, control)
        potential.spent += half.spent
    torch.add(gradients[0] * shares[0], gradients[1], alpha=shares[1], out=state.gradients)
    found = Halves(torch.sub(*gradients).div_(2), torch.stack(losses, 1), gradients)
    state.losses = shares[0] * losses[0] + shares[1] * losses[1]
    if potential.control is not None:
        state.losses = state.losses - _slope(chains, state, potential.control)
    state.evaluated = True
    return found


def _slope(chains: Chains, state: State, control: Float[Tensor, " parameters"]) -> Float[Tensor, " chain"]:
    """What the control adds to the loss of each chain, to first order."""
    away = state.positions - chains.posterior.center
    return state.reductions.dot(away, control[None]) / max(chains.posterior.nbeta, 1e-30)


def describe(chains: Chains, **lengths: Any) -> SamplingSettings:
    """Everything that was set for a run of these chains."""
    posterior, kernel = chains.posterior, chains.kernel
    return SamplingSettings(
        nbeta=posterior.nbeta,
        localization=posterior.localization,
        kernel=type(kernel).__name__,
        step_size=kernel.step_size,
        num_chains=len(chains),
        batch_size=posterior.batch_size,
        num_samples=len(posterior.samples),
        restriction=posterior.restriction.name if posterior.restriction else "all",
        num_parameters=posterior.num_parameters,
        gradient_evaluations=chains.gradient_evaluations,
        control_variate=chains.control_variate,
        not_finite=chains.not_finite(),
        **lengths,
    )


def _check(posterior: LocalPosterior, kernel: Kernel, **counts: int) -> None:
    for name, value in counts.items():
        least = 0 if name == "num_warmup" else 1
        if arguments.whole_number(name, value, None) < least:
            raise InvalidArgument(
                name, expected=f"an integer ≥ {least}", found=str(value), instead=f"{name}={least} or more"
            )
    if kernel.exact and not posterior.full_batch:
        raise InvalidArgument(
            "kernel",
            expected="one that allows gradients on minibatches",
            found=f"{type(kernel).__name__} with batches of {posterior.batch_size}",
            instead=f"LocalPosterior(..., batch_size={posterior.samples.stored}), or SGLD or SGHMC",
        )
