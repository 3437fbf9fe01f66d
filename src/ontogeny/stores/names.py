"""Matching the names of weights in a file to those of a module, by one rule.

1. Parts that wrappers add to names are ignored on both sides: `_orig_mod` (torch.compile),
   `_fsdp_wrapped_module`, `_checkpoint_wrapped_module`, `_forward_module`.
2. If the names still differ, leading parts shared by all names of one side are dropped, one at a time, until the names
   match: `module.` of DistributedDataParallel, `net.` of a LightningModule, `transformer.` of a base model. Nothing is
   dropped unless all names then match, so at most one number of parts is possible.
3. What training does not write is ignored silently if the module has no such entry: causal masks, position numbers,
   rotary frequencies, and the counters of batches and averages. The file may contain a non-persistent buffer, which the
   module computes itself, if its values agree.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

_WRAPPERS = {"_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "_forward_module"}
_SHORT = (torch.float16, torch.bfloat16)
_COUNTERS = re.compile(r"(.*\.)?(num_batches_tracked|n_averaged)")


@dataclass(frozen=True)
class Match:
    """Weights under a module's own names, and the unmatched names on either side.

    Attributes:
        weights: name in the module -> tensor.
        missing: names of the module without a match.
        unexpected: names of the file without a match, as written there.
    """

    weights: dict[str, Tensor]
    missing: list[str]
    unexpected: list[str]

    @property
    def complete(self) -> bool:
        """Whether every name has a match."""
        return not self.missing and not self.unexpected


def match(model: nn.Module, weights: Mapping[str, Tensor]) -> Match:
    """Match weights to a module; the best match is returned if none is complete."""
    own = tensors_of(model)
    computed = {name: buffer for name, buffer in model.named_buffers() if name not in own}
    theirs = {unwrapped(name): name for name in weights}
    ours = {unwrapped(name): name for name in own}
    if len(theirs) < len(weights) or len(ours) < len(own):  # a module next to its wrapper: names are kept
        theirs, ours = {name: name for name in weights}, {name: name for name in own}
    tried = []
    for cut_theirs, cut_ours in _cuts(theirs, ours):
        there, here = _cut(theirs, cut_theirs), _cut(ours, cut_ours)
        constants = {each: computed[name] for each, name in _cut({unwrapped(n): n for n in computed}, cut_ours).items()}
        found = _matched(own, {here[name]: weights[there[name]] for name in here.keys() & there.keys()})
        left = [name for name in there if name not in here]
        unexpected = [there[name] for name in left if not _is_left_out(name, weights[there[name]], constants)]
        tried.append(Match(found, [name for name in own if name not in found], unexpected))
        if tried[-1].complete:
            return tried[-1]
    return min(tried, key=lambda found: len(found.missing) + len(found.unexpected))


def tensors_of(model: nn.Module) -> dict[str, Tensor]:
    """A module's state dict, tensors only."""
    return {name: tensor for name, tensor in model.state_dict().items() if isinstance(tensor, Tensor)}


def ties(own: Mapping[str, Tensor]) -> list[list[str]]:
    """Groups of names in a module that share one tensor."""
    places: dict[tuple[int, tuple[int, ...], tuple[int, ...]], list[str]] = {}
    for name, whole in own.items():
        tensor: Tensor = whole.to_local() if hasattr(whole, "to_local") else whole  # of one divided over processes
        if tensor.numel() and tensor.layout is torch.strided and not tensor.is_meta:
            places.setdefault((tensor.data_ptr(), tuple(tensor.shape), tensor.stride()), []).append(name)
    return [names for names in places.values() if len(names) > 1]


def fitting_prefixes(own: Iterable[str], names: Iterable[str]) -> list[str]:
    """Prefixes under which a file has every name of a module: candidates for `key=`."""
    wanted = {unwrapped(name) for name in own if not _COUNTERS.fullmatch(name)}
    below: dict[str, set[str]] = {}
    for name in names:
        for place in (at for at, letter in enumerate(name) if letter == "."):
            below.setdefault(name[:place], set()).add(unwrapped(name[place + 1 :]))
    return sorted(prefix for prefix, there in below.items() if wanted <= there)


def _matched(own: Mapping[str, Tensor], found: dict[str, Tensor]) -> dict[str, Tensor]:
    """Add what a file may omit: other names of a tied weight, and counters, which keep their values."""
    for names in ties(own):
        if there := [name for name in names if name in found]:
            found |= {name: found[there[0]] for name in names if name not in found}
    return found | {name: own[name] for name in own if name not in found and _COUNTERS.fullmatch(name)}


def _is_left_out(name: str, tensor: Tensor, constants: Mapping[str, Tensor]) -> bool:
    """Whether a module can ignore an entry that it lacks: it has the same value, or needs none."""
    if name in constants:
        own = constants[name]
        # up to the precision of the file
        return own.shape == tensor.shape and torch.allclose(
            own.to(tensor.dtype).cpu().double(), tensor.double(), 1e-2 if tensor.dtype in _SHORT else 1e-5
        )
    return is_constant(name, tensor)


def is_constant(name: str, tensor: Tensor) -> bool:
    """Whether training never changes an entry, judging by its name and values."""
    last = name.rpartition(".")[2]
    if _COUNTERS.fullmatch(name):
        return True
    if last == "masked_bias":
        return tensor.numel() == 1
    if last == "inv_freq":
        return tensor.ndim == 1 and bool((tensor.diff() < 0).all())
    if last in ("position_ids", "token_type_ids"):
        return not tensor.is_floating_point()
    if last in ("bias", "mask", "tril", "causal_mask", "attn_mask", "triu"):
        return _is_causal_mask(tensor)
    return False


def _is_causal_mask(tensor: Tensor) -> bool:
    """Ones on and below the diagonal and zeros above it, the reverse, or 0 and -inf."""
    if tensor.ndim < 2 or tensor.shape[-1] != tensor.shape[-2] or tensor.shape[-1] < 2:
        return False
    square = tensor.flatten(0, -3)[0] if tensor.ndim > 2 else tensor
    below = torch.ones(square.shape, dtype=torch.bool).tril()
    if torch.equal(square != 0, below) and bool((square[below] == 1).all()):
        return True
    above = square[~below]
    return bool((square[below] == 0).all()) and bool((above == above[0]).all()) and bool((above != 0).all())


def unwrapped(name: str) -> str:
    """A name without the parts added by wrappers."""
    return ".".join(part for part in name.split(".") if part not in _WRAPPERS)


def _cuts(theirs: Mapping[str, str], ours: Mapping[str, str]) -> Iterator[tuple[int, int]]:
    """How many leading parts to drop on each side, the fewest first."""
    yield 0, 0
    yield from ((cut, 0) for cut in range(1, _shared(theirs) + 1))
    yield from ((0, cut) for cut in range(1, _shared(ours) + 1))


def _shared(names: Iterable[str]) -> int:
    """How many leading parts all names share, not counting the last part of a name."""
    split = [name.split(".")[:-1] for name in names if not _COUNTERS.fullmatch(name) or "." in name]
    shared = 0
    for parts in zip(*split, strict=False):
        if len(set(parts)) > 1:
            break
        shared += 1
    return shared


def _cut(names: Mapping[str, str], number: int) -> dict[str, str]:
    """Drop the first parts of each name that has that many."""
    return {name.split(".", number)[-1] if name.count(".") >= number else name: whole for name, whole in names.items()}
