"""The belief regressions of every network in rows and sentences."""

import math
from collections.abc import Mapping

import numpy as np
import xarray as xr

from ontogeny.reports.blocks import Column
from ontogeny.reports.wording import listed, number, p_value
from ontogeny.studies.belief_states.belief_figures import predictor_title

_SHORT = {"untrained": "Untrained", "random_projection": "Projection", "next_token_law": "Law"}
LAST_SHOWN = ("last_2", "last_3")  # rivals with a column of their own; the figure has all of them
EXACT = 1e-6  # 1 − R² of a map that is linear up to rounding


def regression_table(beliefs: Mapping[str, xr.Dataset]) -> tuple[dict[str, Column], list[dict[str, str]]]:
    """Columns and rows, by key, of the table of regressions: R² of each network and site beside every control."""
    given = {str(name) for found in beliefs.values() for name in found.predictor.values}
    rivals = [name for name in ("untrained", "random_projection", "next_token_law", *LAST_SHOWN) if name in given]
    titles = {"r2": "R²"} | {name: _SHORT.get(name, name.replace("last_", "Last ")) for name in rivals}
    titles |= {"shuffled": "Shuffled", "p": "p", "columns": "Columns", "overtaken": "Overtaken by"}
    columns = {"site": Column("Site", head=True), "network": Column("Network")}
    columns |= {name: Column(title, "number") for name, title in titles.items()}
    rows = []
    for network, found in beliefs.items():
        for site in found.site.values:
            here = found.sel(site=site)
            r2 = {str(name): float(here.r2.sel(predictor=name, target="belief")) for name in here.predictor.values}
            row = {"site": str(site), "network": network, "r2": _r2(r2["activations"])}
            row |= {name: _r2(r2.get(name, math.nan)) for name in rivals}
            rows.append(row | _checks(here, r2))
    if any(row["remarks"] for row in rows):
        columns["remarks"] = Column("Remarks", "wide")
    return columns, rows


def distance_rows(beliefs: Mapping[str, xr.Dataset]) -> list[dict[str, str]]:
    """One row a network and site: R² of distances with beliefs and with next-token laws, trained and untrained."""
    rows = []
    for network, found in beliefs.items():
        for site in found.site.values:
            row = {"site": str(site), "network": network}
            for key, name in (("trained", "distance_r2"), ("untrained", "untrained_distance_r2")):
                values = found[name].sel(site=site) if name in found else None
                for against in ("beliefs", "next-token laws"):
                    value = math.nan if values is None else float(values.sel(against=against))
                    row[f"{key} {against}"] = _r2(value)
            rows.append(row)
    return rows


def linear_in_law(beliefs: Mapping[str, xr.Dataset]) -> bool:
    """Whether the beliefs are a linear map of the next-token law, so that reading them shows no more than that law."""
    return any(
        bool((found.in_sample_r2.sel(predictor="next_token_law", target="belief") > 1 - EXACT).any())
        for found in beliefs.values()
        if "next_token_law" in found.predictor
    )


def steering_sentences(beliefs: Mapping[str, xr.Dataset]) -> list[str]:
    """For each network that was steered, what moving its activations along the belief directions did."""
    sentences = []
    for network, found in beliefs.items():
        if "steered" not in found.attrs:
            continue
        name = network[:1].upper() + network[1:]
        shares = (found.attrs[name] for name in ("steered", "steered_at_random"))
        along, random = (f"{100 * share:.0f} %".replace("-", "−") for share in shares)
        pairs = int(found.attrs["steered_pairs"])
        sentences.append(
            f"{name}: moving along the belief directions removes {along} of the divergence, "
            f"moving as far in a random direction {random}; mean over {pairs:,} pairs of contexts."
        )
    return sentences


def excess_sentence(beliefs: Mapping[str, xr.Dataset], trajectory: xr.Dataset) -> str:
    """How far each network ended above the optimum, on average over lengths; empty where it was not recorded."""
    parts = [
        f"the {network} {number(float((found.final_loss_by_length - trajectory.optimal_loss).mean()), 2)}"
        for network, found in beliefs.items()
        if "final_loss_by_length" in found
    ]
    return f"At the end, nats above the optimum on average: {listed(parts)}." if parts else ""


def _checks(here: xr.Dataset, r2: Mapping[str, float]) -> dict[str, str]:
    """What else must be known of one regression: shuffles, columns, the rival that overtakes it, remarks."""
    columns, contexts = int(here["columns"].sel(predictor="activations")), int(here.num_contexts)
    rival, tried = float(here.overtaken_by), [name for name in r2 if name.startswith("last_") and np.isfinite(r2[name])]
    overtaken = (
        predictor_title(f"last_{int(rival)}") if np.isfinite(rival) else f"none of {len(tried)}" if tried else "–"
    )
    remark = "So many columns can fit any target." if bool(here.too_many_columns) else ""
    return {
        "shuffled": _r2(float(here.shuffled_mean)),
        "p": p_value(float(here.p_value)),
        "columns": f"{columns:,} for {contexts:,}",
        "overtaken": overtaken,
        "remarks": remark,
    }


def _r2(value: float) -> str:
    """Four decimals, never rounded up to 1."""
    if not math.isfinite(value):
        return "–"
    return "> 0.9999" if 0.99995 <= value < 1 - 1e-12 else f"{value:.4f}".replace("-", "−")
