"""A small network on scikit-learn's handwritten digits, from its checkpoints to its report.

python examples/digits.py [REPORT]

Nothing is tuned: temperature and localization are chosen for the run, and the sampler sets itself. The report shows
how both were chosen. At the start of training a network is at no minimum, and chains mix slowly there: the outcome of
each estimate says which to trust.
"""

import sys

import torch
import xarray as xr
from sklearn.datasets import load_digits
from torch import nn

import ontogeny as og

digits = load_digits()
data = torch.tensor(digits.data / 16, dtype=torch.float32), torch.tensor(digits.target)


def network() -> nn.Module:
    """The network before training."""
    return nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))


@torch.no_grad()
def outputs(model: nn.Module) -> xr.Dataset:
    """What the network says of fifty digits, for the path of its outputs through training."""
    return xr.Dataset({"outputs": ("output", model(data[0][:50]).flatten().numpy())})


torch.manual_seed(0)
training = og.TrainingConfig(num_steps=200, learning_rate=3e-3, checkpoints_log=6, checkpoints_linear=0)

run = og.train(network(), data, og.losses.cross_entropy, training)
trajectory = og.measure(run, network, data, og.losses.cross_entropy, behaviour=outputs, progress=True)
report = og.write_report(trajectory, sys.argv[1] if len(sys.argv) > 1 else "runs/digits/report.html", title="Digits")

names = ["loss", "llc_complexity", "llc_complexity_mcse", "llc_descent", "llc_outcome"]
table = trajectory[names].isel(dataset=0, component=0, drop=True).to_dataframe()
print(table.round(2), f"report: {report}", sep="\n")  # noqa: T201
