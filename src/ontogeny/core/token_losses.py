"""Cross-entropy over large vocabularies: the values of PyTorch in 32 bits, in fewer passes over memory of a CPU."""

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from ontogeny.core.errors import InvalidArgument

_BLOCK = 2**18  # logits per block: a megabyte, which fits in a core's cache
_BLOCK_ELSEWHERE = 2**24  # of devices that take longer to begin a block than to compute a small one
_FROM = 2**20  # fewer logits than this are in cache anyway
_SHORT = (torch.float16, torch.bfloat16)
_NONE = torch.iinfo(torch.int64).min  # an unused label, in place of the one that PyTorch ignores


def token_losses(logits: Float[Tensor, "token vocabulary"], targets: Int[Tensor, " token"]) -> Float[Tensor, " token"]:
    """-log softmax(logits)[target] of each token, in nats. No target is ignored.

    Of logits in 16 bits losses are computed in 32 bits, block by block, so that never all logits exist in 32 bits.

    Raises:
        InvalidArgument: for a target that is not among the classes.
    """
    if not targets.is_cpu and not torch.compiler.is_compiling():  # where an index out of range raises no error
        _refuse_out_of_range(logits, targets)
    blocked = (logits.numel() >= _FROM and logits.is_cpu) or logits.dtype in _SHORT
    blocked = blocked and not torch.compiler.is_compiling()
    try:
        return _Blocked.apply(logits, targets) if blocked else _plain(logits, targets)
    except IndexError:
        _refuse_out_of_range(logits, targets)
        raise


def any_of(flags: Tensor) -> bool:
    """Whether any is true; False inside `torch.func.vmap`, where values cannot be inspected."""
    try:
        return bool(flags.any())
    except RuntimeError:
        return False


def _plain(logits: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(_long(logits), targets, reduction="none", ignore_index=_NONE)


def _long(numbers: Tensor) -> Tensor:
    return numbers.float() if numbers.dtype in _SHORT else numbers


def _refuse_out_of_range(logits: Tensor, targets: Tensor) -> None:
    wrong = (targets < 0) | (targets >= logits.shape[1])
    if any_of(wrong):
        raise InvalidArgument(
            "batch",
            expected=f"labels from 0 to {logits.shape[1] - 1}, since the model gives {logits.shape[1]} logits",
            found=str(int(targets[wrong][0])),
            instead="a model with a logit for each class; samples without a class (label -100) removed from the data",
        )


class _Blocked(torch.autograd.Function):
    """Processes rows in blocks, so that each is read once in the forward pass, and read and written once in the
    backward pass.

    PyTorch's version writes all log-probabilities, their gradient and the gradient of the logits, each into fresh
    memory. At a vocabulary of 5000 that takes half as long as the matrix products. Every operation here has its own
    derivative and batching rule, so second derivatives and `torch.func.vmap` work.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(logits: Tensor, targets: Tensor) -> Tensor:
        blocks = zip(*_blocks(logits, targets), strict=True)
        return torch.cat([_plain(some, wanted) for some, wanted in blocks])

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        logits, targets = ctx.saved_tensors
        found, begin = torch.empty_like(logits), 0
        for some, wanted, shares in zip(*_blocks(logits, targets, *gradients), strict=True):
            each = shares[:, None]
            found[begin : begin + len(some)] = (_long(some).softmax(1) * each).scatter_add(1, wanted[:, None], -each)
            begin += len(some)
        return found, None


def _blocks(logits: Tensor, *others: Tensor) -> list[tuple[Tensor, ...]]:
    rows = max(1, (_BLOCK if logits.is_cpu else _BLOCK_ELSEWHERE) // logits.shape[1])
    return [each.split(rows) for each in (logits, *others)]
