"""Cross-entropy in blocks: PyTorch's own numbers, gradients, second derivatives and batches of chains."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import grad, vmap

from ontogeny.core import token_losses as blocked

TOKENS, VOCABULARY = 37, 11


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five rows a block, the last of two."""
    monkeypatch.setattr(blocked, "_FROM", 0)
    monkeypatch.setattr(blocked, "_BLOCK", 5 * VOCABULARY)


def _case() -> tuple[Tensor, Tensor, Tensor]:
    source = torch.Generator().manual_seed(0)
    logits = torch.randn(TOKENS, VOCABULARY, generator=source, dtype=torch.float64)
    weights = torch.rand(TOKENS, generator=source, dtype=torch.float64)
    return logits, torch.randint(VOCABULARY, (TOKENS,), generator=source), weights


def _theirs(logits: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(logits, targets, reduction="none")


def test_losses_and_gradients_are_pytorchs() -> None:
    logits, targets, weights = _case()
    logits.requires_grad_()
    ours, theirs = blocked.token_losses(logits, targets), _theirs(logits, targets)
    assert ours.grad_fn is not None
    assert "Blocked" in ours.grad_fn.name()
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)
    found, wanted = (torch.autograd.grad(losses @ weights, logits)[0] for losses in (ours, theirs))
    torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-12)


def test_first_and_second_derivatives_are_those_of_finite_differences() -> None:
    logits, targets, _ = _case()
    few = logits[:7].clone().requires_grad_()
    assert torch.autograd.gradcheck(blocked.token_losses, (few, targets[:7]))
    assert torch.autograd.gradgradcheck(blocked.token_losses, (few, targets[:7]))


@pytest.mark.parametrize("shared", [True, False])
def test_chains_in_one_pass(shared: bool) -> None:
    """Gradients of several weights at once, with targets that they share or have each."""
    logits, targets, weights = _case()
    several = torch.stack([logits, 2 * logits, logits.flip(0)])
    wanted = targets if shared else torch.stack([targets, targets.flip(0), targets])

    def through(losses) -> Tensor:
        gradient = grad(lambda scores, labels: losses(scores, labels) @ weights)
        return vmap(gradient, in_dims=(0, None if shared else 0))(several, wanted)

    torch.testing.assert_close(through(blocked.token_losses), through(_theirs), rtol=1e-12, atol=1e-12)


def test_few_logits_and_compiled_passes_go_through_pytorchs_own(monkeypatch: pytest.MonkeyPatch) -> None:
    logits, targets, _ = _case()
    monkeypatch.setattr(blocked, "_FROM", logits.numel() + 1)
    found = blocked.token_losses(logits.requires_grad_(), targets)
    assert found.grad_fn is not None
    assert "Blocked" not in found.grad_fn.name()
