"""What takes the place of an activation that is ablated."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor, nn

from ontogeny.core.errors import InvalidArgument
from ontogeny.core.seeds import generator
from ontogeny.models import Intervention, run_with_cache
from ontogeny.models.structure_calls import evaluating

_KINDS = ("zero", "mean", "resample")


@dataclass(frozen=True)
class Replacement:
    """How activations (sequence, position, …) are replaced.

    Args:
        how: `"zero"`; `"mean"`, the activation's mean over positions and sequences; or `"resample"`, the activation at
            the same position of another sequence. Zero may be far from anything that the network has met; the mean
            keeps what is constant; resampling keeps the distribution.
        positions: which are replaced; negative ones count from the last. Default all. The mean is over all positions
            all the same.
        reference: tokens (sequence, position) on which means are taken and among which sequences are drawn, the same
            ones for all parts, by the network as it is. They must be as long as the batch for `"resample"`. Default the
            batch in the run at hand, in which later parts already answer to the replacement of earlier ones: where
            several parts are ablated, give a reference.
        seed: of the sequences drawn. A batch of a given size is always answered by the same ones.
    """

    how: str = "zero"
    positions: Sequence[int] | None = None
    reference: Int[Tensor, "sequence position"] | None = field(default=None, compare=False)
    seed: int = 0

    def __post_init__(self) -> None:
        if self.how not in _KINDS:
            raise InvalidArgument(
                "how", expected="'zero', 'mean' or 'resample'", found=repr(self.how), instead="how='mean'"
            )

    @staticmethod
    def of(how: "str | Replacement") -> "Replacement":
        return how if isinstance(how, Replacement) else Replacement(how)

    def interventions(self, model: nn.Module, places: Sequence[Any]) -> Mapping[Any, Intervention]:
        """Place -> what replaces its activation; the model is run on the reference if that is needed."""
        if self.reference is None or self.how == "zero":
            return dict.fromkeys(places, self)
        with evaluating(model):
            seen = run_with_cache(model, self.reference, names=places)[1]
        return {place: self._with(seen[place]) for place in places}

    def __call__(self, activation: Tensor, seen: Tensor | None = None) -> Tensor:
        """The activation with its replacement at `positions`; `seen` is that on the reference."""
        new = self._everywhere(activation, seen).to(activation).expand_as(activation)
        if self.positions is None:
            return new
        places = torch.tensor(list(self.positions), device=activation.device) % activation.shape[1]
        return activation.index_copy(1, places, new.index_select(1, places))

    def _with(self, seen: Tensor) -> Intervention:
        return lambda activation: self(activation, seen)

    def _everywhere(self, activation: Tensor, seen: Tensor | None) -> Tensor:
        if self.how == "zero":
            return torch.zeros_like(activation)
        if self.how == "mean":
            return (activation if seen is None else seen).mean((0, 1), keepdim=True)
        count = len(activation)
        source = generator(self.seed, "resample", count)
        if seen is not None:
            chosen = torch.randint(len(seen), (count,), generator=source).to(seen.device)
            if seen.shape[1:] == activation.shape[1:]:
                return seen[chosen]
        elif count > 1:  # a cycle through all sequences in random order, which leaves none where it is
            order = torch.randperm(count, generator=source)
            return activation[torch.empty_like(order).scatter_(0, order, order.roll(1)).to(activation.device)]
        raise InvalidArgument(
            "how",
            expected="another sequence of the same length to resample from",
            found="a batch of one" if seen is None else f"{seen.shape[1]} positions for {activation.shape[1]}",
            instead="circuits.Replacement('resample', reference=tokens) with tokens as long as the batch's",
        )
