"""Curvature of U along a chain, from gradient differences. It bounds the step size of every kernel."""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ontogeny.sampling.posterior import LocalPosterior


class Curvature:
    """Finite-difference products with the Hessian of U in the coordinates w/scale, on one minibatch.

    Differences are taken over the distance by which chains fluctuate, because that is the curvature a step experiences.
    Pointwise derivatives miss it where the loss is flat to second order.

    Args:
        posterior: supplies the gradients.
        order: generator of the minibatches.
        batch_size: samples used for each product.
    """

    def __init__(self, posterior: LocalPosterior, order: torch.Generator, batch_size: int) -> None:
        self.posterior = posterior.at(batch_size=batch_size)
        self._order = order
        self._direction = self._random()
        self.spent = 0
        self.distance = 0.0

    def displaced(self) -> Float[Tensor, " parameters"]:
        """A random point at the distance from the center, per parameter, over which `diagonal` measured."""
        signs = self._signs()
        return self.posterior.center + signs * self.distance

    def largest(
        self, position: Float[Tensor, " parameters"], scale: Float[Tensor, " parameters"], iterations: int
    ) -> float:
        """The largest curvature at a position, by power iteration from the last direction found."""
        indices = self._batch()
        base = self._gradient(position, indices)
        layout = self.posterior.layout
        radius = 0.3  # of the standard deviation of one direction, which is 1/√curvature in these coordinates
        found = math.nan
        for _ in range(iterations):
            unit = self._direction / layout.norm(self._direction)
            distance = radius / math.sqrt(max(found, 1.0)) if math.isfinite(found) else 1e-2
            moved = self._gradient(position + unit * scale * distance, indices)
            self._direction = (moved - base) * scale / distance
            found = float(layout.dot(self._direction, unit))
            if not math.isfinite(found) or not float(layout.norm(self._direction)):
                self._direction = self._random()
                return math.nan
        return found

    def diagonal(self, probes: int) -> Float[Tensor, " parameters"]:
        """The Hessian's diagonal around the center, averaged over each parameter tensor (Hutchinson's estimator).

        Differences reach as far as the loss rises by the share that equipartition gives each direction.
        """
        center, layout = self.posterior.center, self.posterior.layout
        total = torch.zeros_like(center)
        indices = self._batch()
        base = self._gradient(center, indices)
        distance = self.distance = self._distance(indices)
        for _ in range(probes):
            signs = self._signs()
            total += signs * (self._gradient(center + signs * distance, indices) - base) / distance
        means = layout.part_means(total / probes)
        return means.clamp(min=float(layout.mean(means.clamp(min=0))) * 1e-3 + self.posterior.localization + 1e-12)

    def _distance(self, indices: Tensor | None) -> float:
        center, size = self.posterior.center, self.posterior.num_parameters
        signs = self._signs()
        out, distance = torch.empty_like(center)[None], 1e-5
        longest = 1 / math.sqrt(self.posterior.localization) if self.posterior.localization else 1.0
        while distance < longest:
            rise = self.posterior.nbeta * float(
                self.posterior.gradients((center + signs * distance)[None], indices, out)
            )
            self._count(indices)
            if not rise < size / 4:
                break
            distance *= 4
        return distance / 4

    def _random(self) -> Float[Tensor, " parameters"]:
        found = torch.randn(self.posterior.num_parameters, generator=self._order)
        return self.posterior.layout.here(found.to(self.posterior.center))

    def _signs(self) -> Float[Tensor, " parameters"]:
        found = torch.randint(0, 2, (self.posterior.num_parameters,), generator=self._order) * 2 - 1
        return self.posterior.layout.here(found.to(self.posterior.center))

    def _batch(self) -> Int[Tensor, " batch"] | None:
        """The next minibatch; None for all samples."""
        if self.posterior.full_batch:
            return None
        return torch.randint(self.posterior.samples.stored, (self.posterior.batch_size,), generator=self._order)

    def _gradient(self, position: Tensor, indices: Tensor | None) -> Tensor:
        out = torch.empty_like(position)[None]
        self.posterior.gradients(position[None], indices, out, paired=False)
        self._count(indices)
        return out[0]

    def _count(self, indices: Tensor | None) -> None:
        self.spent += self.posterior.samples.stored if indices is None else len(indices)
