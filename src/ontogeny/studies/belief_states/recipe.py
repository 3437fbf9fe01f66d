"""The belief-state study: train on a process whose beliefs are known, and read them out along training."""

from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor, nn

from ontogeny.compmech import (
    ContextTable,
    all_contexts,
    describe_sites,
    losses_by_length,
    myopic_entropies,
    r2_of_sites,
    regress_sites,
)
from ontogeny.core.losses import next_token
from ontogeny.development import joint_pca, stages
from ontogeny.models import RecurrentNetwork, Transformer, intervene, run_with_cache
from ontogeny.probes import Probe, ProbeConfig
from ontogeny.stores import Checkpoints
from ontogeny.studies.belief_states.config import Architecture, BeliefConfig, ProcessConfig
from ontogeny.studies.belief_states.shown import picture, presentation
from ontogeny.studies.workspace import Workspace

TRANSFORMER, RECURRENT = "transformer", "LSTM"
ALL = "all sites"
Activations = dict[str, Float[np.ndarray, "context _"]]
_BATCH, _OUTPUTS, _MAX_PAIRS = 4096, 64, 512  # words a pass; contexts of trajectory PCA; pairs that are steered


def run(work: Workspace, config: BeliefConfig) -> None:
    """Makes the networks `transformer` and `lstm`; `trajectory`, `optimum`, `stages`, `pca`; `beliefs-transformer` and
    `beliefs-lstm`, each with `regressions` and a `picture`; `presentation`.
    """
    data = sequences(config.process, work.seed("sequences"))
    behaviour = BeliefBehaviour(config.process, config.regression)
    options = {"posterior": config.posterior, "sampler": config.sampler, "behaviour": behaviour}
    shape, process, device = config.architecture, config.process, config.device
    makes = {
        name: partial(network, name, shape, process, work.seed("weights", name), device)
        for name in (TRANSFORMER, RECURRENT)
    }
    transformer = work.train("transformer", makes[TRANSFORMER], data, next_token, config.training)
    recurrent = work.train("lstm", makes[RECURRENT], data, next_token, config.recurrent_training)
    trajectory = work.measure("trajectory", transformer, makes[TRANSFORMER], data[:10_000], next_token, **options)
    for trained, name in ((transformer, TRANSFORMER), (recurrent, RECURRENT)):
        given = (trained, makes[name], process, config.regression, work.seed("steering"))
        work.step(f"beliefs-{name.lower()}", read, *given)
    work.step("optimum", optimum, config.process)
    work.step("presentation", presentation, config.process)
    work.step("stages", stages, trajectory)
    work.step("pca", joint_pca, trajectory["outputs"], seed=config.seed)


def sequences(process: ProcessConfig, seed: int) -> Tensor:
    """Training sequences, begun in the stationary state."""
    return torch.as_tensor(process.make().sample(process.num_sequences, process.context_length, seed=seed))


def network(name: str, shape: Architecture, process: ProcessConfig, seed: int, device: str) -> nn.Module:
    """A network of either kind with its initial weights."""
    weights, tokens = torch.Generator().manual_seed(seed), process.make().num_tokens
    if name == RECURRENT:
        return RecurrentNetwork(shape.recurrent(tokens), weights).to(device)
    return Transformer(shape.transformer(tokens, process.context_length), weights).to(device)


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
    regression: ProbeConfig

    @torch.no_grad()
    def __call__(self, model: nn.Module) -> xr.Dataset:
        table = contexts(self.process)
        found, logits = read_sites(model, table)
        likeliest = (-table.probabilities * (table.lengths == table.lengths.max())).argsort()[:_OUTPUTS]
        outputs = torch.as_tensor(logits[likeliest]).log_softmax(-1).flatten().float()
        return r2_of_sites(found, table, self.regression).assign(
            loss_by_length=expected_losses(logits, table), outputs=("output", outputs.numpy())
        )


def read(
    run: Checkpoints, make: "partial[nn.Module]", process: ProcessConfig, regression: ProbeConfig, seed: int
) -> dict[str, xr.Dataset]:
    """Beliefs read from the last checkpoint with every control, the first one being the untrained network: the
    `regressions` over `site`, whether moving activations along them moves the output, and a `picture` of the best site.
    """
    table, model = contexts(process), make()
    model.load_state_dict(run.load(run.steps[0]))
    untrained, _ = read_sites(model, table)
    model.load_state_dict(run.load(run.steps[-1]))
    trained, logits = read_sites(model, table)
    results, sites = regress_sites(trained, untrained, table, regression), sites_of(model)
    last, best = list(sites)[-1], max((site for site in results if site != ALL), key=lambda site: results[site].r2)
    found = describe_sites(results, table).assign(
        untrained_distance_r2=r2_of_sites(untrained, table, regression)["belief_distance_r2"],
        final_loss_by_length=expected_losses(logits, table),
    )
    steered = steer(model, sites[last], results[last], table, seed)
    drawn = picture(results[best], table).assign_attrs(site=best, process=process.name)
    return {"regressions": found.assign_attrs(steered | {"steered_site": last}), "picture": drawn}


