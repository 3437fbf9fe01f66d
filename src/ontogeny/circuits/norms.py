"""The norm before a part of a network, found by what it does: its gain, its bias, and whether it takes away the mean.

A norm is y = s n(x) g + b, where n(x) is x, or x less its mean over coordinates, and s depends on x alone, so that with
s held fixed it is affine.
"""

from dataclasses import dataclass
from functools import partial
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ontogeny.core.errors import InvalidArgument
from ontogeny.core.seeds import generator
from ontogeny.models import Site, heads, intervene
from ontogeny.models.anatomy import known_structure
from ontogeny.models.structure import Structure
from ontogeny.models.structure_calls import TOKENS, evaluating, recorded
from ontogeny.models.structure_copies import is_norm

_KNOWN: WeakKeyDictionary[nn.Module, tuple[Structure, dict[str, str | None]]] = WeakKeyDictionary()
_LARGE = 100.0  # inputs of this size, beside which the constant that norms add to the variance is nothing
_EXACT = 1e-3


@dataclass(frozen=True)
class Norm:
    """A norm of the stream.

    Attributes:
        path: of the module.
        gain, bias: g and b, (d_model,).
        centred: whether n takes the mean away, as LayerNorm does and RMSNorm does not.
    """

    path: str
    gain: Float[Tensor, " d_model"]
    bias: Float[Tensor, " d_model"]
    centred: bool

    def folded(self, weight: Float[Tensor, "d_model width"]) -> Float[Tensor, "d_model width"]:
        """The weight that reads the stream where `weight` reads the norm's output, up to the factor s and a bias."""
        scaled = self.gain[:, None] * weight
        return scaled - scaled.mean(0) if self.centred else scaled

    def gained(self, x: Float[Tensor, "*batch d_model"]) -> Float[Tensor, "*batch d_model"]:
        """n(x) g."""
        return (x - x.mean(-1, keepdim=True) if self.centred else x) * self.gain

    def scale(
        self, x: Float[Tensor, "*batch d_model"], y: Float[Tensor, "*batch d_model"]
    ) -> Float[Tensor, "*batch 1"]:
        """s, from an input and the output that it had."""
        direction = self.gained(x)
        return ((y - self.bias) * direction).sum(-1, keepdim=True) / direction.square().sum(-1, keepdim=True)


def norm_before(model: nn.Module, path: str) -> Norm | None:
    """The norm whose output the module at `path` is called with; `None` if it is called with no norm's output.

    Raises:
        InvalidArgument: for a norm that is not of the form above.
    """
    found = path_of_norm_before(model, path)
    return None if found is None else _measured(found, model.get_submodule(found), heads(model)[0].W_Q.shape[0])


def path_of_norm_before(model: nn.Module, path: str) -> str | None:
    """Where that norm is. Found once while the model's structure stays, by a run.

    It is the module that holds vectors alone, or no parameters, and returns what the other is given.
    """
    known = known_structure(model)
    if model not in _KNOWN or _KNOWN[model][0] is not known:
        _KNOWN[model] = known, {}
    paths = _KNOWN[model][1]
    if path not in paths:
        paths[path] = _searched(model, path)
    return paths[path]


@torch.no_grad()
def _searched(model: nn.Module, path: str) -> str | None:
    tokens = (TOKENS.to(next(model.parameters()).device),)
    given = recorded(model, tokens, {path}).made[path].tensors()
    read: dict[str, Tensor] = {}
    same: list[str] = []

    def enter(name: str, x: Tensor) -> None:
        read[name] = x

    def leave(name: str, y: Tensor) -> None:
        x = read[name]
        if x.shape == y.shape and not torch.equal(x, y):
            same.extend(name for each in given if each.shape == y.shape and torch.equal(each, y))

    names = [name for name, module in model.named_modules() if name and _could_be_norm(module)]
    places = {Site(name, "input"): partial(enter, name) for name in names}
    with evaluating(model), intervene(model, places | {Site(name): partial(leave, name) for name in names}):
        model(*tokens)
    return next(iter(same), None)


def _could_be_norm(module: nn.Module) -> bool:
    empty = next(module.parameters(), None) is None and next(module.children(), None) is None
    return is_norm(module) or (empty and not isinstance(module, nn.Identity))


@torch.no_grad()
def _measured(path: str, module: nn.Module, width: int) -> Norm:
    weight = next(module.parameters(), torch.zeros(()))
    x = torch.randn(4, 1, width, generator=generator(0, "norm")).to(weight) * _LARGE
    plus, minus, shifted = module.forward(x), module.forward(-x), module.forward(x + _LARGE)
    odd, bias = (plus - minus) / 2, (plus + minus)[0, 0] / 2
    centred = bool((shifted - plus).abs().max() < _EXACT * plus.abs().max())
    unit = x - x.mean(-1, keepdim=True) if centred else x
    unit = unit / unit.square().mean(-1, keepdim=True).sqrt()
    gain = ((odd * unit).sum(0) / unit.square().sum(0))[0]
    if (odd - unit * gain).abs().max() > _EXACT * odd.abs().max():
        raise InvalidArgument(
            "model",
            expected="norms that divide by a length and multiply by a gain",
            found=f"{path!r}, a {type(module).__name__}",
            instead="fold_norm=False for weights; circuits.ablate and attention_patterns, which ask for no norm",
        )
    return Norm(path, gain.detach(), bias.detach(), centred)
