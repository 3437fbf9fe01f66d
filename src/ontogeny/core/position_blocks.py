"""The loss of a language model, of which the logits of all positions never exist at once."""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils.checkpoint import checkpoint

from ontogeny.core import arguments
from ontogeny.core.errors import InvalidArgument
from ontogeny.core.forward import predicted
from ontogeny.core.targets import counted_in_text, mean_where, text_of
from ontogeny.core.token_losses import token_losses


@dataclass(frozen=True)
class NextTokenInBlocks:
    """As `next_token`, with logits of some positions at a time, computed in the forward pass and again in the backward.

    For vocabularies whose logits are larger than all other activations. The unembedding is computed once more than by
    `next_token`: a third more work in it, or half as much again where it is frozen.

    Args:
        unembed: path of the module that gives the logits, such as "lm_head" or "unembed". Its output must be the
            network's.
        positions: how many positions, of all samples together, have logits at a time.

    Raises:
        InvalidArgument: on a pass, for a module that is not there or does not give the network's output.
    """

    unembed: str
    positions: int = 512

    def __post_init__(self) -> None:
        if arguments.whole_number("positions", self.positions, None) < 1:
            raise InvalidArgument(
                "positions", expected="an integer ≥ 1", found=str(self.positions), instead="positions=512"
            )

    def __call__(self, model: Any, batch: Any) -> Float[Tensor, "batch position"] | Float[Tensor, " batch"]:
        """See `next_token`."""
        inputs, tokens = text_of(batch)
        module, stream = self._stream(model, inputs)
        counted = counted_in_text(batch)
        following = tokens[:, 1:] if counted is None else tokens[:, 1:].masked_fill(~counted, 0)
        weights = dict(module.named_parameters())  # those of this pass, which may be swapped before the backward pass

        def block(rows: Tensor, targets: Tensor, *values: Tensor) -> Tensor:
            return token_losses(functional_call(module, dict(zip(weights, values, strict=True)), (rows,)), targets)

        parts = zip(
            stream[:, :-1].flatten(0, 1).split(self.positions), following.flatten().split(self.positions), strict=True
        )
        options: dict[str, Any] = {"use_reentrant": False, "preserve_rng_state": False}
        found = [checkpoint(block, *part, *weights.values(), **options) for part in parts]
        losses = torch.cat(found).view(following.shape)
        return losses if counted is None else mean_where(losses, counted)

    def _stream(self, model: nn.Module, inputs: Any) -> tuple[nn.Module, Tensor]:
        """The unembedding, and what it is given, from a pass in which it returns just that."""
        module = dict(model.named_modules()).get(self.unembed)
        if module is None or not self.unembed:
            raise self._refused(f"no module {self.unembed!r} in {type(model).__name__}")
        own, given = module.__dict__.get("forward"), list[Tensor]()

        def forward(stream: Tensor) -> Tensor:
            given.append(stream)
            return stream

        module.forward = forward
        try:
            found = predicted(model, inputs)
        finally:
            del module.forward
            if own is not None:
                module.forward = own
        if len(given) != 1 or found is not given[0]:
            raise self._refused(f"{self.unembed!r}, whose output is changed before the network returns it")
        return module, given[0]

    def _refused(self, found: str) -> InvalidArgument:
        return InvalidArgument(
            "unembed",
            expected="the path of the module whose output is the network's logits",
            found=found,
            instead="og.losses.next_token, or the path that model.named_modules() lists",
        )
