"""Run under torchrun: draws from a network that FSDP2 divides over the processes, saved by the first of them.

torchrun --nproc-per-node N tests/sampling/sharded_draws.py OUT NETWORK RESTRICTION SAMPLER [CHECKPOINTS]

Of a folder of checkpoints, the first is loaded into the divided network, and what it then holds is saved as the next.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch import nn
from torch.distributed.fsdp import fully_shard

import ontogeny as og
from ontogeny.stores import load_into, open_checkpoints

TOKENS = torch.randint(50, (40, 16), generator=torch.Generator().manual_seed(1))
SAMPLERS: dict[str, Any] = {
    "fixed": og.Fixed(kernel=og.SGLD(1e-4), num_chains=2, num_draws=12, num_warmup=2),
    "hamiltonian": og.Fixed(kernel=og.SGHMC(1e-2), num_chains=2, num_draws=12, num_warmup=0, control_variate=True),
    "calibrated": og.Calibrated(budget=4_000, num_chains=2),
}


def network(name: str) -> nn.Module:
    """A small GPT-NeoX or Llama with random weights."""
    from transformers import GPTNeoXConfig, GPTNeoXForCausalLM, LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    shape: dict[str, Any] = {"vocab_size": 50, "hidden_size": 32, "num_hidden_layers": 2, "intermediate_size": 48}
    shape |= {"num_attention_heads": 4, "max_position_embeddings": 16, "bos_token_id": None, "eos_token_id": None}
    if name == "llama":
        return LlamaForCausalLM(LlamaConfig(**shape, num_key_value_heads=2)).eval()
    return GPTNeoXForCausalLM(GPTNeoXConfig(**shape)).eval()


def drawn(model: nn.Module, restriction: Any, sampler: str) -> dict[str, np.ndarray]:
    """Losses and distances of draws."""
    options: dict[str, Any] = {"nbeta": 10.0, "batch_size": 10, "pass_size": 6, "restriction": restriction}
    posterior = og.LocalPosterior(model, TOKENS, og.losses.next_token, **options)
    draws = og.sample(posterior, SAMPLERS[sampler], observables={"others": TOKENS[:3]}, seed=3)
    groups = {"sample_stats": ("loss", "distance", "virial"), "posterior": ("others", "loss_difference")}
    return {name: np.asarray(draws[group][name]) for group, names in groups.items() for name in names}


def main() -> None:
    """Divide, load, draw and save."""
    out, name, part, sampler, *checkpoints = sys.argv[1:]
    torch.set_num_threads(1)
    model: Any = network(name)
    restriction = None if part == "all" else og.restrict(model, part)
    dist.init_process_group("gloo")
    for layer in (model.model if name == "llama" else model.gpt_neox).layers:
        fully_shard(layer)
    fully_shard(model)
    if checkpoints:
        load_into(model, open_checkpoints(checkpoints[0]).load(1))
    model.train()
    before = {key: value.to_local().clone() for key, value in model.state_dict().items() if hasattr(value, "to_local")}
    found: dict[str, Any] = drawn(model, restriction, sampler)
    for key, value in before.items():  # the caller's module is as it was
        assert torch.equal(model.state_dict()[key].to_local(), value)
    assert model.training
    assert all(each.requires_grad and each.grad is None for each in model.parameters())
    if checkpoints:
        dcp.save(dict(model.state_dict()), checkpoint_id=str(Path(checkpoints[0]) / "step-2"))
    if dist.get_rank() == 0:
        np.savez(out, **found)
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
