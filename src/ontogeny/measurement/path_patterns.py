"""What cutting the path between two heads costs tokens of each kind."""

from contextlib import ExitStack
from dataclasses import dataclass

import torch
import xarray as xr
from jaxtyping import Float, Int
from torch import Tensor, nn

from ontogeny.circuits import ablate_path
from ontogeny.core.losses import next_token
from ontogeny.measurement.head_patterns import mean_by_kind
from ontogeny.models import heads
from ontogeny.models.structure_calls import evaluating


@dataclass(frozen=True)
class PathPatterns:
    """A behaviour for `measure`: what cutting all paths from a head of the first layer to a later one costs.

    Queries, keys and values of the receiver no longer hear what the sender writes; all others do
    (`circuits.ablate_path`).

    `path_effect` (sender, receiver, kind, pattern_sequence): mean rise of the loss of the kind's tokens in a sequence,
    in nats; NaN in sequences without one.

    Args:
        tokens: sequences on which paths are cut.
        patterns: of `circuits.token_patterns`, on the same tokens.
    """

    tokens: Int[Tensor, "sequence position"]
    patterns: xr.Dataset

    @torch.no_grad()
    def __call__(self, model: nn.Module) -> xr.Dataset:
        tokens = self.tokens.to(next(model.parameters()).device)
        known = heads(model)
        senders = [head.name for head in known if head.layer == known[0].layer]
        receivers = [head.name for head in known if head.name not in senders]
        with evaluating(model):
            loss = next_token(model, tokens)
            rises = [[self._cut(model, tokens, one, other) - loss for other in receivers] for one in senders]
        values = torch.stack([torch.stack(row) for row in rises]).double().cpu().numpy()
        kinds, effects = mean_by_kind(values, self.patterns)
        dims = ("sender", "receiver", "kind", "pattern_sequence")
        return xr.Dataset(
            {"path_effect": (dims, effects)}, {"sender": senders, "receiver": receivers, "kind": list(kinds)}
        )

    @staticmethod
    def _cut(model: nn.Module, tokens: Tensor, sender: str, receiver: str) -> Float[Tensor, "sequence position"]:
        with ExitStack() as cuts:
            for role in "QKV":
                cuts.enter_context(ablate_path(model, sender, receiver, role))
            return next_token(model, tokens)
