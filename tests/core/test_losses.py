"""The ready losses against their formulas, and the check that a caller's loss is one a sample."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ontogeny.core.errors import InvalidArgument
from ontogeny.core.losses import cross_entropy, mse, next_token, per_sample


class Table(nn.Module):
    """Logits that are looked up: `(…,)` whole numbers to `(…, classes)`."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.logits = nn.Parameter(logits)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.logits[tokens]


def test_cross_entropy_is_minus_log_of_the_probability() -> None:
    probabilities = torch.tensor([[0.5, 0.25, 0.25], [0.1, 0.1, 0.8]])
    found = cross_entropy(Table(probabilities.log()), (torch.tensor([0, 1, 1]), torch.tensor([1, 2, 0])))
    torch.testing.assert_close(found, torch.tensor([math.log(4), -math.log(0.8), math.log(10)]))


def test_mse_sums_over_outputs_and_is_not_halved() -> None:
    found = mse(nn.Identity(), (torch.tensor([[1.0, 2.0], [0.0, 0.0]]), torch.tensor([[0.0, 0.0], [3.0, 4.0]])))
    torch.testing.assert_close(found, torch.tensor([5.0, 25.0]))


@pytest.mark.parametrize("wrap", [lambda tokens: tokens, lambda tokens: (tokens,), lambda tokens: [tokens]])
def test_next_token_reads_each_position_from_the_one_before(wrap: Callable[[Tensor], Any]) -> None:
    transition = torch.tensor([[0.9, 0.1], [0.3, 0.7]])
    tokens = torch.tensor([[0, 0, 1], [1, 0, 1]])
    expected = -torch.tensor([[0.9, 0.1], [0.3, 0.1]]).log()
    torch.testing.assert_close(next_token(Table(transition.log()), wrap(tokens)), expected)


def test_per_sample_averages_over_positions_only() -> None:
    losses = torch.tensor([[1.0, 3.0], [5.0, 7.0]])
    torch.testing.assert_close(per_sample(lambda model, batch: losses, None, None, 2), torch.tensor([2.0, 6.0]))
    torch.testing.assert_close(per_sample(lambda model, batch: losses[0], None, None, 2), losses[0])


@pytest.mark.parametrize(
    ("losses", "found"),
    [
        (torch.tensor(1.0), "a scalar (a loss reduced over the batch)"),
        (torch.zeros(3), "(3,)"),
        (torch.zeros(3, 3, 4), "(3, 3, 4)"),
        (1.5, "float"),
    ],
)
def test_a_loss_that_is_not_one_a_sample_is_refused(losses: Any, found: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        per_sample(lambda model, batch: losses, None, None, 2)
    message = str(caught.value)
    assert message.startswith("`loss_fn`: expected per-sample losses")
    assert f"found {found}" in message
    assert "reduction='none'" in message


@pytest.mark.parametrize(("batch", "found"), [(torch.zeros(3), "Tensor"), ([torch.zeros(3)] * 3, "list of 3")])
def test_a_batch_that_is_no_pair_is_named(batch: Any, found: str) -> None:
    with pytest.raises(InvalidArgument, match=f"`batch`: expected a pair .* found {found}"):
        mse(nn.Identity(), batch)
