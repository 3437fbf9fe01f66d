"""What each part of a network adds to its residual stream in one run."""

from collections.abc import Iterator
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from ontogeny.circuits.norms import Norm, norm_before
from ontogeny.core.errors import InvalidArgument
from ontogeny.core.forward import logits_of
from ontogeny.models import Site, heads, run_with_cache
from ontogeny.models.anatomy import known_structure
from ontogeny.models.anatomy import sites as sites_of
from ontogeny.models.structure import Structure
from ontogeny.models.structure_calls import TOKENS, evaluating

_EXACT = 1e-3  # of the stream, up to which a layer's output is the sum of its parts

_ADDS: WeakKeyDictionary[nn.Module, Structure] = WeakKeyDictionary()

Stream = Float[Tensor, "sequence position d_model"]


@dataclass(frozen=True)
class Written:
    """One run.

    Attributes:
        parts: name -> what it added to the stream: `"embed"`; by layer its heads, `"L0.attn.bias"`, what the attention
            added besides, and `"L0.mlp"`; `"other"`, what came in elsewhere, as positions do.
        scale: s of the final norm at each position; see `norms.Norm`. None without a norm.
        norm: the final norm, if there is one.
        logits: the network's own.
    """

    parts: dict[str, Stream]
    norm: Norm | None
    scale: Float[Tensor, "sequence position 1"] | None
    logits: Float[Tensor, "sequence position vocabulary"]

    def read(self, part: Stream) -> Stream:
        """What the unembedding reads of a part's contribution, with the final norm's scale held fixed."""
        return part if self.norm is None or self.scale is None else self.norm.gained(part) * self.scale


@torch.no_grad()
def written(model: nn.Module, tokens: Int[Tensor, "sequence position"]) -> Written:
    """What each part writes when the network runs on `tokens`.

    Raises:
        InvalidArgument: for networks whose layers do not add what attention and MLP write to the stream, as those that
            normalise it first; and without embedding and unembedding.
    """
    known, shown = known_structure(model), sites_of(model)
    if known.embed is None or known.unembed is None or not known.layers:
        raise _does_not_add(model, "its layers or its ends are not found")
    norm = norm_before(model, known.unembed)
    ends = {"embed": Site(known.embed), "read": Site(known.unembed, "input")}
    ends |= {"final": Site(norm.path, "input") if norm else ends["read"]}
    layers = [f"L{number}" for number in range(len(known.layers))]
    places = ends | {name: site for name, site in shown.items() if name.startswith("L")}
    places |= {f"before {name}": Site(layer.path, "input") for name, layer in zip(layers, known.layers, strict=True)}
    with evaluating(model):
        output, cache = run_with_cache(model, tokens, names=set(places.values()))
    seen = {name: cache[site] for name, site in places.items()}
    for name in (f"{layer}.mlp" for layer in layers if f"{layer}.mlp" in seen):  # experts return tokens in one row
        seen[name] = seen[name].reshape(seen["final"].shape)
    parts = {"embed": seen["embed"]}
    for number, layer in enumerate(layers):
        parts |= dict(_of_layer(model, number, seen, bool(known.layers[number].mlp)))
        attention, mlp = f"{layer}.attn", f"{layer}.mlp"
        added = seen[attention] + parts.get(mlp, torch.zeros(()).to(seen[attention]))
        if (seen[layer] - seen[f"before {layer}"] - added).abs().max() > _EXACT * seen[layer].abs().max():
            raise _does_not_add(
                model, f"the output of {layer!r} is not its input and what {attention!r} and {mlp!r} return"
            )
    parts["other"] = seen["final"] - sum(parts.values())
    return Written(parts, norm, norm.scale(seen["final"], seen["read"]) if norm else None, logits_of(output))


def check_adds(model: nn.Module) -> None:
    """Raises `InvalidArgument` where `written` would, after a run on a few tokens; once while the structure stays."""
    known = known_structure(model)
    if _ADDS.get(model) is not known:
        written(model, TOKENS.to(next(model.parameters()).device))
        _ADDS[model] = known


def _of_layer(model: nn.Module, number: int, seen: dict[str, Tensor], has_mlp: bool) -> Iterator[tuple[str, Stream]]:
    layer = f"L{number}"
    own = [(head.name, seen[head.name] @ head.W_O) for head in heads(model) if head.layer == number and head.site]
    yield from own
    yield f"{layer}.attn.bias", seen[f"{layer}.attn"] - sum(each for _, each in own)
    if f"{layer}.mlp" in seen:
        yield f"{layer}.mlp", seen[f"{layer}.mlp"]
    elif has_mlp:  # which no one module holds
        yield f"{layer}.mlp", seen[layer] - seen[f"before {layer}"] - seen[f"{layer}.attn"]


def _does_not_add(model: nn.Module, why: str) -> InvalidArgument:
    return InvalidArgument(
        "model",
        expected="layers that add what attention and MLP return to the stream",
        found=f"{type(model).__name__}: {why}",
        instead="circuits.ablate(model, name), which needs no sum",
    )
