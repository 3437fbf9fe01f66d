"""A small measurement in a process of its own, to be killed: python run_alone.py FOLDER [STEPS]."""

import sys
from pathlib import Path
from typing import Any

import torch
import xarray as xr
from torch import Tensor, nn

from ontogeny.core import losses
from ontogeny.execution import Serial
from ontogeny.measurement import measure
from ontogeny.sampling import Fixed
from ontogeny.stores import MemoryCheckpoints, write_tree


def make_model() -> nn.Module:
    return nn.Sequential(nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 2))


def outputs(model: nn.Module) -> xr.Dataset:
    with torch.no_grad():
        return xr.Dataset({"outputs": ("output", model(torch.eye(5)).flatten().numpy())})


def main(folder: Path, num_steps: int = 12) -> None:
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    data = torch.randn(60, 5, generator=generator), torch.randn(60, 2, generator=generator)

    def weights(step: int) -> dict[str, Tensor]:
        state = make_model().state_dict()
        return {name: torch.randn(tensor.shape, generator=generator) / (1 + step) for name, tensor in state.items()}

    run = MemoryCheckpoints({step: weights(step) for step in range(num_steps)})
    options: dict[str, Any] = {"components": ["all", "2"], "behaviour": outputs, "nbeta": 10.0, "localization": 1.0}
    options |= {"sampler": Fixed(num_chains=2, num_draws=40, num_warmup=20), "executor": Serial()}
    found = measure(run, make_model, data, losses.mse, store=folder / "store", **options)
    write_tree(folder / "trajectory.zarr", found)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
