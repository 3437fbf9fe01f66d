"""What a network's activations say of the exact beliefs, at every site, and whether moving them moves its output."""

from collections.abc import Mapping

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor, nn

from ontogeny.compmech import BeliefRegression, BeliefRegressionConfig, distance_comparison, regress_beliefs
from ontogeny.models import RecurrentNetwork, intervene
from ontogeny.studies.belief_states.contexts import ContextTable, losses_by_length

ALL = "all sites"
Activations = Mapping[str, Float[np.ndarray, "context _"]]
_MAX_PAIRS = 512


def sites_of(model: nn.Module) -> dict[str, str]:
    """Name of each site -> the submodule whose output it is, in the order of the forward pass."""
    layers, place = ("layers", "hook_state") if isinstance(model, RecurrentNetwork) else ("blocks", "hook_resid_post")
    depth = len(getattr(model, layers))
    return {"embedding": "hook_embed"} | {f"layer {i}": f"{layers}.{i}.{place}" for i in range(depth)}


def with_all(found: Activations, sites: list[str]) -> dict[str, Float[np.ndarray, "context _"]]:
    """The activations by site, and all of them side by side."""
    return {site: found[site] for site in sites} | {ALL: np.concatenate([found[site] for site in sites], axis=1)}


def regress(
    found: Activations, untrained: Activations, table: ContextTable, config: BeliefRegressionConfig
) -> dict[str, BeliefRegression]:
    """Beliefs from the activations of each site, with every control."""
    return {
        site: regress_beliefs(
            values,
            table.beliefs,
            table.prefixes,
            weights=table.probabilities,
            untrained=untrained[site],
            next_token_laws=table.laws,
            config=config,
        )
        for site, values in found.items()
    }


def describe(results: Mapping[str, BeliefRegression], table: ContextTable) -> xr.Dataset:
    """The regressions over `site`: controls, R² by length of the context, distances."""
    rows = [result.to_dataset().drop_vars("shuffled_r2") for result in results.values()]
    found = xr.concat(rows, dim="site", combine_attrs="drop").assign_coords(site=list(results))
    by_length = [_r2_by_length(result, table) for result in results.values()]
    distances = [
        distance_comparison(
            result.predicted, table.beliefs[result.rows], table.laws[result.rows], weights=None, seed=result.config.seed
        )
        for result in results.values()
    ]
    return found.assign(
        r2_by_length=(("site", "length"), by_length),
        shuffled_mean=("site", [float(result.shuffled_r2.mean()) for result in results.values()]),
        distance_r2=(("site", "against"), [[each.beliefs_r2, each.laws_r2] for each in distances]),
    ).assign_coords(length=np.unique(table.lengths), against=["beliefs", "next-token laws"])


def r2_alone(found: Activations, table: ContextTable, config: BeliefRegressionConfig) -> xr.Dataset:
    """R² and distances at each site without rivals, for the checkpoints on the way."""
    quick = config.model_copy(update={"num_permutations": 19, "max_last_tokens": 1})
    values, distances = [], []
    for activations in found.values():
        result = regress_beliefs(activations, table.beliefs, table.prefixes, weights=table.probabilities, config=quick)
        values.append(result.r2)
        compared = distance_comparison(result.predicted, table.beliefs[result.rows], table.laws[result.rows])
        distances.append([compared.beliefs_r2, compared.laws_r2])
    return xr.Dataset(
        {"belief_r2": ("site", values), "belief_distance_r2": (("site", "against"), distances)},
        coords={"site": list(found), "against": ["beliefs", "next-token laws"]},
    )


