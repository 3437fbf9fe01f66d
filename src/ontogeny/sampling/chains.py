"""The state of all chains: weights, gradients, and the step that indexes their noise and minibatches."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ontogeny.core.batches import doubled
from ontogeny.sampling.kernels import Kernel, Noise, State
from ontogeny.sampling.order import Order
from ontogeny.sampling.passes import Pass
from ontogeny.sampling.posterior import LocalPosterior

# Below this many weights a step is dominated by the overhead of small operations, which all chains in one pass share;
# above it a CPU gains nothing from batching chains, and running them one after another saves memory.
_VECTORIZE_BELOW = {"cpu": 16_384, "cuda": 1_000_000}

_ASKED = 2**16  # most samples whose losses at w* are checked after a chain diverges


@dataclass
class BatchPotential:
    """U on one minibatch, as kernels see it.

    Attributes:
        control: control-variate correction added to every gradient.
        paired: whether losses at w* are subtracted; only recorded draws and Metropolis kernels need them.
        spent: per-sample gradients so far.
    """

    posterior: LocalPosterior
    indices: Tensor | None
    engine: Pass | None
    control: Float[Tensor, " parameters"] | None = None
    paired: bool = True
    spent: int = 0

    def __call__(
        self, positions: Float[Tensor, "chain parameters"], out: Float[Tensor, "chain parameters"]
    ) -> Float[Tensor, " chain"]:
        losses = self.posterior.gradients(positions, self.indices, out, self.engine, self.paired)
        self.spent += len(positions) * self.batch_size
        if self.control is not None:
            out.add_(self.control)
        return losses

    @property
    def batch_size(self) -> int:
        return self.posterior.samples.stored if self.indices is None else self.indices.shape[-1]

    def energies(
        self, positions: Float[Tensor, "chain parameters"], losses: Float[Tensor, " chain"]
    ) -> Float[Tensor, " chain"]:
        away = positions - self.posterior.center
        pull = doubled(self.posterior.reductions.dot(away, away)) * (self.posterior.localization / 2)
        return self.posterior.nbeta * losses + pull


class Chains:
    """All chains, stepped in groups: all at once in one pass, or one after another.

    With `control_variate` every gradient is ∇U_B(w) - nβ∇L_B(w*) + nβ∇L(w*): the minibatch error at w* is subtracted.
    This costs one pass over the data and one extra gradient per step. All chains share that gradient and its minibatch.
    """

    def __init__(
        self,
        posterior: LocalPosterior,
        kernel: Kernel,
        num_chains: int,
        seed: int,
        *,
        control_variate: bool = False,
        vectorized: bool | None = None,
        compiled: bool = False,
        start: Float[Tensor, "chain parameters"] | None = None,
    ) -> None:
        self.posterior, self.kernel = posterior, kernel
        if vectorized is None:
            vectorized = compiled or _vectorize(posterior, num_chains)
        self.engine = posterior.batched(compiled) if vectorized else None
        self.positions = posterior.center.repeat(num_chains, 1) if start is None else start.clone()
        rows = num_chains if self.engine or kernel.exact else 1  # chains that run one after another share a buffer
        self._gradients = torch.empty_like(self.positions[:rows])
        self.steps = 0  # taken so far, over all rounds
        self.failed_at = [math.nan] * num_chains
        self.gradient_evaluations = 0
        self.control_variate = control_variate and not posterior.full_batch
        self._center: Tensor | None = None
        if self.control_variate:
            self.gradient_evaluations += 0 if posterior.center_gradient_known else posterior.samples.stored
            self._center = posterior.center_gradient()
        orders = 1 if self.control_variate else num_chains
        self._order = Order(seed, orders, posterior.samples.stored, posterior.batch_size)
        pieces = posterior.layout.pieces
        self._noise = {group[0]: Noise(seed, pieces, group, posterior.device) for group in self._groups()}
        self._states = [self._state(group) for group in self._groups()]

    def __len__(self) -> int:
        return len(self.positions)

    def groups(self) -> list[tuple[list[int], State]]:
        """The chains of each group, which go through the model together, and their state."""
        return list(zip(self._groups(), self._states, strict=True))

    @property
    def finite(self) -> bool:
        """Whether at least one chain is still finite."""
        return any(math.isnan(step) for step in self.failed_at)

    def alive(self, chain: int) -> bool:
        """Whether the chain has been finite at every step so far. A diverged chain may later look finite again."""
        return math.isnan(self.failed_at[chain])

    def stop(self, chain: int, step: int) -> None:
        if self.alive(chain):
            self.failed_at[chain] = float(step)

    def not_finite(self) -> str:
        """Name what is not finite at w*, weights or losses of samples, if a chain has diverged; otherwise ""."""
        if all(map(math.isnan, self.failed_at)):
            return ""
        if broken := int(self.posterior.layout.summed((~self.posterior.center.isfinite()).sum())):
            return f"{broken} of {self.posterior.num_parameters} weights"
        stored = self.posterior.samples.stored
        asked = torch.arange(0, stored, -(-stored // _ASKED))
        found = asked[~self.posterior.center_losses(asked).isfinite()].tolist()
        shown = ", ".join(map(str, found[:5])) + (" …" if len(found) > 5 else "")
        return f"sample{'s' * (len(found) > 1)} {shown} ({len(found)} of {len(asked)})" if found else ""

    def batches(self) -> list[Int[Tensor, "*chain batch"] | None]:
        """The next step's minibatches, one entry per group. Under a control variate all chains share one."""
        if self.posterior.full_batch:
            return [None] * len(self._states)
        order = self._order.at(self.steps)
        if self.control_variate:
            return [order[0]] * len(self._states)
        return [order[group] for group in self._groups()]

    def potentials(self, batches: list[Tensor | None], paired: bool = True) -> list[BatchPotential]:
        """U on each group's minibatch. Under a control variate the gradient at w* is computed here for all chains."""
        control = self.control(batches[0])
        return [BatchPotential(self.posterior, indices, self.engine, control, paired) for indices in batches]

    def control(self, indices: Tensor | None) -> Tensor | None:
        """The control-variate correction on a minibatch that all chains share."""
        if self._center is None or indices is None:
            return None
        self.gradient_evaluations += indices.shape[-1]
        return self._center - self.posterior.center_gradient(indices)

    def evaluate(self, state: State, potential: BatchPotential) -> None:
        """Compute gradients and losses at the present positions, unless the last step already did."""
        if not state.evaluated:
            state.losses = potential(state.positions, state.gradients)
            state.evaluated = True

    def step(self, group: list[int], state: State, potential: BatchPotential) -> None:
        self.kernel.step(state, potential, self._noise[group[0]].at(self.steps))
        self.gradient_evaluations += potential.spent

    def _groups(self) -> list[list[int]]:
        chains = list(range(len(self)))
        return [chains] if self.engine else [[chain] for chain in chains]

    def _state(self, group: list[int]) -> State:
        rows = slice(group[0], group[-1] + 1)
        gradients = self._gradients[rows] if len(self._gradients) == len(self) else self._gradients
        losses = torch.zeros(len(group), dtype=torch.float64)
        state = State(self.positions[rows], gradients, losses, self.posterior.reductions)
        state.memory = self.kernel.start(state, self._noise[group[0]])
        return state


def _vectorize(posterior: LocalPosterior, num_chains: int) -> bool:
    small = posterior.model_size < _VECTORIZE_BELOW.get(posterior.device.type, 0)
    return small and posterior.num_parameters > 0 and num_chains > 1 and posterior.vectorizes()
