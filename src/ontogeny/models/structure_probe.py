"""Which weights of a module reach which of its outputs: gradients of a copy with random weights.

A weight that does not reach an output has a gradient of zero, up to rounding. What is rounding is decided by size,
relative to the module's other gradients, and not by exact zeros: what is left of a sum that cancels differs between
processors.
"""

from functools import cached_property

import torch
from torch import Tensor, nn

from ontogeny.models.structure_calls import Call
from ontogeny.models.structure_copies import DRAWS, RandomCopy, largest
from ontogeny.models.structure_readings import Projection, Reading, along

Gradients = dict[str, Tensor]
Reached = dict[str, Tensor]

# A tensor's largest gradient is taken to be at least this share of the module's largest: all gradients of a bias of
# keys are rounding.
_LEAST = 0.1


class Probe:
    """Asks which weights of a module reach its outputs, at the last position.

    Args:
        module, call, norms: as for `RandomCopy`.

    Attributes:
        module, parameters, width, input_width, mixes_positions: those of the copy.
    """

    def __init__(self, module: nn.Module, call: Call, norms: bool = False) -> None:
        self._copy = RandomCopy(module, call, norms)
        self.module, self.parameters = self._copy.module, self._copy.parameters
        self.width, self.input_width = self._copy.width, self._copy.input_width
        self.mixes_positions = self._copy.mixes_positions
        self._projections: dict[frozenset[str], Projection | None] = {}

    def projection(self, names: set[str] | None = None) -> Projection | None:
        """The one matrix of which an output reads a single row or column; `None` if there is not one.

        It is one of `names`, by default of all parameters.

        A matrix that reads the stream itself is none: so are values whose heads are projected by an outer module.
        """
        asked = frozenset(self.parameters if names is None else names)
        if asked not in self._projections:
            self._projections[asked] = self._projection(set(asked)) if self.width > 1 else None
        return self._projections[asked]

    def _projection(self, names: set[str]) -> Projection | None:
        units = torch.eye(self.width, dtype=self._copy.readouts[0].dtype)[:2]
        readings = [self.reached(Reading(unit), names) for unit in units]
        without = self.reached(Reading(units[0], first=(slice(None), 0.0)), names)
        found: list[Projection] = []
        for name in names:
            shape, axes = self.parameters[name].shape, range(self.parameters[name].ndim)
            if any((along(readings[0][name], axis) & ~along(without[name], axis)).any() for axis in axes):
                continue  # a place of it falls silent with a feature of the stream
            for axis in axes if len(axes) > 1 else ():
                rows = [along(reading[name], axis).nonzero().flatten().tolist() for reading in readings]
                if shape[axis] == self.width and rows == [[0], [1]]:
                    found.append(Projection(name, axis, tuple(shape[:axis] + shape[axis + 1 :])))
        return found[0] if len(found) == 1 else None

    def gradients(self, reading: Reading) -> list[Gradients]:
        """Gradients of the number that is read, by parameter, for each draw; their rounding is in them."""
        return [self._gradients(draw, reading) for draw in range(DRAWS)]

    def reached(self, reading: Reading, names: set[str] | None = None) -> Reached:
        """Which weights reach the number that is read, by parameter; the draws must agree on what does not.

        Args:
            reading: what is read.
            names: the parameters asked for; default all.
        """
        found: Reached = {}
        for draw, limits in enumerate(self._limits):
            for name, each in self._gradients(draw, reading, names).items():
                more = ~(each.abs() <= limits[name])  # true of what is not a number
                found[name] = found[name] | more if name in found else more
        return found

    @torch.no_grad()
    def outputs(self, changed: Gradients) -> Tensor:
        """All outputs of the module in the first draw, with some of the weights changed."""
        return self._copy.run(self._copy.streams[0], changed)

    @cached_property
    def readers(self) -> list[Projection]:
        """The matrices that read the stream: without its first feature, one place along one of their axes is unused."""
        without = self.reached(Reading(first=(slice(None), 0.0)))
        found = []
        for name, reached in without.items():
            for axis, size in enumerate(reached.shape if reached.ndim > 1 else ()):
                if size == self.input_width > 1 and not reached.select(axis, 0).any() and reached.any():
                    found.append(Projection(name, axis, tuple(reached.shape[:axis] + reached.shape[axis + 1 :])))
        return found

    @cached_property
    def hosts(self) -> dict[str, Projection]:
        """Bias -> the matrix beside which it is added.

        Where the first feature of the stream is one at every position, its row of the matrix is one more bias, and has
        the same gradient. So a bias of keys is found too, of which all gradients are rounding.
        """
        draws = self.gradients(Reading(first=(slice(None), 1.0)))
        unused = {name for name, size in self._sizes[0].items() if size is None}
        found = {}
        for matrix in self.readers:
            for name in self.parameters.keys() - unused - {matrix.name}:
                pairs = [(each[name].flatten(), matrix.hidden_of(each[matrix.name])[0]) for each in draws]
                same = all(
                    bias.shape == row.shape and bool(((bias - row).abs() <= 10 * limits[name]).all())
                    for (bias, row), limits in zip(pairs, self._limits, strict=True)
                )
                if same:
                    found[name] = matrix
        return found

    @cached_property
    def _limits(self) -> list[dict[str, float]]:
        """For each draw and by parameter, the size up to which a gradient is rounding."""
        limits = []
        for sizes in self._sizes:
            least = _LEAST * max((size for size in sizes.values() if size is not None), default=0.0)
            limits.append({name: self._copy.share * max(size or 0.0, least) for name, size in sizes.items()})
        return limits

    @cached_property
    def _sizes(self) -> list[dict[str, float | None]]:
        """For each draw and by parameter, the largest gradient of a random read-out; `None` of what is not used."""
        tensors = list(self.parameters.values())
        sizes: list[dict[str, float | None]] = []
        for draw in range(DRAWS):
            found = zip(self.parameters, self._derivatives(draw, Reading(), tensors), strict=True)
            sizes.append({name: None if each is None else largest(each) for name, each in found})
        return sizes

    def _gradients(self, draw: int, reading: Reading, names: set[str] | None = None) -> Gradients:
        asked = {name: each for name, each in self.parameters.items() if names is None or name in names}
        found = zip(asked.items(), self._derivatives(draw, reading, list(asked.values())), strict=True)
        return {name: torch.zeros_like(tensor) if each is None else each for (name, tensor), each in found}

    def _derivatives(self, draw: int, reading: Reading, parameters: list[Tensor]) -> tuple[Tensor | None, ...]:
        weights = {name: self.parameters[name] * kept for name, kept in reading.kept.items()}
        stream = self._copy.streams[draw].clone()
        if reading.first is not None:
            positions, value = reading.first
            stream[:, positions, 0] = value
        if reading.alone:
            stream[:, :-1] = 0
        output = self._copy.readouts[draw] if reading.output is None else reading.output
        return self._copy.derivatives(stream, weights, output, parameters)
