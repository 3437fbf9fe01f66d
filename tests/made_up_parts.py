"""Made-up refined coefficients: sixteen heads of three kinds and other parts, on three datasets."""

import numpy as np
import xarray as xr
from tests.made_up_run import sigmoid

HEADS = [f"L{layer}H{head}" for layer in range(2) for head in range(8)]
PARTS = ["unembed", "L1", *reversed(HEADS), "L0", "embed"]  # in no order
DATASETS = ["mixed", "code", "prose"]
STEPS = np.array([1, 4, 16, 40, 100, 180, 320, 560, 1000, 1800, 3200, 5600])
KINDS = {"L0H3": "previous token", "L0H6": "previous token", "L1H2": "induction", "L1H5": "induction"}


def kind_of(part: str) -> int:
    """Previous-token heads rise early, induction heads late, others slowly; whole layers are larger."""
    return {"previous token": 0, "induction": 1}.get(KINDS.get(part, ""), 2)


def make_refined(parts: list[str] = PARTS, datasets: list[str] = DATASETS, seed: int = 0) -> xr.Dataset:
    rng, log_step = np.random.default_rng(seed), np.log10(STEPS)
    middles, heights = np.array([1.8, 3.2, 2.4]), np.array([9.0, 13.0, 6.0])
    curves = []
    for part in parts:
        kind, scale = kind_of(part), 1 if "H" in part else 3.5
        rise = sigmoid((log_step - middles[kind]) / (0.5 if kind == 2 else 0.22))
        curves.append(scale * (2 + heights[kind] * rng.uniform(0.8, 1.25) * rise))
    tilt = {"code": [1.1, 1.45, 0.8], "prose": [1.15, 0.85, 1.1]}
    factors = np.array([[tilt.get(name, [1, 1, 1])[kind_of(part)] for name in datasets] for part in parts])
    llc = np.array(curves).T[:, :, None] * factors
    llc = llc + rng.normal(0, 0.25, llc.shape)
    outcome = np.full(llc.shape, "converged", dtype=object)
    return xr.Dataset(
        {
            "llc": (("step", "component", "dataset"), llc),
            "llc_mcse": (("step", "component", "dataset"), rng.uniform(0.15, 0.4, llc.shape)),
            "llc_outcome": (("step", "component", "dataset"), outcome),
        },
        coords={"step": STEPS, "component": parts, "dataset": datasets},
    )


def doubted(refined: xr.Dataset, part: str, step: int, outcome: str, value: float | None = None) -> xr.Dataset:
    """The same, but for one estimate on the first dataset that ended otherwise."""
    changed, where = refined.copy(deep=True), {"component": part, "step": step, "dataset": refined.dataset.values[0]}
    changed.llc_outcome.loc[where] = outcome
    if value is not None:
        changed.llc.loc[where] = value
    return changed


def make_signatures(labelled: bool = True, runs: int = 2) -> xr.Dataset:
    members = [f"{run}/{head}" for run in range(runs) for head in HEADS]
    clusters = [kind_of(head) for head in HEADS] * runs
    found = xr.Dataset(
        {
            "cluster": ("member", clusters),
            "curve": (("member", "at"), np.zeros((len(members), 4))),
            "stability": ("num_clusters", [0.71, 0.93, 0.64]),
        },
        coords={"member": members, "num_clusters": [2, 3, 4], "at": [1.0, 10.0, 100.0, 1000.0]},
        attrs={"chosen": 3},
    )
    if not labelled:
        return found
    labels = [KINDS.get(head, "other") for head in HEADS] * runs
    labels[1] = "current token"
    return found.assign(label=("member", labels)).assign_attrs(chosen=3, agreement=0.8213, p_value=0.0004)
