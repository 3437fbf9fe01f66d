# %% [markdown]
# # Follow a head over Pythia
#
# A published series is opened from the hub; two checkpoints are on disk at a time. It needs
# `pip install "ontogeny[hf]"` and a connection. The smallest network, four checkpoints and one head keep this short.

# %%
import torch
from transformers import AutoConfig, AutoModelForCausalLM

import ontogeny as og
from ontogeny import circuits

NAME, HEAD = "EleutherAI/pythia-14m", "L1H2"
run = og.open_checkpoints(f"hf://{NAME}", every="log:4")
print(run.steps, run.missing)

config = AutoConfig.from_pretrained(NAME)


def make_model():
    return AutoModelForCausalLM.from_config(config)


# %% [markdown]
# ## Repeats, the head's scores, and its own coefficient
#
# Sequences whose second half repeats the first are what induction is about. The coefficient of the head alone is that
# of the posterior over its weights, all others fixed.

# %%
generator = torch.Generator().manual_seed(0)
half = torch.randint(config.vocab_size, (64, 8), generator=generator)
repeats = torch.cat([half, half], dim=1)
quick = {"nbeta": 10.0, "localization": 100.0, "sampler": og.Calibrated(error=0.3, budget=1000, num_chains=2)}
trajectory = og.measure(
    run,
    make_model,
    {"input_ids": repeats, "labels": repeats},
    og.losses.next_token,
    components=[HEAD],
    behaviour=lambda model: circuits.head_scores(model, seed=0),
    **quick,
)
layer, head = (int(number) for number in HEAD.removeprefix("L").split("H"))
print(trajectory["llc_complexity"].isel(dataset=0, component=0).to_pandas())
print(trajectory["prefix_matching"].sel(layer=layer, head=head).to_pandas())

# %% [markdown]
# Leave `quick` away for a result: nβ and γ are then chosen at the pilot checkpoints, see
# [public series](../public-series.md).
