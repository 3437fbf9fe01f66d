"""Beliefs read from activations at every site of a network, as Datasets over `site`."""

from collections.abc import Mapping

import numpy as np
import xarray as xr
from jaxtyping import Float

from ontogeny.compmech.belief_distances import distance_comparison
from ontogeny.compmech.belief_regression import regress_beliefs
from ontogeny.compmech.contexts import ContextTable
from ontogeny.probes import Probe, ProbeConfig, over_sites, r2_within

Activations = Mapping[str, Float[np.ndarray, "context _"]]
_AGAINST = ["beliefs", "next-token laws"]


def regress_sites(
    found: Activations, untrained: Activations, table: ContextTable, config: ProbeConfig
) -> dict[str, Probe]:
    """Beliefs from the activations of each site, with every control.

    Args:
        found, untrained: site -> activations after each context of the table, of the trained and the untrained network.
        table: the contexts, which count by their probabilities.
        config: of each regression.
    """
    given = {"weights": table.probabilities, "next_token_laws": table.laws, "config": config}
    return {
        site: regress_beliefs(values, table.beliefs, table.prefixes, untrained=untrained[site], **given)
        for site, values in found.items()
    }


def describe_sites(results: Mapping[str, Probe], table: ContextTable) -> xr.Dataset:
    """The regressions over `site`: controls, R² by length of the context (`r2_by_length`), R² of distances with those
    of beliefs and of next-token laws (`distance_r2`), all contexts counted alike.
    """
    distances = [
        distance_comparison(
            result.predicted, table.beliefs[result.rows], table.laws[result.rows], weights=None, seed=result.config.seed
        )
        for result in results.values()
    ]
    return (
        over_sites(results)
        .assign(
            r2_by_length=(("site", "length"), [_r2_by_length(result, table) for result in results.values()]),
            distance_r2=(("site", "against"), [[each.beliefs_r2, each.laws_r2] for each in distances]),
        )
        .assign_coords(length=np.unique(table.lengths), against=_AGAINST)
    )


def r2_of_sites(found: Activations, table: ContextTable, config: ProbeConfig) -> xr.Dataset:
    """R² and that of distances at each site without rivals and with few shuffles, for the checkpoints on the way."""
    quick = config.model_copy(update={"num_permutations": 19, "max_last_tokens": 1})
    values, distances = [], []
    for activations in found.values():
        result = regress_beliefs(activations, table.beliefs, table.prefixes, weights=table.probabilities, config=quick)
        values.append(result.r2)
        compared = distance_comparison(result.predicted, table.beliefs[result.rows], table.laws[result.rows])
        distances.append([compared.beliefs_r2, compared.laws_r2])
    return xr.Dataset(
        {"belief_r2": ("site", values), "belief_distance_r2": (("site", "against"), distances)},
        coords={"site": list(found), "against": _AGAINST},
    )


def _r2_by_length(result: Probe, table: ContextTable) -> list[float]:
    """R² within the contexts of each length; NaN where their beliefs do not differ."""
    rows = result.rows
    return r2_within(table.lengths[rows], table.beliefs[rows], result.predicted, table.probabilities[rows])
