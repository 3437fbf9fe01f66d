"""Tokens in the plane of the principal components of their susceptibilities, with each token in its context."""

import textwrap

import numpy as np
import plotly.graph_objects as go
import xarray as xr
from sklearn.decomposition import PCA

from ontogeny.reports.small_multiples import add_key, axes, set_axes, small_multiples, thinned
from ontogeny.reports.style import distinct_colors
from ontogeny.reports.wording import plain, shorten, visible

HEIGHT = 420
CONTEXT_LENGTH, LINE_LENGTH, MAX_TOKEN = 90, 38, 30  # characters before a token, of a line, of a token on hover
FEWEST_TOKENS, FEWEST_COMPONENTS = 3, 2  # needed for a plane


def fig_token_susceptibility(susceptibility: xr.Dataset) -> go.Figure:
    """Tokens by the first two principal components of their susceptibilities, standardised over tokens per component.

    All components respond alike to tokens near each other. Hover texts show the token in bold after its context. Tokens
    or components with values that are not numbers are left out. Of many tokens, evenly spaced ones are drawn, but all
    of them define the plane.

    Args:
        susceptibility: with `token_susceptibility` (component, token) and along token the coordinates `token_text`,
            `context` and `token_dataset`.
    """
    kept, columns = standardised_tokens(susceptibility)
    plane = PCA(2, svd_solver="full").fit(columns)
    places, tokens = plane.transform(columns), susceptibility.isel(token=kept)
    drawn = thinned(len(places), 1)
    datasets, texts, contexts = (
        np.array([str(value) for value in tokens[name].values], dtype=object)
        for name in ("token_dataset", "token_text", "context")
    )
    title = f"{len(places):,} tokens" + (f", {len(drawn):,} of them drawn" if len(drawn) < len(places) else "")
    figure, names = small_multiples([title], HEIGHT), list(dict.fromkeys(datasets))
    key = dict(zip(names, distinct_colors(len(names)), strict=True))
    for name, color in key.items():
        here = drawn[datasets[drawn] == name]
        marker = {"color": color, "size": 5, "opacity": 0.6}
        trace = go.Scatter(x=places[here, 0], y=places[here, 1], mode="markers", name=plain(name), marker=marker)
        hover = [token_in_context(texts[k], contexts[k]) for k in here]
        trace.update(customdata=hover, hovertemplate="%{customdata}<br><i>%{fullData.name}</i><extra></extra>")
        figure.add_trace(trace.update(cliponaxis=False, **axes(0)))
    shares = [f"PC{k + 1} ({share:.0%})".replace("%", " %") for k, share in enumerate(plane.explained_variance_ratio_)]
    set_axes(figure, 0, *({"title": {"text": share}} for share in shares))
    add_key(figure, key)
    return figure.update_layout(hovermode="closest", margin={"r": 28})


def has_plane(susceptibility: xr.Dataset) -> bool:
    """Whether there are enough tokens and components for a plane."""
    if "token_susceptibility" not in susceptibility:
        return False
    tokens, columns = standardised_tokens(susceptibility)
    return len(tokens) >= FEWEST_TOKENS and columns.shape[1] >= FEWEST_COMPONENTS


def standardised_tokens(susceptibility: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Which tokens have a value for every component that varies, and those values: a row a token, a column a
    component, every column with mean 0 and variance 1.
    """
    table = susceptibility.token_susceptibility.transpose("token", "component").values.astype(float)
    table = table[:, np.isfinite(table).any(axis=0)]
    kept = np.flatnonzero(np.isfinite(table).all(axis=1))
    table = table[kept]
    if not len(kept):
        return kept, table
    table = table[:, np.ptp(table, axis=0) > 0]
    return kept, (table - table.mean(axis=0)) / table.std(axis=0)


def token_in_context(token: str, context: str) -> str:
    """The token in bold at the end of its context, in lines that fit a phone."""
    before = context if len(context) <= CONTEXT_LENGTH else f"…{context[-CONTEXT_LENGTH:]}"
    lines = textwrap.wrap(before.replace("\n", "⏎ ").replace("\t", "⇥ "), LINE_LENGTH) or [""]
    return f"{'<br>'.join(plain(line) for line in lines)} <b>{plain(shorten(visible(token), MAX_TOKEN))}</b>"
