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
from ontogeny.sampling.chains import BatchPotential, Chains
from ontogeny.sampling.descent import Descent
from ontogeny.sampling.kernels import Kernel, State
from ontogeny.sampling.layout import Divided
from ontogeny.sampling.posterior import LocalPosterior
from ontogeny.sampling.recorder import Halves, Recorder
from ontogeny.terminal import as_progress

# Every so many draws the gradient is computed on two halves of the minibatch; their difference shows its noise.
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
    descent: Descent | None = None,
) -> xr.DataTree:
    """Run a kernel's chains from the center. Each draw pairs the loss with the loss at w* on the same samples.

    Each chain has its own noise and its own order of minibatches, as functions of the seed, the chain's number and the
    step. A chain does not depend on how many others run or how they are batched. Warm-up is recorded separately. Step t
    records w_t before the update.

    Args:
        posterior: what to sample.
        kernel: how to step.
        num_chains, num_draws, num_warmup: chains, recorded draws per chain, and draws per chain before those.
        thinning: steps from one draw to the next, in warm-up too; there are `thinning * (num_warmup + num_draws)`
            steps.
        observables: name -> samples whose losses are recorded at every draw, averaged over positions; all of them for
            `Samples(data, per_token=True)`.
        seed: root of the seed tree.
        progress: a `Progress`, or True for a bar in the terminal.
        sink: where draws go as they are made; default memory. `ontogeny.stores.ZarrSink` streams them to disk.
        control_variate: use gradients ∇L_B(w) - ∇L_B(w*) + ∇L(w*). This removes most minibatch noise near w*, and costs
            one pass over the data and one extra gradient per step. All chains then share their minibatches.
        vectorized: all chains in one pass through `torch.func.vmap`; default for models below 16,384 weights
            (1,000,000 on a GPU) that allow it.
        compiled: use `torch.compile` for that pass. It takes some seconds at first and pays off in long runs of small
            models.
        descent: to ŵ, if one was made; the virial is taken around it.

    Returns:
        Draws (see `ontogeny.core.draws`). A chain that stops being finite is stopped there. Its later draws are NaN,
        and `failed_at` holds the step.

    Raises:
        InvalidArgument: for counts that are not positive, or for minibatches with a kernel that needs gradients on all
            samples.
    """
    _check(posterior, kernel, num_chains=num_chains, num_draws=num_draws, thinning=thinning, num_warmup=num_warmup)
    passes = {"vectorized": vectorized, "compiled": compiled}
    chains = Chains(posterior, kernel, num_chains, seed, control_variate=control_variate, **passes)
    recorder = Recorder(posterior, sink or MemorySink(), observables or {}, descent)
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
    """Hooks around the steps of chains. The base class does nothing; calibration and the step watch override it.

    Attributes:
        paired: whether it needs losses at steps that are not recorded.
    """

    paired = False

    def before_step(self, chains: Chains, step: int) -> None:
        """May change `chains.kernel`."""

    def evaluated(self, chains: Chains, group: list[int], state: State, potential: BatchPotential) -> None:
        """Receive a group's losses and gradients at its present positions, before the step overwrites them."""

    def goes_on(self, chains: Chains) -> bool:
        """Whether to take another step."""
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
    """The one loop: step all chains under a controller, and record the steps to which `draw_at` gives a draw number."""
    for step in range(num_steps):
        controller.before_step(chains, step)
        advance(chains, step, draw_at(step), recorder, controller)
        progress.advance(task)
        if not controller.goes_on(chains):
            break


def advance(chains: Chains, step: int, draw: int | None, recorder: Recorder | None, controller: Controller) -> None:
    """Step all chains once, recording the state as `draw` unless that is None."""
    batches = chains.batches()
    halved = draw is not None and draw % _NOISE_EVERY == 0 and not chains.posterior.full_batch
    paired = draw is not None or chains.kernel.exact or controller.paired
    potentials = chains.potentials(batches, paired)
    for (group, state), potential in zip(chains.groups(), potentials, strict=True):
        if not any(chains.alive(chain) for chain in group):
            continue
        both = evaluate_halves(chains, state, potential) if halved and potential.batch_size > 1 else None
        chains.evaluate(state, potential)
        for chain, loss in zip(group, state.losses.tolist(), strict=True):
            if not abs(loss) < float("inf"):
                chains.stop(chain, step)
        controller.evaluated(chains, group, state, potential)
        if draw is not None and recorder is not None:
            recorder.record(draw, group, state, potential, chains, both)
        chains.step(group, state, potential)
    chains.steps += 1


def evaluate_halves(chains: Chains, state: State, potential: BatchPotential) -> Halves:
    """Evaluate the state on both halves of its minibatch, and combine them."""
    assert potential.indices is not None
    size = (potential.batch_size + 1) // 2
    shares, gradients, losses = (size / potential.batch_size, 1 - size / potential.batch_size), [], []
    controls: list[Tensor] = []
    for part in (potential.indices[..., :size], potential.indices[..., size:]):
        control = chains.control(part) if potential.control is not None else None
        half = BatchPotential(chains.posterior, part, chains.engine, control)
        gradients.append(torch.empty_like(state.gradients))
        losses.append(half(state.positions, gradients[-1]))
        if control is not None:  # of mean 0, and close to the contribution of label noise to the loss
            losses[-1] = losses[-1] + _slope(chains, state, control)
            controls.append(control)
        potential.spent += half.spent
    torch.add(gradients[0] * shares[0], gradients[1], alpha=shares[1], out=state.gradients)
    at_center = torch.sub(*controls).div_(2) if controls else None
    found = Halves(torch.sub(*gradients).div_(2), torch.stack(losses, 1), gradients, at_center)
    state.losses = shares[0] * losses[0] + shares[1] * losses[1]
    if potential.control is not None:
        state.losses = state.losses - _slope(chains, state, potential.control)
    state.evaluated = True
    return found


def _slope(chains: Chains, state: State, control: Float[Tensor, " parameters"]) -> Float[Tensor, " chain"]:
    """First-order contribution of the control variate to each chain's loss."""
    away = state.positions - chains.posterior.center
    return state.reductions.dot(away, control[None]) / max(chains.posterior.nbeta, 1e-30)


def describe(chains: Chains, **lengths: Any) -> SamplingSettings:
    """All settings under which these chains were sampled."""
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
    if isinstance(posterior.layout, Divided) and getattr(kernel, "directions", None) is not None:
        raise InvalidArgument(
            "kernel",
            expected="a kernel whose preconditioner is diagonal, for weights divided over processes",
            found=f"{type(kernel).__name__} with directions",
            instead="directions=None, factors=None, and diagonal=posterior.layout.here(diagonal)",
        )
    if kernel.exact and not posterior.full_batch:
        raise InvalidArgument(
            "kernel",
            expected="a kernel that allows minibatch gradients",
            found=f"{type(kernel).__name__} with batches of {posterior.batch_size} samples",
            instead=f"LocalPosterior(..., batch_size={posterior.samples.stored}), or SGLD or SGHMC",
        )
