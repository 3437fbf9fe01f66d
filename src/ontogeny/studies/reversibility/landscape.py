"""What weights and logits say of a refusal: distances, barriers, basins in random directions, and logit gaps."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
import xarray as xr
from torch import Tensor, nn

from ontogeny.core.forward import logits_of
from ontogeny.core.seeds import generator
from ontogeny.studies.reversibility.config import Basin
from ontogeny.studies.reversibility.grammar import PROMPT, Prompts, weighted_loss

Weights = dict[str, Tensor]


@torch.no_grad()
def landscape(
    make: Callable[[], nn.Module],
    originals: Sequence[Weights],
    tuned: Sequence[Weights],
    prompts: Prompts,
    basin: Basin,
    points: int,
    seed: int,
) -> xr.Dataset:
    """Over `network`, predictors of how deep its refusal is.

    | variable | meaning |
    |---|---|
    | `distance` | L2 distance from the network before the refusal |
    | `barrier` | largest excess of the loss on answers of class N over its chord, along the line between both |
    | `gap` | mean logit of the refusal less that of the answer's first token, on class R |
    | `later_gap` | the same after the first token of the answer |
    | `curve` (alpha) | mean probability of a refusal over random directions, see `refusals_around` |
    | `basin` | its mean over α |

    Args:
        originals, tuned: weights before and after; a network that was trained anew has the original of another.
        points: of the line.
    """
    model, rows = make().eval(), list[dict[str, float]]()
    kept, alphas = prompts.answers(refused=False), np.linspace(-basin.reach, basin.reach, basin.points)
    curves = []
    for before, after in zip(originals, tuned, strict=True):
        shares = np.linspace(0, 1, points)
        path = [_between(before, after, float(share)) for share in shares]
        losses = np.array([_loss(model, weights, kept) for weights in path])
        chord = (1 - shares) * losses[0] + shares * losses[-1]
        curves.append(refusals_around(model, after, prompts, alphas, basin.directions, seed))
        model.load_state_dict(after)
        found = {"distance": _distance(before, after), "barrier": float((losses - chord).max())}
        rows.append(found | {"gap": gap(model, prompts, 0), "later_gap": gap(model, prompts, 1)})
    table = {name: ("network", [row[name] for row in rows]) for name in rows[0]}
    table |= {"curve": (("network", "alpha"), np.array(curves)), "basin": ("network", np.mean(curves, axis=1))}
    return xr.Dataset(table, {"alpha": alphas})


@torch.no_grad()
def refusals_around(
    model: nn.Module, weights: Weights, prompts: Prompts, alphas: np.ndarray, directions: int, seed: int
) -> np.ndarray:
    """Mean probability of a refusal on class R at w + α d, for Gaussian d, each tensor of the norm of its weights.

    The norms make it independent of the scale of each tensor; gains and biases of normalisation stay as they are.
    VISAGE (Peng et al., 2024) counts refusals by key words instead, which saturate.
    """
    tokens, found = prompts.answered[: prompts.count, :PROMPT], np.zeros(len(alphas))
    for number in range(directions):
        source = generator(seed, "direction", number)
        noise = {name: torch.randn(each.shape, generator=source) for name, each in weights.items()}
        scaled = {
            name: each * (weights[name].norm() / each.norm().clamp_min(1e-12)) * (".ln" not in f".{name}")
            for name, each in noise.items()
        }
        for i, alpha in enumerate(alphas):
            model.load_state_dict({name: each + float(alpha) * scaled[name] for name, each in weights.items()})
            law = logits_of(model(tokens))[:, -1].softmax(-1)
            found[i] += float(law[:, prompts.refusal].mean()) / directions
    return found


@torch.no_grad()
def gap(model: nn.Module, prompts: Prompts, after: int) -> float:
    """Mean logit of the refusal less that of the answer's token, after so many tokens of the answer."""
    tokens, at = prompts.answered[: prompts.count], PROMPT + after
    logits = logits_of(model(tokens[:, :at]))[:, -1]
    return float((logits[:, prompts.refusal] - logits.gather(1, tokens[:, at : at + 1])[:, 0]).mean())


def _between(before: Weights, after: Weights, share: float) -> Weights:
    return {name: torch.lerp(before[name], after[name], share) for name in after}


def _loss(model: nn.Module, weights: Weights, rows: tuple[Tensor, Tensor]) -> float:
    model.load_state_dict(weights)
    return float(weighted_loss(model, rows).mean())


def _distance(before: Weights, after: Weights) -> float:
    return float(sum((after[name] - before[name]).square().sum() for name in after) ** 0.5)
