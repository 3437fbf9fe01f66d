"""What is drawn of the language study and made for it alone: attention on a snippet, and tokens in their contexts."""

import torch
import xarray as xr
from torch import Tensor

from ontogeny.circuits import attention_patterns
from ontogeny.core.losses import next_token
from ontogeny.core.seeds import generator
from ontogeny.models import Transformer, TransformerConfig
from ontogeny.stores import Checkpoints

CODE, PROSE = "code", "prose"
CONTEXT_SHOWN = 24  # tokens before one that are shown with it


def snippet(
    run: Checkpoints, shape: TransformerConfig, tokens: Tensor, names: list[str], trajectory: xr.Dataset
) -> xr.Dataset:
    """Attention of all heads on the start of a held-out sequence, at the last checkpoint, the best of a score first."""
    model = Transformer(shape, generator(0))
    model.load_state_dict(run.load(run.steps[-1]))
    patterns = {layer: found[0] for layer, found in attention_patterns(model, tokens)}  # head, query, key
    with torch.no_grad():
        losses = next_token(model, tokens)[0]
    final = trajectory["head_score"].isel(step=-1)
    heads: dict[tuple[int, int], str] = {}
    for score in final["score"].values:
        best = final.sel(score=score).argmax(("layer", "head"))
        place = int(best["layer"]), int(best["head"])
        heads[place] = f"{heads[place]}, {score}" if place in heads else str(score)
    heads |= {place: "" for place in _places(shape) if place not in heads}
    attention = torch.stack([patterns[layer][head] for layer, head in heads])
    return xr.Dataset(
        {
            "attention": (("component", "query", "key"), attention.numpy()),
            "token_loss": ("query", torch.cat([torch.tensor([torch.nan]), losses]).numpy()),
        },
        coords={
            "component": [
                f"L{layer}H{head}" + (f" ({scores.replace('_', ' ')})" if scores else "")
                for (layer, head), scores in heads.items()
            ],
            "token": ("query", names),
            "key_token": ("key", names),
        },
    )


def _places(shape: TransformerConfig) -> list[tuple[int, int]]:
    return [(layer, head) for layer in range(shape.num_layers) for head in range(shape.num_heads)]


def in_context(measured: xr.Dataset, strings: list[list[str]], each: int) -> xr.Dataset:
    """Responses with every predicted token's string, the tokens before it, and its text."""
    places = [(row, place) for row, text in enumerate(strings) for place in range(1, len(text))]
    before = ["".join(strings[row][max(place - CONTEXT_SHOWN, 0) : place]) for row, place in places]
    return measured.isel(step=0, drop=True).assign_coords(
        token_text=("token", [strings[row][place] for row, place in places]),
        context=("token", before),
        token_dataset=("token", [CODE if row < each else PROSE for row, _ in places]),
    )
