# %% [markdown]
# # Run on SLURM
#
# A measurement is a list of jobs. `--shard i/n` runs every n-th of them, and `ontogeny gather` puts the results
# together, bit for bit as one process would have made them. On a cluster:
#
# ```
# sbatch --array=1-3 examples/shards.sbatch "weights/model_{N}.pt" setup.py runs/measured
# ontogeny jobs runs/measured
# ontogeny gather runs/measured
# ```
#
# The same from Python, with the shards one after another here and in three programs there:

# %%
import torch
from torch import nn

import ontogeny as og
from ontogeny.execution import OtherShards, Serial, Shard

generator = torch.Generator().manual_seed(0)
data = (torch.randn(100, 3, generator=generator), torch.zeros(100, 1))
run = og.open_checkpoints([{"weight": torch.full((1, 3), 1.0 - step / 4)} for step in range(5)])
options = {"nbeta": 20.0, "localization": 1.0, "sampler": og.Fixed(num_chains=2, num_draws=50, num_warmup=10)}


def make_model():
    return nn.Linear(3, 1, bias=False)


def measured(executor):
    return og.measure(run, make_model, data, og.losses.mse, store="measured", executor=executor, **options)


# %%
for number in (1, 2):
    try:
        measured(Shard(number, 3, Serial()))
    except OtherShards as rest:
        print(rest)
trajectory = measured(Shard(3, 3, Serial()))  # the last one finds everything there
print(trajectory["llc"].isel(dataset=0, component=0).to_pandas())

# %% [markdown]
# More in [many machines](../clusters.md): Ray, failed jobs, and folders that are not shared.
