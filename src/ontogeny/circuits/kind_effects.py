"""What an ablation costs tokens of each kind, beyond what it costs tokens of none."""

import numpy as np
import xarray as xr


def effects_by_kind(effects: xr.Dataset, kinds: xr.DataArray, others: xr.DataArray) -> xr.Dataset:
    """Mean effect of ablating each part on tokens of each kind, less that on tokens of no kind, in nats.

    d = Σ w e / Σ w - Σ v e / Σ v over tokens, with the weights w of a kind and v of the others. Its standard error
    takes sequences as independent and tokens of one sequence as not: √Σ_s r_s² with r_s the sequence's own share of d,
    centred.

    Args:
        effects: of `token_effects`, `effect` (part, sequence, position).
        kinds: weights (kind, sequence, position), such as whether `token_patterns` sorts a token so.
        others: weights (sequence, position) of the tokens that are compared with.

    Returns:
        `effect` and `error` (part, kind); NaN for kinds without a token. `tokens` (kind), the sum of the weights.

    When not to trust it: with few sequences, whose errors are then too small.
    """
    values = effects["effect"].transpose("part", "sequence", "position").values
    against, base = _mean_and_shares(values, others.transpose("sequence", "position").values)
    effect, error = np.empty((2, len(values), kinds.sizes["kind"]))
    weights = kinds.transpose("kind", "sequence", "position").values
    for column, weight in enumerate(weights):
        mean, shares = _mean_and_shares(values, weight)
        effect[:, column] = mean - against
        error[:, column] = np.sqrt(((shares - base) ** 2).sum(1))
    dims = ("part", "kind")
    found = {"effect": (dims, effect), "error": (dims, error), "tokens": ("kind", weights.sum((1, 2)))}
    return xr.Dataset(found, {"part": effects["part"].values, "kind": kinds["kind"].values})


def _mean_and_shares(values: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The weighted mean (part), and what each sequence adds to its error (part, sequence)."""
    total = weight.sum()
    if not total > 0:
        return np.full(len(values), np.nan), np.full(values.shape[:2], np.nan)
    mean = (values * weight).sum((1, 2)) / total
    return mean, ((values - mean[:, None, None]) * weight).sum(2) / total
