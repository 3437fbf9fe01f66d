"""Checks that a loss is what sampling assumes: a function of one sample and of the sampled weights.

The check runs once at w*, when a posterior is made, on a few samples. It takes some nine forward passes and two
backward passes.
"""

import inspect
import random
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from ontogeny.core.batches import leaves
from ontogeny.core.errors import InvalidArgument
from ontogeny.core.samples import Samples
from ontogeny.sampling.passes import Run
from ontogeny.sampling.probe_gradients import check_answers, drop_idle_hooks
from ontogeny.sampling.probe_passes import COUNT, ELSEWHERE, LEAST, Asked, differ, equal, scale, shown

_FELT = 0.01  # of nβ L: difference in a sample's loss too small to affect the coefficient
_RARE = 50  # passes of a loss that draws random numbers, which must all be alike


def probe(run: Run, weights: Sequence[Tensor], samples: Samples, nbeta: float, original: nn.Module) -> None:
    """Run every check, leaving all random state unchanged.

    Args:
        run: the model's copy with its loss. Forward hooks that change nothing are dropped from it, since they would
            accumulate the results of every pass.
        weights: w* by parameter, one chain in front.
        samples: the posterior's samples.
        nbeta: weight of loss differences.
        original: the caller's module, to which the loss must not respond.

    Raises:
        InvalidArgument: for data that change between readings, or a loss that is random, depends on a sample's
            neighbours in the batch, or does not respond to the sampled weights. The message says what to write instead.
    """
    with _same_randomness(), torch.enable_grad():
        asked = Asked(run, weights, samples, nbeta, original)
        draws_numbers, first = _first(asked)
        asked.keep(first)
        _check_reading(asked)
        _check_repeated(asked, _RARE if draws_numbers else 1)
        _check_elsewhere(asked)
        if run.live:
            check_answers(asked)
            drop_idle_hooks(asked)


def _first(asked: Asked) -> tuple[bool, Tensor]:
    """Whether the first pass drew random numbers, and its losses; mistakes that every pass would meet are named."""
    before = _random_states()
    try:
        losses = asked.pass_at(asked.weights)
    except TypeError as error:
        if not _takes_two(asked.run.loss_fn):
            raise InvalidArgument(
                "loss_fn",
                expected="a function of model and batch",
                found=f"one of other arguments ({error})",
                instead="lambda model, batch: losses",
            ) from None
        raise
    except RuntimeError as error:
        parts = [part for _, part in leaves(asked.batch) if part.is_floating_point()]
        own = asked.run.live[0].dtype if asked.run.live else torch.float32
        if not any(part.dtype is not own for part in parts) or "dtype" not in str(error):
            raise
        raise InvalidArgument(
            asked.samples.name,
            expected=f"numbers in the precision of the model, {own}",
            found=f"{next(part.dtype for part in parts if part.dtype is not own)} ({str(error).splitlines()[0]})",
            instead="data.float(), or a model in the precision of the data: model.double()",
        ) from error
    return not equal(before, _random_states()), losses


def _check_reading(asked: Asked) -> None:
    if not equal(asked.samples.read(asked.chosen), asked.samples.read(asked.chosen)):
        raise InvalidArgument(
            asked.samples.name,
            expected="the same sample each time its index is read",
            found="a different sample on the second reading, from augmentation or other randomness in the dataset",
            instead="the dataset without random transforms, and a collate_fn without random masks; or batches that "
            "were collated once, joined into tensors",
        )


def _check_repeated(asked: Asked, times: int) -> None:
    again = asked.losses
    for _ in range(times):  # a mask that is rarely drawn leaves most passes alike
        again = asked.pass_at(asked.weights).detach()
        if differ(asked.losses, again, asked.rounding):
            break
    if differ(asked.losses, again, asked.rounding):
        raise InvalidArgument(
            "loss_fn",
            expected="the same losses from the same weights and samples, with the model in eval mode",
            found=f"{shown(asked.losses)}, then {shown(again)} when the same pass was repeated",
            instead="randomness that is off in eval mode, as in F.dropout(x, p, training=self.training), "
            "or drawn once and stored with the data",
        )


def _check_elsewhere(asked: Asked) -> None:
    """Check the losses of the last and first samples in a batch of their own."""
    pair = asked.samples.take(asked.chosen[[-1, 0]], asked.device)
    try:
        alone = asked.pass_at(asked.weights, pair, 2).detach()
    except InvalidArgument:
        raise
    except (RuntimeError, ValueError, IndexError) as error:
        raise _of_neighbours(asked, f"{type(error).__name__} in a batch of two: {error}") from error
    if alone.shape[1] == 2 and asked.losses.shape == (COUNT, COUNT):
        raise InvalidArgument(
            "loss_fn",
            expected="losses of shape (batch,) or (batch, position)",
            found=f"({COUNT}, {COUNT}) for {COUNT} samples and (2, 2) for 2: "
            "outputs of shape (batch, 1) and targets of shape (batch,), which broadcast against each other",
            instead="model(x).squeeze(1) - y, or targets of the shape of the outputs",
        )
    before, after = asked.losses[[-1, 0]].mean(1), alone.mean(1)
    relative = max(ELSEWHERE, asked.coarse)
    if differ(before, after, relative * scale(asked.losses) + LEAST + _FELT / max(asked.nbeta, _FELT)):
        raise _of_neighbours(asked, f"{shown(before)}, then {shown(after)} for the same two in their own batch")


def _of_neighbours(asked: Asked, found: str) -> InvalidArgument:
    norms = ", ".join(
        f"{path or 'the model'} ({type(module).__name__})"
        for path, module in asked.run.model.named_modules()
        if isinstance(module, _NormBase) and module.running_mean is None and "Batch" in type(module).__name__
    )
    if norms:
        return InvalidArgument(
            "model",
            expected="a sample's loss that does not depend on the samples beside it in a batch",
            found=f"{found}; {norms} has no running statistics and uses those of the batch",
            instead="track_running_stats=True, and one pass over the data in train mode; or a layer norm",
        )
    return InvalidArgument(
        "loss_fn",
        expected="a sample's loss that does not depend on the samples beside it in a batch",
        found=found,
        instead="a loss and a model that treat each sample separately",
    )


def _random_states() -> list[Any]:
    """The states of the global generators of Python, NumPy and torch."""
    python, array = random.getstate(), np.random.get_state()  # noqa: NPY002  what callers of the old interface use
    return [python, [each.tolist() if isinstance(each, np.ndarray) else each for each in array], torch.get_rng_state()]


def _takes_two(loss_fn: Any) -> bool:
    """Whether a function can be called with model and batch, as far as it says."""
    try:
        inspect.signature(loss_fn).bind(None, None)
    except TypeError:
        return False
    except ValueError:  # it does not say
        return True
    return True


@contextmanager
def _same_randomness() -> Generator[None]:
    """Restore the global generators of Python, NumPy and PyTorch."""
    python, array = random.getstate(), np.random.get_state()  # noqa: NPY002  what callers of the old interface use
    try:
        with torch.random.fork_rng():
            yield
    finally:
        random.setstate(python)
        np.random.set_state(array)  # noqa: NPY002
