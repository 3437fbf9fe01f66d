"""A measurement on a Ray cluster, and the same in this process: the numbers are equal.

python examples/on_ray.py [ADDRESS]

Without an address a cluster is started on this machine. Needs ontogeny[ray].
"""

import sys

import torch
import xarray as xr
from torch import nn

import ontogeny as og

inputs = torch.randn(200, 8, generator=torch.Generator().manual_seed(0))
data = inputs, inputs[:, :2].sum(1, keepdim=True).tanh()


def network() -> nn.Module:
    """The network before training."""
    return nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 1))


torch.manual_seed(0)
training = og.TrainingConfig(num_steps=200, learning_rate=1e-2, checkpoints_log=4, checkpoints_linear=0)
run = og.train(network(), data, og.losses.mse, training)
settings = {"nbeta": 30.0, "localization": 10.0, "sampler": og.Fixed(kernel=og.SGLD(1e-4), num_draws=50)}

ray = og.execution.Ray(address=sys.argv[1] if len(sys.argv) > 1 else None)
there = og.measure(run, network, data, og.losses.mse, executor=ray, progress=True, **settings)
here = og.measure(run, network, data, og.losses.mse, executor=og.execution.Serial(), **settings)
xr.testing.assert_identical(there, here)
print(f"{there.sizes['step']} checkpoints, bit for bit the same")  # noqa: T201
