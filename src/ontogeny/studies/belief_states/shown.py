"""What is drawn of the beliefs and made for it alone: true beside regressed ones in the plane, and the mixed states."""

import numpy as np
import xarray as xr

from ontogeny.compmech import ContextTable, mixed_states
from ontogeny.core.errors import InvalidArgument
from ontogeny.probes import Probe
from ontogeny.studies.belief_states.config import ProcessConfig


def picture(result: Probe, table: ContextTable, most: int = 2500) -> xr.Dataset:
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


def presentation(config: ProcessConfig) -> xr.Dataset:
    """The mixed-state presentation as a graph, where it is small enough to draw; else its first levels."""
    process = config.make()
    try:
        graph, complete = mixed_states(process, max_states=500), True
    except InvalidArgument:
        graph, complete = mixed_states(process, max_depth=4), False
    rows, tokens = np.nonzero(graph.successors >= 0)
    found = xr.Dataset(
        {
            "source": ("edge", rows),
            "target": ("edge", graph.successors[rows, tokens]),
            "token": ("edge", tokens),
            "probability": ("edge", graph.laws[rows, tokens]),
            "depth": ("node", graph.first_depth),
            "belief": (("node", "state"), graph.beliefs),
            "recurrent": ("node", np.isin(np.arange(graph.num_states), graph.recurrent if complete else [])),
        },
        attrs={"complete": int(complete), "process": config.name},
    )
    if not complete:
        return found
    return found.assign(transient_modulus=("mode", np.sort(np.abs(graph.spectrum().transient))[::-1]))
