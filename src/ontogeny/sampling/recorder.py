"""Records a step of the chains as a draw."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor

from ontogeny.core.draws import SamplingSettings
from ontogeny.core.errors import InvalidArgument
from ontogeny.core.protocols import Sink
from ontogeny.core.samples import Samples
from ontogeny.sampling.chains import BatchPotential, Chains
from ontogeny.sampling.descent import Descent
from ontogeny.sampling.kernels import Reductions, State
from ontogeny.sampling.posterior import LocalPosterior

_TAKEN = ("loss_difference", "chain", "draw")  # names already taken in the group of observables
_STATS = ("loss", "loss_at_center", "distance", "energy", "virial", "pull", "shift", "inflation", "excess")
# only on minibatches, and only at some draws
_HEATS = ("heat", "heat_held", "heat_along")
_HALVED = ("half_loss", "half_virial")


@dataclass(frozen=True)
class Halves:
    """Losses and gradients of the two halves of a minibatch at the same weights.

    Attributes:
        noise: half of the difference of their ∇U, which has the covariance of the minibatch error.
        losses: L(w) - L(w*) of each half; a control variate removes its noise to first order.
        gradients: ∇U of each half.
        control: the part of `noise` that a control variate adds; None without one.
    """

    noise: Float[Tensor, "chain parameters"]
    losses: Float[Tensor, "chain 2"]
    gradients: list[Tensor]
    control: Float[Tensor, " parameters"] | None


class Recorder:
    """Writes the draws of chains to a sink. Draws with negative numbers are warm-up and go to separate groups.

    Args:
        posterior: the posterior that is sampled.
        sink: where draws are written.
        observables: name -> samples whose losses are recorded at every draw.
        descent: to ŵ, around which the virial is taken; w* if None.
    """

    def __init__(
        self,
        posterior: LocalPosterior,
        sink: Sink,
        observables: Mapping[str, Any],
        descent: Descent | None = None,
    ) -> None:
        self.posterior, self.sink = posterior, sink
        self.observables = named_samples(observables)
        self._minimum = posterior.center if descent is None else descent.position
        self._earlier: Float[Tensor, "1 parameters"] | None = None  # minibatch noise of an earlier draw
        self._shift = None if descent is None else descent.position - posterior.center
        self._residual = None if descent is None else descent.residual
        self._slopes: dict[str, Float[Tensor, " parameters"]] = {}  # of each observable at w*, set by `open`

    def open(self, num_chains: int, num_draws: int, num_warmup: int, control_variate: bool = False) -> None:
        halved = not self.posterior.full_batch and self.posterior.batch_size > 1
        names = (*_STATS, *(_HEATS if halved else ()), *(("control",) if control_variate else ()))
        layout: dict[str, tuple[str, tuple[str, ...], tuple[int, ...]]] = {}
        for prefix, draws in {"": num_draws, "warmup_": num_warmup}.items():
            trace = (("chain", "draw"), (num_chains, draws))
            layout[f"{prefix}posterior/loss_difference"] = (f"{prefix}posterior", *trace)
            for name in names:
                layout[f"{prefix}sample_stats/{name}"] = (f"{prefix}sample_stats", *trace)
            for name in _HALVED if halved else ():
                dims, shape = trace
                layout[f"{prefix}sample_stats/{name}"] = (f"{prefix}sample_stats", (*dims, "half"), (*shape, 2))
            if self._residual is not None:
                dims, shape = (*trace[0], "fold"), (*trace[1], len(self._residual))
                layout[f"{prefix}sample_stats/residual"] = (f"{prefix}sample_stats", dims, shape)
        layout["sample_stats/failed_at"] = ("sample_stats", ("chain",), (num_chains,))
        at_center = {name: self._observe(self.posterior.center, name) for name in self.observables}
        for name in self.observables:
            dims, size = ("chain", "draw", f"{name}_sample"), len(at_center[name])
            layout[f"posterior/{name}"] = ("posterior", dims, (num_chains, num_draws, size))
            layout[f"constant_data/{name}_at_center"] = ("constant_data", dims[2:], (size,))
            layout[f"sample_stats/{name}_slope"] = ("sample_stats", dims[:2], (num_chains, num_draws))
        self._slopes = {name: self.posterior.gradient_at_center(each) for name, each in self.observables.items()}
        self.sink.open(layout)  # the sink's earlier content is lost from here on, so all checks come before
        for name, losses in at_center.items():
            self.sink.write(f"constant_data/{name}_at_center", (), losses)

    def record(
        self, draw: int, group: list[int], state: State, potential: BatchPotential, chains: Chains, both: Halves | None
    ) -> None:
        """Record one draw of a group before its step. Chains that are not finite stay NaN."""
        prefix = "" if draw >= 0 else "warmup_"
        alive = torch.tensor([chains.alive(chain) for chain in group])
        at_center = self._at_center(potential.indices, len(group))
        away = state.positions - self.posterior.center
        shifted = away if self._shift is None else away - self._shift
        sums, noise = state.reductions, both.noise if both else None
        size = max(sums.size, 1)
        distance, momentum = sums.norm(away), state.memory.get("momentum")
        energy = self.posterior.nbeta * state.losses + self.posterior.localization / 2 * distance.square()
        if momentum is not None:
            energy = energy + sums.dot(momentum, momentum) / 2
        columns = {
            "posterior/loss_difference": state.losses,
            "sample_stats/loss": state.losses + at_center.to(state.losses.device),
            "sample_stats/loss_at_center": at_center,
            "sample_stats/distance": distance,
            "sample_stats/energy": energy.float(),  # infinite where it exceeds what is stored
            "sample_stats/virial": sums.dot(shifted, state.gradients) / size,
            "sample_stats/pull": sums.dot(shifted, away) * self.posterior.localization,
            "sample_stats/shift": self._along(shifted, sums) * self.posterior.localization,
            # what finite steps and minibatches add to the virial of U
            "sample_stats/excess": chains.kernel.inflation(state, state.gradients, noise) * (2 / size),
        }
        if self._residual is not None:
            each = [sums.dot(shifted, fold[None]) for fold in self._residual]
            columns["sample_stats/residual"] = torch.stack(each, 1)
        if both is not None:
            columns["sample_stats/heat"] = chains.kernel.heat(state, both.noise, both.noise)
            columns["sample_stats/heat_held"] = self._heat_held(group, state, chains, both.noise)
            columns["sample_stats/heat_along"] = self._heat_along(state, chains, both.noise)
            columns["sample_stats/half_loss"] = both.losses
            virials = [sums.dot(shifted, each) / size for each in both.gradients]
            columns["sample_stats/half_virial"] = torch.stack(virials, 1)
        if potential.control is not None and self.posterior.nbeta:
            columns["sample_stats/control"] = -sums.dot(away, potential.control[None]) / self.posterior.nbeta
        for name, gradient in self._slopes.items() if draw >= 0 else ():
            columns[f"sample_stats/{name}_slope"] = sums.dot(away, gradient[None])
        loss_gradients = away.mul_(-self.posterior.localization).add_(state.gradients)  # in place
        columns["sample_stats/inflation"] = chains.kernel.inflation(state, loss_gradients, noise)
        index = (slice(group[0], group[-1] + 1), draw)
        for name, values in columns.items():
            kept = values.cpu().double().where(alive if values.ndim == 1 else alive[:, None], math.nan)
            self.sink.write(prefix + name, index, kept.numpy())
        if draw >= 0 and self.observables:
            for chain, row in zip(group, state.positions, strict=True):
                for name in self.observables:
                    if chains.alive(chain):
                        self.sink.write(f"posterior/{name}", (chain, draw), self._observe(row, name))

    def close(self, failed_at: list[float], settings: SamplingSettings) -> xr.DataTree:
        for chain, step in enumerate(failed_at):
            self.sink.write("sample_stats/failed_at", (chain,), step)
        return self.sink.close({"settings": settings.to_json()})

    def _at_center(self, indices: Tensor | None, rows: int) -> Tensor:
        if indices is None:
            indices = torch.arange(self.posterior.samples.stored)
        return self.posterior.center_losses(indices).double().mean(-1).expand(rows)

    def _heat_held(self, group: list[int], state: State, chains: Chains, noise: Tensor) -> Float[Tensor, " chain"]:
        """The heat in directions that γ alone confines, for a quadratic loss.

        Heat in a direction of variance v adds to nβL only the share 1 - γv that the loss confines. The variance along
        `noise` comes from other chains, because the noise of a chain depends on its own weights. Chains that have
        already stepped have felt this minibatch, and are left out; NaN if no other is left.
        """
        others = [[*group[shift:], *group[:shift]] for shift in range(1, len(group))]
        if len(group) == 1:
            after = group[0] + 1
            others = [group] if len(chains) == 1 else [[after]] if after < len(chains) else []
        found = torch.full((max(len(others), 1), len(group)), math.nan, device=noise.device)
        for row, indices in enumerate(others):
            away = chains.positions[indices] - self._minimum
            along = state.reductions.dot(noise, away) * self.posterior.localization
            found[row] = along * chains.kernel.heat(state, noise, away)
        return found.nanmean(0)  # without chains that have diverged

    def _heat_along(self, state: State, chains: Chains, noise: Tensor) -> Float[Tensor, " chain"]:
        """The heat along `noise`, relative to the kernel's, by noise of an earlier minibatch; NaN without one."""
        earlier, self._earlier = self._earlier, noise[:1].clone()
        if earlier is None:
            return torch.full_like(state.losses, math.nan)
        heat = chains.kernel.heat
        found = heat(state, noise, earlier.expand_as(noise)).square() / heat(state, noise, noise)
        return found * state.reductions.size

    def _along(self, shifted: Float[Tensor, "chain parameters"], sums: Reductions) -> Float[Tensor, " chain"]:
        return torch.zeros(len(shifted)) if self._shift is None else sums.dot(shifted, self._shift[None])

    def _observe(self, position: Tensor, name: str) -> np.ndarray:
        samples = self.observables[name]
        batches = torch.arange(samples.stored).split(self.posterior.pass_size)
        return torch.cat([self.posterior.losses(position, samples, batch) for batch in batches]).cpu().numpy()


def named_samples(observables: Mapping[str, Any]) -> dict[str, Samples]:
    """Observables as samples. Names that the draws already use or cannot store are refused."""
    for name in observables:
        if not name or "/" in name or name in _TAKEN:
            raise InvalidArgument(
                "observables",
                expected=f"names without a slash, other than {', '.join(_TAKEN)}",
                found=repr(name),
                instead='observables={"name": data}',
            )
    return {name: Samples.of(data, name=f"observables[{name!r}]") for name, data in observables.items()}
