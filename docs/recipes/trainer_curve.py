# %% [markdown]
# # An LLC curve for my Trainer run
#
# You train with the Trainer of transformers. One callback keeps checkpoints on a log-spaced schedule; one call measures
# them. The data here are small, so that the recipe runs in two minutes; replace `rows` and the configuration by yours.
# It needs `pip install "ontogeny[hf]" accelerate`.

# %%
import torch
import transformers

import ontogeny as og

generator = torch.Generator().manual_seed(0)
starts = torch.randint(0, 12, (400, 1), generator=generator)
tokens = (starts + torch.arange(8)) % 12  # counting, modulo twelve
rows = [{"input_ids": row, "labels": row} for row in tokens]


def make_model():
    config = transformers.GPT2Config(
        vocab_size=12, n_positions=8, n_embd=16, n_layer=1, n_head=2, bos_token_id=0, eos_token_id=0
    )
    return transformers.GPT2LMHeadModel(config)


# %% [markdown]
# ## Train, with a schedule
#
# `steps` shows which steps keep their weights. If the run is killed and resumed by `resume_from_checkpoint=True`, the
# schedule goes on with it. Files are written to `out/checkpoints`, and `out/checkpoints/overhead.json` says how long
# that took.

# %%
schedule = og.CheckpointSchedule(num_log=6, num_linear=2)
print(schedule.steps(60))

torch.manual_seed(0)
arguments = transformers.TrainingArguments(
    "out", max_steps=60, per_device_train_batch_size=32, learning_rate=1e-2, report_to=[], use_cpu=True,
    save_strategy="no", disable_tqdm=True,
)  # fmt: skip
callback = schedule.trainer_callback("out/checkpoints")
transformers.Trainer(make_model(), arguments, train_dataset=rows, callbacks=[callback]).train()

# %% [markdown]
# ## Measure
#
# A sample is a sequence: n is 400. Without `nbeta`, `localization` and `sampler` all three are chosen for the run. That
# takes longer, and is what you want for a result. Here they are fixed, with a strong localization at which the chains
# converge within two minutes of one core.

# %%
run = og.open_checkpoints("out")
quick = {"nbeta": 50.0, "localization": 300.0, "sampler": og.Calibrated(error=0.1, budget=100_000)}
trajectory = og.measure(run, make_model, {"input_ids": tokens, "labels": tokens}, og.losses.next_token, **quick)
table = trajectory[["loss", "llc_complexity", "llc_descent", "llc_outcome"]].isel(dataset=0, component=0, drop=True)
print(table.to_dataframe().round(2))

# %% [markdown]
# ## Read
#
# Away from a minimum the value is a complexity less a descent, so a curve along training is read by its complexity. The
# report shows both with their errors, the traces of the chains, and the verdict of every estimate; those that have not
# converged are marked, not dropped.

# %%
print(og.write_report(trajectory, "report.html", title="Counting"))
