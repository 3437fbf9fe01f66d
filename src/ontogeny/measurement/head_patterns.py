"""Which kinds of tokens each head is needed for, at a checkpoint."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from jaxtyping import Float, Int
from torch import Tensor, nn

from ontogeny.circuits import KINDS, multigrams, token_effects
from ontogeny.circuits.token_kinds import OTHER


@dataclass(frozen=True)
class HeadPatterns:
    """A behaviour for `measure`: what zeroing each head costs tokens sorted by their patterns.

    - `pattern_tokens`, `pattern_multigrams`, `pattern_expected` (head, kind): tokens that lose `least` nats or more,
      the different patterns among them, and what would be expected if the head served all kinds alike. See
      `circuits.multigrams`.
    - `pattern_effect` (head, kind, pattern_sequence): mean rise of the loss of the kind's tokens in a sequence, in
      nats; NaN in sequences without one.

    Args:
        tokens: sequences on which heads are ablated.
        patterns: of `circuits.token_patterns`, on the same tokens.
        least: nats from which a token counts as affected.
    """

    tokens: Int[Tensor, "sequence position"]
    patterns: xr.Dataset
    least: float = 0.5

    def __call__(self, model: nn.Module) -> xr.Dataset:
        device = next(model.parameters()).device
        effects = token_effects(model, self.tokens.to(device))
        counted = multigrams(effects, self.patterns, self.least)
        values = effects["effect"].transpose("part", "sequence", "position").values
        kinds, means = mean_by_kind(values, self.patterns)
        data: dict[str, Any] = {f"pattern_{name}": (("head", "kind"), counted[name].values) for name in counted}
        data["pattern_effect"] = (("head", "kind", "pattern_sequence"), means)
        return xr.Dataset(data, {"head": counted["part"].values, "kind": list(kinds)})


def mean_by_kind(
    values: Float[np.ndarray, "*part sequence position"], patterns: xr.Dataset
) -> tuple[tuple[str, ...], Float[np.ndarray, "*part kind sequence"]]:
    """The kinds of token, and the mean of values over each sequence's tokens of a kind; NaN where it has none."""
    kinds = (*KINDS, OTHER)
    means = np.full((*values.shape[:-2], len(kinds), values.shape[-2]), np.nan)
    for column, kind in enumerate(kinds):
        there = patterns["kind"].values == kind
        count = there.sum(1)
        means[..., column, count > 0] = (values * there).sum(-1)[..., count > 0] / count[count > 0]
    return kinds, means