def picture(result: BeliefRegression, table: ContextTable, most: int = 2500) -> xr.Dataset:
    """True and held-out beliefs of the most probable contexts, on the plane that the true ones vary in most."""
    weights = result.weights
    chosen = np.sort(np.argsort(-weights)[:most])
    true, predicted = table.beliefs[result.rows], result.predicted
    mean = weights @ true
    _, _, axes = np.linalg.svd((true - mean) * np.sqrt(weights)[:, None], full_matrices=False)
    plane = axes[:2].T
    names = np.array(table.names(), dtype=object)[result.rows][chosen]
    return xr.Dataset(
        {
            "true": (("context", "axis"), (true[chosen] - mean) @ plane),
            "predicted": (("context", "axis"), (predicted[chosen] - mean) @ plane),
            "belief": (("context", "state"), true[chosen]),
            "weight": ("context", weights[chosen]),
            "corner": (("state", "axis"), (np.eye(true.shape[1]) - mean) @ plane),
        },
        coords={"context": names.astype(str), "axis": ["first", "second"]},
    )


def steer(
    model: nn.Module, site: str, result: BeliefRegression, table: ContextTable, seed: int
) -> dict[str, float | int]:
    """Move the activations of one context by the belief directions towards another's belief, and look at the output.

    For pairs (c, d) of contexts of one length, the last position's activation of c is moved by
    (b(d) - b(c)) · directions, or as far in a random direction. Returned is the share of Σ KL(p(·|d) ‖ q) that each
    removes, q being the network's law after c: 1 where it predicts as after d, 0 where nothing changed.
    """
    generator = np.random.default_rng(seed)
    length = int(table.lengths.max())
    full = np.flatnonzero(table.lengths == length)
    chance = table.probabilities[full] / table.probabilities[full].sum()
    pairs = generator.choice(full, size=(_MAX_PAIRS, 2), p=chance)
    change = (table.beliefs[pairs[:, 1]] - table.beliefs[pairs[:, 0]]) @ result.readout.directions
    other = generator.normal(size=change.shape)
    other *= np.linalg.norm(change, axis=1, keepdims=True) / np.linalg.norm(other, axis=1, keepdims=True)
    tokens, wanted = torch.as_tensor(table.prefixes[pairs[:, 0]]), table.laws[pairs[:, 1]]
    divergence = [_divergence(model, site, tokens, moved, wanted) for moved in (0 * change, change, other)]
    return {
        "steered": 1 - divergence[1] / divergence[0],
        "steered_at_random": 1 - divergence[2] / divergence[0],
        "steered_pairs": _MAX_PAIRS,
    }


def expected_losses(logits: Float[np.ndarray, "context token"], table: ContextTable) -> xr.DataArray:
    """Expected next-token loss after contexts of each length, in nats."""
    return xr.DataArray(
        losses_by_length(table, logits),
        dims="length",
        coords={"length": np.unique(table.lengths)},
        name="loss_by_length",
    )


def _divergence(
    model: nn.Module,
    site: str,
    tokens: Tensor,
    moved: Float[np.ndarray, "pair column"],
    wanted: Float[np.ndarray, "pair token"],
) -> float:
    """Mean KL(wanted ‖ output at the last position) with the last position's activation moved."""
    device = next(model.parameters()).device
    shift = torch.as_tensor(moved, dtype=torch.float32, device=device)

    def move(activation: Tensor) -> Tensor:
        return torch.cat([activation[:, :-1], activation[:, -1:] + shift[:, None]], dim=1)

    with torch.no_grad(), intervene(model, {site: move}):
        log_q = model(tokens.to(device))[:, -1].double().log_softmax(-1).cpu().numpy()
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(np.where(wanted > 0, wanted * (np.log(wanted) - log_q), 0).sum(1).mean())


def _r2_by_length(result: BeliefRegression, table: ContextTable) -> list[float]:
    """R² within the contexts of each length, about their own mean; NaN where their beliefs do not differ."""
    found, lengths = [], table.lengths[result.rows]
    for length in np.unique(table.lengths):
        at = lengths == length
        weights = table.probabilities[result.rows][at]
        true = table.beliefs[result.rows][at]
        error = weights @ ((true - result.predicted[at]) ** 2).sum(1)
        spread = weights @ ((true - weights @ true / weights.sum()) ** 2).sum(1)
        found.append(float(1 - error / spread) if spread > 1e-12 else float("nan"))
    return found
