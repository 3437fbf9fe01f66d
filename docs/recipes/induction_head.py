# %% [markdown]
# # Is this head an induction head, and since when?
#
# `circuits.head_scores` gives every head its scores on random repeated sequences. Along a run it is a behaviour of
# `og.measure`. The networks here are blends of random weights and of an induction circuit written by hand
# (`og.testing.InductionTransformer`), so that the answer is known: heads L0H1 and L1H2. With a run of your own, take
# `run` from `og.open_checkpoints` and `make_model` from your code; any transformer will do.

# %%
import torch

import ontogeny as og
from ontogeny import circuits
from ontogeny.testing import InductionTransformer

known = InductionTransformer(vocabulary_size=15, context_length=16)
final = known.model().state_dict()
generator = torch.Generator().manual_seed(0)
start = {name: 0.02 * torch.randn(value.shape, generator=generator) for name, value in final.items()}
blends = {step: step / 40 for step in (0, 10, 20, 30, 40)}
run = og.open_checkpoints(
    {
        step: {name: torch.lerp(start[name], final[name], share) for name in final if final[name].is_floating_point()}
        for step, share in blends.items()
    }
)


# %% [markdown]
# ## Measure the scores at every checkpoint
#
# `components=[]` measures no coefficient, which makes this quick.


# %%
def scores(model):
    return circuits.head_scores(model, seed=0)


tokens = torch.randint(15, (32, 16), generator=generator)
trajectory = og.measure(run, known.model, tokens, og.losses.next_token, components=[], behaviour=scores)
prefix = trajectory["prefix_matching"]
print(prefix.sel(layer=1).to_pandas().round(2))

# %% [markdown]
# ## Since when?
#
# A head counts as an induction head if it attends to what followed the token before, and its output raises that token.
# `head_types` applies stated thresholds to both. The first step that passes is the answer, up to the grid of
# checkpoints: between two of them nothing is known.

# %%
since = {}
alone = trajectory[list(scores(known.model()).data_vars)]
for step in trajectory["step"].values:
    for head, kind in circuits.head_types(alone.sel(step=step)).items():
        if kind != "other":
            since.setdefault((head, kind), int(step))
print(since)

# %% [markdown]
# ## When it misleads
#
# Scores are of attention on random tokens. A head that copies by meaning is not seen, and one that attends in this way
# need not matter: hold the loss on repeats with and without it, as in [circuits](../circuits.md), before calling it the
# cause of in-context learning.
