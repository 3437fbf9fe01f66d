"""What a network's first and last matrices do to the stream, whatever their layout, and its heads by name."""

import difflib

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ontogeny.circuits.norms import norm_before
from ontogeny.core.errors import InvalidArgument
from ontogeny.models import Head, heads
from ontogeny.models.anatomy import known_structure
from ontogeny.models.outputs import first_tensor


def head_named(model: nn.Module, name: str, argument: str = "head") -> Head:
    """The head of this name.

    Raises:
        InvalidArgument: if there is none; lists the nearest that there are.
    """
    found = {head.name: head for head in heads(model)}
    if name not in found:
        near = difflib.get_close_matches(str(name), found, n=3, cutoff=0) if found else []
        raise InvalidArgument(
            argument,
            expected="the name of a head, such as 'L0H3'",
            found=repr(name),
            instead=f"one of {near}" if near else "a network for which og.heads(model) is not empty",
        )
    return found[name]


@torch.no_grad()
def embedding(model: nn.Module) -> Float[Tensor, "vocabulary d_model"]:
    """W_E: what each token puts into the stream, without positions.

    Raises:
        InvalidArgument: for a network without a module that reads tokens into the stream.
    """
    path = known_structure(model).embed
    module = model.get_submodule(path) if path else None
    weights = [each for each in module.parameters() if each.ndim == 2] if module else []
    width = _width(model)
    if module is None or not weights or weights[0].numel() % width:
        raise _no_ends(model, "embedding")
    count = weights[0].numel() // width
    found = first_tensor(module.forward(torch.arange(count, device=weights[0].device)[None]))
    if found is None or found.shape[1:] != (count, width):
        raise _no_ends(model, "embedding")
    return found[0].detach()


@torch.no_grad()
def unembedding(
    model: nn.Module, fold_norm: bool = False
) -> tuple[Float[Tensor, "d_model vocabulary"], Float[Tensor, " vocabulary"]]:
    """W_U and b_U: the stream, or the final norm's output, to logits.

    Args:
        model: any module with layers.
        fold_norm: fold the final norm into W_U (see `norms.Norm.folded`); its bias goes into b_U.

    Raises:
        InvalidArgument: for a network without a module that reads the stream into logits.
    """
    path = known_structure(model).unembed
    if path is None:
        raise _no_ends(model, "unembedding")
    module, width = model.get_submodule(path), _width(model)
    weight = next(module.parameters())
    units = torch.cat([torch.eye(width), torch.zeros(1, width)]).to(weight)  # the last row shows the bias
    read = first_tensor(module.forward(units[None]))
    if read is None or read.ndim != 3:
        raise _no_ends(model, "unembedding")
    matrix, bias = read[0, :-1] - read[0, -1], read[0, -1]
    norm = norm_before(model, path) if fold_norm else None
    if norm is not None:
        matrix, bias = norm.folded(matrix), bias + norm.bias @ matrix
    return matrix.detach(), bias.detach()


def _width(model: nn.Module) -> int:
    found = heads(model)
    if not found:
        raise _no_ends(model, "attention")
    return found[0].W_Q.shape[0]


def _no_ends(model: nn.Module, what: str) -> InvalidArgument:
    return InvalidArgument(
        "model",
        expected="a network of tokens with attention heads, an embedding and an unembedding of the stream's width",
        found=f"{type(model).__name__}, whose {what} is not found",
        instead="full=False for circuits between directions of the stream, pattern_scores for what heads attend to",
    )
