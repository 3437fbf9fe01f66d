"""Parts of a network taken away while a context lasts."""

import re
from collections.abc import Generator, Iterable
from contextlib import contextmanager

from torch import nn

from ontogeny.circuits.replacements import Replacement
from ontogeny.models import Site, intervene
from ontogeny.models.anatomy import known_structure


@contextmanager
def ablate(
    model: nn.Module, parts: str | Site | Iterable[str | Site], how: str | Replacement = "zero"
) -> Generator[nn.Module]:
    """Within the context, what the parts write is replaced; the model's weights are never touched.

    Conventions. A head's activation is its z, before W_O: at zero it writes nothing, and the attention's output bias
    stays. `"L0.attn"` is all that the attention writes, with its bias; `"L0.mlp"` likewise. `"L0"` is both, so that the
    layer passes the stream on as it is. Any other place that `intervene` takes is replaced as a whole. `"mean"` is over
    positions and sequences of the batch that is run.

    Args:
        model: any network of tokens.
        parts: one or several: heads `"L1H3"`, layers, attentions, MLPs, paths of modules, sites.
        how: `"zero"`, `"mean"`, `"resample"`, or a `Replacement`, which has positions, a reference and a seed.

    Raises:
        InvalidArgument: as `intervene`, for another `how`, and on a forward pass for `"resample"` of a single sequence.
    """
    named = [parts] if isinstance(parts, str | Site) else list(parts)
    places = list(dict.fromkeys(place for part in named for place in _written_by(model, part)))
    with intervene(model, Replacement.of(how).interventions(model, places)):
        yield model


def _written_by(model: nn.Module, part: str | Site) -> list[str | Site]:
    """A layer's attention and MLP; any other part itself."""
    layers = known_structure(model).layers
    if isinstance(part, Site) or not re.fullmatch(r"L\d+", part) or int(part[1:]) >= len(layers):
        return [part]
    return [f"{part}.attn", *([f"{part}.mlp"] if layers[int(part[1:])].mlp else [])]
