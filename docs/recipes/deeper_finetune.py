# %% [markdown]
# # Is this fine-tune deeper than that one?
#
# Two fine-tunings of one base, held against each other on the same data: which changed more, where, and would any
# fine-tuning have done so? `og.compare` writes the page for one of them; here are the numbers behind the question, on
# a small classifier.

# %%
import copy

import torch
from torch import nn

import ontogeny as og

generator = torch.Generator().manual_seed(0)
inputs = torch.randn(300, 4, generator=generator)
noise = 0.5 * torch.randn(300, generator=generator)
labels = (inputs[:, 0] * inputs[:, 1] + noise > 0).long()
data = (inputs, labels)
flipped = (inputs, 1 - labels)


def make_model():
    return nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 2))


def trained(model, samples, num_steps):
    config = og.TrainingConfig(num_steps=num_steps, batch_size=100, learning_rate=0.01)
    og.train(model, samples, og.losses.cross_entropy, config)
    return model


torch.manual_seed(0)
base = trained(make_model(), data, 500)
light = trained(copy.deepcopy(base), flipped, 200)
heavy = trained(copy.deepcopy(base), flipped, 2000)

# %% [markdown]
# ## The loss is not depth
#
# The coefficient on the base's own data says how much the base's solution constrains the weights at the fine-tuned
# ones. Values are only compared at one nβ, one γ and the same samples; `-` refuses any others.

# %%
quick = {"nbeta": 50.0, "localization": 50.0, "sampler": og.Calibrated(error=0.1, budget=40_000)}
estimates = {
    name: og.estimate_llc(model, flipped, og.losses.cross_entropy, **quick)
    for name, model in {"light": light, "heavy": heavy}.items()
}
difference = estimates["heavy"] - estimates["light"]
for name, estimate in estimates.items():
    print(name, estimate)
print(f"complexity: {difference.complexity:.2f} ± {1.96 * difference.complexity_mcse:.2f}")

# %% [markdown]
# Both have converged. Had the light one moved less, it would be at no minimum of the new loss: its verdict would be
# `not_a_minimum`, its value without meaning, and its complexity what may be compared.
#
# ## How many steps undo it?
#
# Depth in the everyday sense is asked more directly: train on the base's data until its loss is back.


# %%
def mean_loss(model):
    return nn.functional.cross_entropy(model(inputs), labels).item()


for name, model in {"light": light, "heavy": heavy}.items():
    undone, steps = copy.deepcopy(model), 0
    while mean_loss(undone) > 1.1 * mean_loss(base) + 0.01 and steps < 2000:
        undone, steps = trained(undone, data, 10), steps + 10
    print(f"{name}: {steps} steps")

# %% [markdown]
# In this run neither measure makes the longer fine-tuning the deeper one: its complexity differs by less than the
# error, and it is undone in fewer steps. One base and one seed decide nothing in general. Repeat both before a claim.
#
# `og.compare(base, tuned, make_model, datasets, loss_fn)` adds twins, weight noise and the parts that undo a change:
# see [what a fine-tuning changed](../compare.md).