def optimum(process: ProcessConfig) -> xr.Dataset:
    """The least loss that any predictor can have after so many tokens, in nats."""
    least = myopic_entropies(process.make(), process.context_length)[1:] * np.log(2)
    return xr.Dataset({"optimal_loss": ("length", least)}, coords={"length": np.arange(1, len(least) + 1)})


def contexts(process: ProcessConfig) -> ContextTable:
    """All contexts that a network of this context length is trained on; made once."""
    return _contexts(process.model_dump_json())


@lru_cache(maxsize=2)
def _contexts(text: str) -> ContextTable:
    process = ProcessConfig.model_validate_json(text)
    return all_contexts(process.make(), process.context_length - 1)


def sites_of(model: nn.Module) -> dict[str, str]:
    """Name of each site -> the submodule whose output it is, in the order of the forward pass."""
    layers, place = ("layers", "hook_state") if isinstance(model, RecurrentNetwork) else ("blocks", "hook_resid_post")
    depth = len(getattr(model, layers))
    return {"embedding": "hook_embed"} | {f"layer {i}": f"{layers}.{i}.{place}" for i in range(depth)}


def read_sites(model: nn.Module, table: ContextTable) -> tuple[Activations, Float[np.ndarray, "context token"]]:
    """Activations after every context at each site, and at all of them side by side; the network's logits."""
    sites, found = sites_of(model), dict[str, list[Tensor]]()
    device = next(model.parameters()).device
    for batch in torch.as_tensor(table.words).split(_BATCH):
        logits, cache = run_with_cache(model, batch.to(device), names=list(sites.values()))
        for site, values in (cache | {"logits": logits}).items():
            found.setdefault(site, []).append(values.cpu())
    every = {site: torch.cat(parts).flatten(0, 1)[table.first].double().numpy() for site, parts in found.items()}
    named = {name: every[site] for name, site in sites.items()}
    return named | {ALL: np.concatenate(list(named.values()), axis=1)}, every["logits"]


def expected_losses(logits: Float[np.ndarray, "context token"], table: ContextTable) -> xr.DataArray:
    """Expected next-token loss after contexts of each length, in nats."""
    lengths = {"length": np.unique(table.lengths)}
    return xr.DataArray(losses_by_length(table, logits), dims="length", coords=lengths, name="loss_by_length")


def steer(model: nn.Module, site: str, result: Probe, table: ContextTable, seed: int) -> dict[str, float | int]:
    """Move the activations of one context by the belief directions towards another's belief, and look at the output.

    For pairs (c, d) of contexts of one length, the last position's activation of c is moved by
    (b(d) - b(c)) · directions, or as far in a random direction. Returned is the share of Σ KL(p(·|d) ‖ q) that each
    removes, q being the network's law after c: 1 where it predicts as after d, 0 where nothing changed.
    """
    generator = np.random.default_rng(seed)
    length = int(table.lengths.max())
    full = np.flatnonzero(table.lengths == length)
    chance = table.probabilities[full] / table.probabilities[full].sum()
    pairs = generator.choice(full, size=(_MAX_PAIRS, 2), p=chance)
    change = (table.beliefs[pairs[:, 1]] - table.beliefs[pairs[:, 0]]) @ result.readout.directions
    other = generator.normal(size=change.shape)
    other *= np.linalg.norm(change, axis=1, keepdims=True) / np.linalg.norm(other, axis=1, keepdims=True)
    tokens, wanted = torch.as_tensor(table.prefixes[pairs[:, 0]]), table.laws[pairs[:, 1]]
    divergence = [_divergence(model, site, tokens, moved, wanted) for moved in (0 * change, change, other)]
    return {
        "steered": 1 - divergence[1] / divergence[0],
        "steered_at_random": 1 - divergence[2] / divergence[0],
        "steered_pairs": _MAX_PAIRS,
    }


def _divergence(
    model: nn.Module,
    site: str,
    tokens: Tensor,
    moved: Float[np.ndarray, "pair column"],
    wanted: Float[np.ndarray, "pair token"],
) -> float:
    """Mean KL(wanted ‖ output at the last position) with the last position's activation moved."""
    device = next(model.parameters()).device
    shift = torch.as_tensor(moved, dtype=torch.float32, device=device)

    def move(activation: Tensor) -> Tensor:
        return torch.cat([activation[:, :-1], activation[:, -1:] + shift[:, None]], dim=1)

    with torch.no_grad(), intervene(model, {site: move}):
        log_q = model(tokens.to(device))[:, -1].double().log_softmax(-1).cpu().numpy()
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(np.where(wanted > 0, wanted * (np.log(wanted) - log_q), 0).sum(1).mean())
