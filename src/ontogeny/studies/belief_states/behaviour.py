"""What a network knows of a process at a checkpoint, for `measure`."""

from dataclasses import dataclass
from functools import lru_cache

import torch
import xarray as xr
from torch import nn

from ontogeny.compmech import BeliefRegressionConfig
from ontogeny.studies.belief_states.config import ProcessConfig
from ontogeny.studies.belief_states.contexts import ContextTable, activations, all_contexts
from ontogeny.studies.belief_states.geometry import expected_losses, r2_alone, sites_of, with_all

_OUTPUTS = 64  # contexts whose log-probabilities are kept for trajectory PCA


@dataclass(frozen=True)
class BeliefBehaviour:
    """A behaviour for `measure`: the expected loss after contexts of each length, and R² of beliefs at each site.

    | variable | meaning |
    |---|---|
    | `loss_by_length` (length) | expected next-token loss in nats, over all possible contexts |
    | `belief_r2` (site) | held-out R² of the exact beliefs, contexts weighted by probability |
    | `belief_distance_r2` (site, against) | R² of pairwise distances with those of beliefs and of next-token laws |
    | `outputs` (output) | log-probabilities after the most probable of the longest contexts, for trajectory PCA |

    Args:
        process: the process; contexts are all of its words that a network of this context length is trained on.
        regression: how beliefs are read.
    """

    process: ProcessConfig
    regression: BeliefRegressionConfig

    @torch.no_grad()
    def __call__(self, model: nn.Module) -> xr.Dataset:
        table, sites = contexts(self.process), sites_of(model)
        found = activations(model, table, list(sites.values()))
        named = {name: found[site] for name, site in sites.items()}
        longest = table.lengths == table.lengths.max()
        likeliest = (-table.probabilities * longest).argsort()[:_OUTPUTS]
        outputs = torch.as_tensor(found["logits"][likeliest]).log_softmax(-1).flatten().float()
        return r2_alone(with_all(named, list(named)), table, self.regression).assign(
            loss_by_length=expected_losses(found["logits"], table), outputs=("output", outputs.numpy())
        )


@lru_cache(maxsize=2)
def _contexts(text: str) -> ContextTable:
    config = ProcessConfig.model_validate_json(text)
    return all_contexts(config.make(), config.context_length - 1)


def contexts(config: ProcessConfig) -> ContextTable:
    """All contexts that a network of this context length is trained on; made once."""
    return _contexts(config.model_dump_json())
