"""Attention patterns on a snippet of text, packed for the page's canvas view."""

import base64

import numpy as np
import xarray as xr


def attention_view(snippet: xr.Dataset) -> dict:
    """The data of the page's attention view, as JSON values.

    Weights are stored as bytes (0 for 0, 255 for 1): finer than the eye can see, and small enough for long snippets.

    Args:
        snippet: `attention` (component, query, key) with weights from 0 to 1, `token_loss` (query) where recorded,
            coordinates `token` (query).

    Returns:
        `tokens`, `losses` (null where there is none), and `components`: name and base64 weights, row by row.
    """
    weights = snippet.attention.transpose("component", "query", "key").values
    packed = np.round(np.clip(weights, 0, 1) * 255).astype(np.uint8)
    losses = snippet.token_loss.values if "token_loss" in snippet else np.full(snippet.sizes["query"], np.nan)
    return {
        "tokens": [str(token) for token in snippet.token.values],
        "losses": [round(float(loss), 3) if np.isfinite(loss) else None for loss in losses],
        "components": [
            {"name": str(name), "weights": base64.b64encode(rows.tobytes()).decode()}
            for name, rows in zip(snippet.component.values, packed, strict=True)
        ],
    }
