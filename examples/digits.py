"""A small convolutional network on scikit-learn's handwritten digits, from its checkpoints to its report.

python examples/digits.py [REPORT]

While it learns fastest the network is at no minimum: chains find lower loss than the checkpoint has, its estimates come
out negative, and the report marks them as no learning coefficients. The localization is strong, so that chains stay
near the checkpoint and mix within a few steps; the coefficients are therefore small, and their shape is what counts.
"""

import sys

import torch
import xarray as xr
from sklearn.datasets import load_digits
from torch import nn

import ontogeny as og

digits = load_digits()
data = torch.tensor(digits.images / 16, dtype=torch.float32)[:, None], torch.tensor(digits.target)


def network() -> nn.Module:
    """The network before training."""
    layers = nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(128, 10)
    return nn.Sequential(*layers)


@torch.no_grad()
def outputs(model: nn.Module) -> xr.Dataset:
    """What the network says of fifty digits, for the path of its outputs through training."""
    return xr.Dataset({"outputs": ("output", model(data[0][:50]).flatten().numpy())})


torch.manual_seed(0)
training = og.TrainingConfig(
    num_steps=1000, batch_size=64, learning_rate=1e-3, checkpoints_log=10, checkpoints_linear=12
)
sampler = og.SamplerConfig(
    localization=1000,
    step_size=2e-4,
    batch_size=256,
    control_variate=True,
    num_chains=2,
    num_draws=120,
    num_warmup=30,
    thinning=2,
)

run = og.train(network(), data, og.losses.cross_entropy, training)
trajectory = og.measure(run, network, data, og.losses.cross_entropy, behaviour=outputs, sampler=sampler, progress=True)
stages = og.stages(trajectory)
report = og.write_report(trajectory, sys.argv[1] if len(sys.argv) > 1 else "runs/digits/report.html", title="Digits")

minima = trajectory.llc_outcome.where(trajectory.llc_outcome != "not_a_minimum", drop=True)  # at first there is none
share = float(minima.isin(["converged", "localized"]).mean())  # γ = 1000 is meant to hold the chains
table = stages[["stage_start", "stage_end", "stage_delta_loss", "stage_delta_llc"]].to_dataframe().round(2)
settled = f"{share:.0%} of the estimates converged where training had reached a minimum"
print(table, settled, f"report: {report}", sep="\n")  # noqa: T201
