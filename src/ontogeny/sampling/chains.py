"""The state of all chains of a run: weights, gradients, and the step at which their noise and minibatches stand."""

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
# above it a CPU gains nothing from a batch of chains, and memory is saved by taking them one after another.
_VECTORIZE_BELOW = {"cpu": 16_384, "cuda": 1_000_000}

_ASKED = 2**16  # samples at most, whose losses at w* are looked at after chains were lost


@dataclass
class Potential:
    """U on one minibatch, as kernels see it.

    Attributes:
        control: what the control variate adds to every gradient.
        paired: whether losses are paired with those at w*, which only draws and exact kernels read.
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
    """All chains of a run, stepped in blocks: all at once in one pass, or one after another.

    With `control_variate` every gradient is ∇U_B(w) - nβ∇L_B(w*) + nβ∇L(w*): what the minibatch adds at w* is taken out
    again, for one pass over the data and one gradient more a step that all chains share, with their minibatch.
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
        rows = num_chains if self.engine or kernel.exact else 1  # one after another can share one buffer
        self._gradients = torch.empty_like(self.positions[:rows])
        self.steps = 0  # made so far, over all rounds
        self.failed_at = [math.nan] * num_chains
        self.gradient_evaluations = 0
        self.control_variate = control_variate and not posterior.full_batch
        self._center: Tensor | None = None
        if self.control_variate:
            self.gradient_evaluations += 0 if posterior.center_gradient_known else posterior.samples.stored
            self._center = posterior.center_gradient()
        orders = 1 if self.control_variate else num_chains
        self._order = Order(seed, orders, posterior.samples.stored, posterior.batch_size)
        sizes = dict(zip(posterior.one_by_one.indices, posterior.sizes, strict=True))
        self._noise = {block[0]: Noise(seed, sizes, block, posterior.device) for block in self._blocks()}
        self._states = [self._state(block) for block in self._blocks()]

    def __len__(self) -> int:
        return len(self.positions)

    def blocks(self) -> list[tuple[list[int], State]]:
        """Chains, grouped as they go through the model together."""
        return list(zip(self._blocks(), self._states, strict=True))

    @property
    def finite(self) -> bool:
        """Whether any chain is still finite."""
        return any(math.isnan(step) for step in self.failed_at)

    def alive(self, chain: int) -> bool:
        """Whether the chain has been finite at every step so far; one that was not may look so again."""
        return math.isnan(self.failed_at[chain])

    def stop(self, chain: int, step: int) -> None:
        if self.alive(chain):
            self.failed_at[chain] = float(step)

    def not_finite(self) -> str:
        """Which samples have no finite loss at w*, where chains were lost and any have none; else nothing."""
        if all(map(math.isnan, self.failed_at)):
            return ""
        stored = self.posterior.samples.stored
        asked = torch.arange(0, stored, -(-stored // _ASKED))
        found = asked[~self.posterior.center_losses(asked).isfinite()].tolist()
        shown = ", ".join(map(str, found[:5])) + (" …" if len(found) > 5 else "")
        return f"sample{'s' * (len(found) > 1)} {shown} ({len(found)} of {len(asked)})" if found else ""

    def batches(self) -> list[Int[Tensor, "*chain batch"] | None]:
        """The minibatches of the next step, one entry a block; all chains share one under a control variate."""
        if self.posterior.full_batch:
            return [None] * len(self._states)
        order = self._order.at(self.steps)
        if self.control_variate:
            return [order[0]] * len(self._states)
        return [order[block] for block in self._blocks()]

    def potentials(self, batches: list[Tensor | None], paired: bool = True) -> list[Potential]:
        """U on each block's minibatch; under a control variate its gradient at w* is taken here, once for all."""
        control = self.control(batches[0])
        return [Potential(self.posterior, indices, self.engine, control, paired) for indices in batches]

    def control(self, indices: Tensor | None) -> Tensor | None:
        """What is added to gradients on a minibatch that all chains share."""
        if self._center is None or indices is None:
            return None
        self.gradient_evaluations += indices.shape[-1]
        return self._center - self.posterior.center_gradient(indices)

    def evaluate(self, state: State, potential: Potential) -> None:
        """Gradients and losses at the present positions, unless the last step left them there."""
        if not state.evaluated:
            state.losses = potential(state.positions, state.gradients)
            state.evaluated = True

    def step(self, block: list[int], state: State, potential: Potential) -> None:
        self.kernel.step(state, potential, self._noise[block[0]].at(self.steps))
        self.gradient_evaluations += potential.spent

    def _blocks(self) -> list[list[int]]:
        chains = list(range(len(self)))
        return [chains] if self.engine else [[chain] for chain in chains]

    def _state(self, block: list[int]) -> State:
        rows = slice(block[0], block[-1] + 1)
        gradients = self._gradients[rows] if len(self._gradients) == len(self) else self._gradients
        losses = torch.zeros(len(block), dtype=torch.float64)
        state = State(self.positions[rows], gradients, losses, self.posterior.reductions)
        state.memory = self.kernel.start(state, self._noise[block[0]])
        return state


def _vectorize(posterior: LocalPosterior, num_chains: int) -> bool:
    small = posterior.model_size < _VECTORIZE_BELOW.get(posterior.device.type, 0)
    return small and posterior.num_parameters > 0 and num_chains > 1 and posterior.vectorizes()
