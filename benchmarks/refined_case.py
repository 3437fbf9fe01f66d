"""The network that refined coefficients are compared on, and our side of the comparison."""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import torch
import xarray as xr
from torch import Tensor

import ontogeny as og
from benchmarks.refined_tables import PUBLISHED, Found
from ontogeny.core.draws import MemorySink, joined, settings_of
from ontogeny.core.protocols import Silent
from ontogeny.core.restriction import matching, shapes_of
from ontogeny.data import TextConfig, load_text
from ontogeny.models import Transformer, TransformerConfig
from ontogeny.sampling.chains import Chains
from ontogeny.sampling.loop import describe, run
from ontogeny.sampling.recorder import Recorder

SHAPE = TransformerConfig(vocabulary_size=5000, context_length=128, num_layers=2, d_model=256, num_heads=8)
HEADS = [f"L{layer}H{head}" for layer in range(SHAPE.num_layers) for head in range(SHAPE.num_heads)]


def case(path: Path, num_sequences: int, num_steps: int) -> tuple[Transformer, Tensor]:
    """The trained network and the sequences that coefficients are of; trained once, and kept for both sides."""
    model = Transformer(SHAPE, torch.Generator().manual_seed(0))
    if not path.exists():
        config = TextConfig(vocabulary_size=SHAPE.vocabulary_size, context_length=SHAPE.context_length)
        tokens = load_text(config, path.parent / "text").train["mixed"]
        _train(model, tokens, num_steps)
        torch.save({"weights": model.state_dict(), "tokens": tokens[:num_sequences].clone()}, path)
    kept = torch.load(path, weights_only=True)
    model.load_state_dict(kept["weights"])
    return model, kept["tokens"].long()


def _train(model: Transformer, tokens: Tensor, num_steps: int) -> None:
    optimizer, generator = torch.optim.AdamW(model.parameters(), lr=1e-3), torch.Generator().manual_seed(0)
    for _ in range(num_steps):
        chosen = torch.randint(len(tokens), (32,), generator=generator)
        optimizer.zero_grad()
        og.losses.next_token(model, tokens[chosen].long()).mean().backward()
        optimizer.step()


class Ours:
    """Our side: posteriors of parts that share the losses at w*, each sample's computed once for all of them."""

    def __init__(self, model: Transformer, tokens: Tensor) -> None:
        self.model, self.tokens = model, tokens
        self._parts, self._shapes = og.components(model), shapes_of(model)
        nbeta, localization, batch = (PUBLISHED[name] for name in ("nbeta", "localization", "batch"))
        self._whole = og.LocalPosterior(model, tokens, og.losses.next_token, nbeta, localization, batch_size=int(batch))

    def posterior(self, part: str) -> og.LocalPosterior:
        whole = self._whole
        return whole if part == "full" else whole.restricted(matching(part, self._parts, self._shapes))

    def sample(self, posterior: og.LocalPosterior, chains: int, draws: int) -> xr.DataTree:
        kernel = og.SGLD(PUBLISHED["step_size"])
        return og.sample(posterior, kernel, num_chains=chains, num_draws=draws, num_warmup=0)

    def reached(self, part: str, wanted: Callable[[Found], bool], asked: argparse.Namespace) -> list[Found]:
        """One run that begins with nothing known but what parts share, read every so many draws until it is enough.

        The error is the Monte Carlo error alone, as theirs is, of which the paired baseline's is part.
        """
        begun, runs, trees = time.perf_counter(), [], []
        chains = Chains(self.posterior(part), og.SGLD(PUBLISHED["step_size"]), asked.chains, seed=0)
        while not runs or (runs[-1]["draws"] + asked.every <= asked.most and not wanted(runs[-1])):
            trees.append(_round(chains, asked.every if runs else asked.warmup + asked.fewest))
            estimate = og.llc(joined(trees, asked.warmup, settings_of(trees[-1]), xr.Dataset()))
            seconds, draws = time.perf_counter() - begun, asked.fewest + asked.every * len(runs)
            assert estimate.diagnostics
            numbers = {"value": estimate.value, "error": estimate.diagnostics.monte_carlo_error, "mcse": estimate.mcse}
            verdict = {"rhat": estimate.rhat, "ess": estimate.ess, "outcome": estimate.outcome.value}
            runs.append({"seconds": seconds, "draws": draws} | numbers | verdict)
        return runs


def _round(chains: Chains, length: int) -> xr.DataTree:
    """The next draws of chains that go on."""
    recorder = Recorder(chains.posterior, MemorySink(), {})
    recorder.open(len(chains), length, 0)
    run(chains, recorder, 0, length, 1, Silent())
    settings = describe(chains, num_draws=length, num_warmup=0, thinning=1, seed=0)
    return recorder.close(chains.failed_at, settings)
