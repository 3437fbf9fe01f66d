"""Deep linear networks at their true weights, and the finite-temperature answer that every contestant is held against.

A case is a network without biases, x ~ N(0, I), y = W_L … W_1 x + σξ, and the loss |f(x) - y|² averaged over n samples.
The answer is nβ E[L(w) - L(w*)] under exp(-nβ L(w) - (γ/2)|w - w*|²) at nβ = n / log n and γ = 1, on these samples.
It differs from the learning coefficient itself, so no sampler should be held against the latter.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

LOCALIZATION = 1.0


@dataclass(frozen=True)
class Case:
    """One network and its data, made from seed 0.

    Args:
        widths: input, hidden and output sizes.
        rank: None for generic full-rank weights; else every layer has exactly this rank and is zero elsewhere.
        num_samples: n.
        noise: σ of the labels.
    """

    widths: tuple[int, ...]
    rank: int | None
    num_samples: int
    noise: float

    @property
    def name(self) -> str:
        kind = "generic" if self.rank is None else f"rank {self.rank}"
        return f"{'-'.join(map(str, self.widths))}, {kind}, n = 10^{round(math.log10(self.num_samples))}"

    @property
    def slug(self) -> str:
        kind = "generic" if self.rank is None else f"rank{self.rank}"
        return f"{'-'.join(map(str, self.widths))}_{kind}_n{self.num_samples}"

    @property
    def num_parameters(self) -> int:
        return sum(a * b for a, b in zip(self.widths, self.widths[1:], strict=False))

    @property
    def nbeta(self) -> float:
        return self.num_samples / math.log(self.num_samples)


_SHAPES: dict[tuple[int, ...], int | None] = {
    (5, 10, 5): None,
    (7, 7, 7): 1,
    (16, 20, 20, 16): None,
    (18, 18, 18, 18): 4,
    (50, 60, 60, 50): None,
    (57, 57, 57, 57): 14,
}
SMALL = [Case(widths, rank, 10**4, 0.1) for widths, rank in _SHAPES.items()]
LARGE = [Case(widths, rank, 10**6, 1.0) for widths, rank in _SHAPES.items() if widths != (57, 57, 57, 57)]
CASES = SMALL + LARGE


def build(case: Case) -> tuple[list[Tensor], Tensor, Tensor]:
    """The weights (out, in) of each layer, x of (n, in) and y of (n, out), all float32."""
    generator = torch.Generator().manual_seed(0)
    weights = []
    for fan_in, fan_out in zip(case.widths, case.widths[1:], strict=False):
        if case.rank is None:
            weights.append(torch.randn(fan_out, fan_in, generator=generator) / math.sqrt(fan_in))
        else:
            weight = torch.zeros(fan_out, fan_in)
            rotation, _ = torch.linalg.qr(torch.randn(case.rank, case.rank, generator=generator))
            weight[: case.rank, : case.rank] = rotation
            weights.append(weight)
    x = torch.randn(case.num_samples, case.widths[0], generator=generator)
    y = x
    for weight in weights:
        y = y @ weight.T
    return weights, x, y + case.noise * torch.randn(y.shape, generator=generator)


class ExactPosterior:
    """U(w) = nβ (L(w) - L(w*)) + (γ/2)|w - w*|² of many chains, from second moments of the data."""

    def __init__(self, case: Case, weights: Sequence[Tensor], x: Tensor, y: Tensor) -> None:
        weights = [weight.double() for weight in weights]
        x, y = x.double(), y.double()
        self.shapes = [tuple(weight.shape) for weight in weights]
        self.center = torch.cat([weight.flatten() for weight in weights])
        self.nbeta = case.nbeta
        self.product = _product(weights)
        self.input_moment = x.T @ x / len(x)
        self.residual_moment = (y - x @ self.product.T).T @ x / len(x)

    def energy(self, positions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """nβ (L - L*) (chain,), U (chain,) and ∇U (chain, parameters)."""
        weights = self._layers(positions)
        below = [weights[0]]
        for weight in weights[1:]:
            below.append(weight @ below[-1])
        change = below[-1] - self.product
        pushed = change @ self.input_moment
        excess = self.nbeta * ((pushed * change).sum((1, 2)) - 2 * (change * self.residual_moment).sum((1, 2)))
        above = 2 * self.nbeta * (pushed - self.residual_moment)
        gradients = []
        for layer in reversed(range(len(weights))):
            gradients.append((above @ below[layer - 1].mT if layer else above).flatten(1))
            above = weights[layer].mT @ above
        away = positions - self.center
        total = excess + 0.5 * LOCALIZATION * away.square().sum(1)
        return excess, total, torch.cat(gradients[::-1], dim=1) + LOCALIZATION * away

    def _layers(self, positions: Tensor) -> list[Tensor]:
        parts = positions.split([a * b for a, b in self.shapes], dim=1)
        return [part.unflatten(1, shape) for part, shape in zip(parts, self.shapes, strict=True)]


def _product(weights: Sequence[Tensor]) -> Tensor:
    product = weights[0]
    for weight in weights[1:]:
        product = weight @ product
    return product


def reference(case: Case, folder: Path) -> dict[str, float]:
    """The answer with its standard error, by long Hamiltonian Monte Carlo; kept in `folder`."""
    path = folder / f"{case.slug}.json"
    if path.exists():
        return json.loads(path.read_text(encoding="utf-8"))
    posterior = ExactPosterior(case, *build(case))
    small = case.num_parameters < 5000
    trace = hamiltonian(posterior, num_draws=3000 if small else 1500, seed=0, num_chains=32 if small else 4)
    halves = torch.stack(trace.chunk(2)).mean(1).flatten()  # two halves of each chain: their spread is the error
    found = {
        "value": float(trace.mean()),
        "mcse": float(halves.std() / math.sqrt(len(halves))),
        "first_half": float(trace[: len(trace) // 2].mean()),
        "second_half": float(trace[len(trace) // 2 :].mean()),
    }
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found), encoding="utf-8")
    return found


def hamiltonian(posterior: ExactPosterior, num_draws: int, seed: int, num_chains: int) -> Tensor:
    """nβ (L - L*) of (draw, chain): leapfrog paths of 1 to 31 steps, the step adapted to acceptance 0.8 in the warm-up.

    The warm-up, two thirds of `num_draws` more iterations, is left out.
    """
    generator = torch.Generator().manual_seed(seed)
    position = posterior.center.repeat(num_chains, 1)
    excess, energy, gradient = posterior.energy(position)
    log_step, trace, num_warmup = math.log(1e-4), [], num_draws * 2 // 3
    for iteration in range(num_warmup + num_draws):
        momentum = torch.randn(position.shape, generator=generator, dtype=position.dtype)
        at_start = energy + 0.5 * momentum.square().sum(1)
        step, moved, new_gradient = math.exp(log_step), position, gradient
        new_excess, new_energy = excess, energy
        for _ in range(int(torch.randint(1, 32, (1,), generator=generator))):
            momentum = momentum - 0.5 * step * new_gradient
            moved = moved + step * momentum
            new_excess, new_energy, new_gradient = posterior.energy(moved)
            momentum = momentum - 0.5 * step * new_gradient
        at_end = new_energy + 0.5 * momentum.square().sum(1)
        acceptance = torch.exp((at_start - at_end).clamp(max=0)).nan_to_num(0)
        accepted = torch.rand(num_chains, generator=generator, dtype=position.dtype) < acceptance
        position = torch.where(accepted[:, None], moved, position)
        gradient = torch.where(accepted[:, None], new_gradient, gradient)
        energy, excess = torch.where(accepted, new_energy, energy), torch.where(accepted, new_excess, excess)
        if iteration < num_warmup:
            log_step += (float(acceptance.mean()) - 0.8) * 2 / (iteration + 1) ** 0.3
        else:
            trace.append(excess)
    return torch.stack(trace)
