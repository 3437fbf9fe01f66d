"""Heads of a network beside those of one that was trained alike from other initial weights."""

from collections.abc import Callable

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor

from ontogeny.circuits import best_matching, circuit_cosine, debiased_cka, ov_circuit, similarities
from ontogeny.models import Transformer, heads, run_with_cache
from ontogeny.stores import Checkpoints

Make = Callable[[], Transformer]
_BATCH = 64


def last_of(run: Checkpoints, make: Make) -> Transformer:
    """The network at its last checkpoint."""
    model = make()
    model.load_state_dict(run.load(run.steps[-1]))
    return model.to("cpu").eval()


def alike(run: Checkpoints, twin: Checkpoints, make: Make, tokens: Tensor, seed: int) -> xr.Dataset:
    """How alike the heads of two networks are, by what they write and by what their weights say.

    Returns:
        Over (network, twin): `cka`, debiased, of what heads write at one position of each sequence, and `circuits`, the
        cosine of OV circuits from token to token; `partner` (network), of the best one-to-one matching by `cka`; over
        `measure`: `mean` over its pairs, and `control`, the same matched anew with the twin's sequences shuffled,
        or over all pairs of heads for `circuits`.
    """
    models = [last_of(each, make) for each in (run, twin)]
    names = [head.name for head in heads(models[0])]
    first, second = (outputs(model, tokens) for model in models)
    circuits = [[ov_circuit(model, name, full=True) for name in names] for model in models]
    cosines = np.array([[circuit_cosine(one, other) for other in circuits[1]] for one in circuits[0]])
    cka, rng = similarities(first, second, debiased_cka).values, np.random.default_rng(seed)
    matched = best_matching(cka)
    pairs = np.arange(len(names)), matched.partner
    order = rng.permutation(len(tokens))
    shuffled = best_matching(similarities(first, [each[order] for each in second], debiased_cka)).mean
    dims = ("network", "twin")
    data = {
        "cka": (dims, cka),
        "circuits": (dims, cosines),
        "partner": ("network", matched.partner),
        "mean": ("measure", [matched.mean, float(cosines[pairs].mean())]),
        "control": ("measure", [shuffled, float(cosines.mean())]),
    }
    return xr.Dataset(data, {"network": names, "twin": names, "measure": ["outputs", "circuits"]})


@torch.no_grad()
def outputs(model: Transformer, tokens: Tensor) -> list[Float[np.ndarray, "sequence model"]]:
    """What each head writes at one position of each sequence, so that samples are independent."""
    sites = [f"blocks.{layer}.attn.hook_result" for layer in range(model.config.num_layers)]
    places = torch.arange(len(tokens)) % (tokens.shape[1] // 2) + tokens.shape[1] // 2
    parts = []
    for batch, at in zip(tokens.split(_BATCH), places.split(_BATCH), strict=True):
        seen = run_with_cache(model, batch, names=sites)[1]
        parts.append(torch.cat([seen[site][torch.arange(len(at)), at] for site in sites], dim=1))  # sequence head model
    return list(torch.cat(parts).transpose(0, 1).double().numpy())
