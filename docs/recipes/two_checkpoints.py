# %% [markdown]
# # Compare two checkpoints
#
# A difference of coefficients is only a number at one nβ, one γ, one dataset. `-` refuses any others, adds the errors,
# and keeps the worse verdict.

# %%
import torch
from torch import nn

import ontogeny as og

generator = torch.Generator().manual_seed(0)
inputs = torch.randn(500, 3, generator=generator)
targets = torch.tanh(inputs[:, :1] * inputs[:, 1:2]) + 0.1 * torch.randn(500, 1, generator=generator)
data = (inputs, targets)


def make_model():
    return nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1))


torch.manual_seed(0)
config = og.TrainingConfig(num_steps=2000, batch_size=100, learning_rate=0.01, checkpoints_log=0, checkpoints_linear=2)
run = og.train(make_model(), data, og.losses.mse, config)
print(run.steps)

# %%
trajectory = og.measure(
    run, make_model, data, og.losses.mse, steps=[1000, 2000], nbeta=400.0, localization=1.0,
    sampler=og.Calibrated(error=0.05, budget=100_000),
)  # fmt: skip
columns = ["loss", "llc", "llc_mcse", "llc_complexity", "llc_descent", "llc_outcome"]
print(trajectory[columns].isel(dataset=0, component=0, drop=True).to_dataframe().round(3))

# %% [markdown]
# For two sets of weights outside a run, take two estimates with the same settings:

# %%
estimates = []
for step in run.steps[1:]:
    model = make_model()
    model.load_state_dict(run.load(step))
    sampler = og.Calibrated(error=0.05, budget=100_000)
    estimates.append(og.estimate_llc(model, data, og.losses.mse, nbeta=400.0, localization=1.0, sampler=sampler))
difference = estimates[1] - estimates[0]
print(f"{difference.value:.2f}, between {difference.interval[0]:.2f} and {difference.interval[1]:.2f}")
print(difference.outcome)
