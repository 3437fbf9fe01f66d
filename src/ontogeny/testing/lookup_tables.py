"""Tables of random labels as one-hot look-ups, whose coefficients are exact at any temperature.

The logits of item i are a row of weights of its own, w_i. With cross-entropy the posterior of N items is the product of
N posteriors, so that at fixed nβ/N and γ the coefficient is the sum of one number an item. That number is an integral
in one dimension: with c = nβ/N,

    (Σ_j e^{w_j})^{-c} = 1/Γ(c) ∫ t^{c-1} Π_j exp(-t e^{w_j}) dt,

under which the logits of an item are independent.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from ontogeny.core.errors import InvalidArgument

_SPREADS = 7.0  # standard deviations of the localization, over which the logits are integrated
_STEP = 0.2  # of these, and of log t where its weight is as narrow
_CHUNK = 64  # items at once


class LookupTable(nn.Module):
    """Logits of items, a row of weights each: `forward(items)` is (item, label).

    Args:
        weights: (item, label).
    """

    def __init__(self, weights: Float[Tensor, "item label"]) -> None:
        super().__init__()
        self.logits = nn.Parameter(weights.clone())

    def forward(self, items: Int[Tensor, " item"]) -> Float[Tensor, "item label"]:
        return self.logits[items]


@dataclass(frozen=True)
class TableCoefficients:
    """What each item adds to the coefficient of a look-up table.

    Attributes:
        value: λ̂ of each item, c (E[CE] - CE(w*)).
        loss: E[CE] of each item over the posterior.
    """

    value: Float[Tensor, " item"]
    loss: Float[Tensor, " item"]


def table_coefficients(
    weights: Float[Tensor, "item label"], labels: Int[Tensor, " item"], per_item: float, localization: float
) -> TableCoefficients:
    """The exact λ̂ of a look-up table at w*, one number an item; their sum is that of the table at nβ = per_item · N.

    With the identity above, E[CE] = ψ(c) - E[log t] - E[w_label].

    Args:
        weights: w*, the logits at which the posterior is localised.
        labels: of each item.
        per_item: c = nβ/N.
        localization: γ > 0. Without it the posterior of a single label has no normalisation.

    Raises:
        InvalidArgument: for a `per_item` or `localization` that is not above 0.

    When not to trust it: it is exact for this posterior only; quadrature is good to some 1e-6 where γ and c are
    between 0.1 and 100 (`tests/testing/test_lookup_tables.py`).
    """
    for name, given in (("per_item", per_item), ("localization", localization)):
        if not given > 0:
            raise InvalidArgument(name, expected="more than 0", found=str(given), instead=f"{name}=1.0")
    found = [
        _expected(rows.double(), own, per_item, localization)
        for rows, own in zip(weights.detach().split(_CHUNK), labels.split(_CHUNK), strict=True)
    ]
    expected = torch.cat(found)
    center = nn.functional.cross_entropy(weights.detach().double(), labels, reduction="none")
    return TableCoefficients(per_item * (expected - center), expected)


def _expected(
    rows: Float[Tensor, "item label"], labels: Int[Tensor, " item"], c: float, gamma: float
) -> Float[Tensor, " item"]:
    """E[CE] of each item, by trapezoids over log t and over each logit."""
    spread, root = gamma**-0.5, max(c, 1.0) ** 0.5
    middle = math.log(c) - torch.logsumexp(rows, 1, keepdim=True)
    pulled = 2 * math.log1p(c / gamma)  # how far the loss moves a logit at most
    reach = 8 / root + _SPREADS * spread + pulled
    step = min(0.25 / root, 0.25)
    u = middle + torch.arange(-(reach + 30 / min(c, 1.0) / root), reach + 6, step, dtype=rows.dtype)  # item, place
    width = _SPREADS + pulled / spread
    z = torch.arange(-width, width, min(_STEP, _STEP / spread), dtype=rows.dtype)
    logs, means = list[Tensor](), None
    for j in range(rows.shape[1]):
        mine = (labels == j).to(rows.dtype)[:, None, None]
        w = rows[:, j, None, None] + spread * z
        density = -z.square() / 2 + c * mine * w - torch.exp(u[:, :, None] + w)
        logs.append(torch.logsumexp(density, -1))
        mean = (density.softmax(-1) * w).sum(-1)
        means = mean * mine[..., 0] if means is None else means + mean * mine[..., 0]
    assert means is not None
    share = (c * u + torch.stack(logs).sum(0)).softmax(-1)
    return torch.digamma(torch.tensor(c, dtype=rows.dtype)) - (share * (u + means)).sum(-1)
