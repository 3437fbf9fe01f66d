"""The one sampling loop: chains of any kernel over any local posterior, recorded as draws."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from ontogeny.core.draws import MemorySink, SamplingSettings
from ontogeny.core.errors import InvalidArgument
from ontogeny.core.protocols import Progress, Silent, Sink
from ontogeny.core.samples import Samples
from ontogeny.core.seeds import generator
from ontogeny.sampling.posterior import LocalPosterior
from ontogeny.sampling.sgld import SGLD

# Below this many weights a step is dominated by the overhead of small operations, which all chains in one pass share;
# above it a CPU gains nothing from a batch of chains, and memory is saved by taking them one after another.
_VECTORIZE_BELOW = {"cpu": 4096, "cuda": 1_000_000}

_TAKEN = ("loss_difference", "chain", "draw")  # names in the group that observables are written to


def sample(
    posterior: LocalPosterior,
    kernel: SGLD,
    *,
    num_chains: int = 4,
    num_draws: int = 200,
    num_warmup: int = 200,
    thinning: int = 1,
    observables: Mapping[str, Any] | None = None,
    seed: int = 0,
    progress: Progress | bool = False,
    sink: Sink | None = None,
    vectorized: bool | None = None,
) -> xr.DataTree:
    """Run chains from the center and record, at each draw, the loss paired with the loss at w* on the same samples.

    Each chain has its own noise and its own order of minibatches, by two generators of the seed tree named by the
    chain's number:
    a chain does not depend on how many others run or how they are batched. Warm-up is recorded apart. Step t records
    w_t before it is updated.

    Args:
        posterior: what to sample.
        kernel: how to step.
        num_chains, num_draws, num_warmup: chains, recorded draws a chain, draws a chain before those.
        thinning: steps from one draw to the next, in warm-up too; there are `thinning * (num_warmup + num_draws)`
            steps.
        observables: name -> samples whose per-sample losses are recorded at every draw (positions averaged).
        seed: root of the seed tree.
        progress: a `Progress`, or True for a bar in the terminal.
        sink: where draws go as they are made; default memory. `ontogeny.stores.ZarrSink` streams them to disk.
        vectorized: all chains in one pass through `torch.func.vmap`; default for models below 4,096 weights
            (1,000,000 on a GPU) that allow it.

    Returns:
        Draws (see `ontogeny.core.draws`). A chain that leaves the finite numbers stops there, its later draws are
        NaN, and `failed_at` says when.

    Raises:
        InvalidArgument: for counts that are not positive.
    """
    counts = {"num_chains": num_chains, "num_draws": num_draws, "thinning": thinning, "num_warmup": num_warmup}
    for name, value in counts.items():
        least = 0 if name == "num_warmup" else 1
        if value < least:
            raise InvalidArgument(
                name, expected=f"an integer ≥ {least}", found=str(value), instead=f"{name}={least} or more"
            )
    recorder = _Recorder(posterior, sink or MemorySink(), observables or {})
    recorder.open(num_chains, num_draws, num_warmup)
    chains = _Chains(posterior, kernel, num_chains, seed, vectorized)
    reporter = as_progress(progress)
    total = (num_warmup + num_draws) * thinning
    reporter.start("sampling", total)
    for step in range(total):
        for block in chains.blocks():
            losses, indices = chains.evaluate(block)
            for row, (chain, loss) in enumerate(zip(block, losses.tolist(), strict=True)):
                if not math.isfinite(loss):
                    chains.stop(chain, step)
                elif step % thinning == 0 and chains.alive(chain):
                    draw = step // thinning - num_warmup
                    recorder.record(chain, draw, chains.positions[chain], loss, indices[row])
            chains.update(block)
        reporter.advance("sampling")
        if not chains.blocks():
            break
    reporter.finish("sampling")
    settings = SamplingSettings(
        nbeta=posterior.nbeta,
        localization=posterior.localization,
        kernel=type(kernel).__name__,
        step_size=kernel.step_size,
        num_chains=num_chains,
        num_draws=num_draws,
        num_warmup=num_warmup,
        thinning=thinning,
        batch_size=posterior.batch_size,
        seed=seed,
        num_samples=len(posterior.samples),
        restriction=posterior.restriction.name if posterior.restriction else "all",
        num_parameters=posterior.num_parameters,
        gradient_evaluations=chains.gradient_evaluations,
    )
    return recorder.close(chains.failed_at, settings)


class _Chains:
    """The state of all chains: one row of weights each, a generator for its noise and one for its order of
    minibatches.
    """

    def __init__(
        self, posterior: LocalPosterior, kernel: SGLD, num_chains: int, seed: int, vectorized: bool | None
    ) -> None:
        self.posterior, self.kernel = posterior, kernel
        if vectorized is None:
            small = posterior.num_parameters < _VECTORIZE_BELOW.get(posterior.device.type, 0)
            vectorized = small and num_chains > 1 and posterior.vectorizes()
        self.vectorized = vectorized
        self.positions = posterior.center.repeat(num_chains, 1)
        self._gradients = torch.empty_like(self.positions if vectorized else self.positions[:1])
        self._noise = [generator(seed, "noise", chain, device=posterior.device) for chain in range(num_chains)]
        self._order = [generator(seed, "order", chain) for chain in range(num_chains)]
        self.failed_at = [math.nan] * num_chains
        self.gradient_evaluations = 0

    def blocks(self) -> list[list[int]]:
        """Chains that are still finite, grouped as they go through the model together."""
        alive = [chain for chain in range(len(self.failed_at)) if self.alive(chain)]
        if self.vectorized:
            return [list(range(len(self.failed_at)))] if alive else []
        return [[chain] for chain in alive]

    def alive(self, chain: int) -> bool:
        """Whether the chain has been finite at every step so far; one that was not may look so again."""
        return math.isnan(self.failed_at[chain])

    def evaluate(self, block: list[int]) -> tuple[Tensor, Tensor]:
        """Losses (chain,) and minibatches (chain, batch) of a block, whose gradients are left in the buffer."""
        indices = torch.stack([self.posterior.batch_indices(self._order[chain]) for chain in block])
        rows = self.positions[block[0] : block[-1] + 1]
        losses = self.posterior.gradients(rows, indices, self._gradients, self.vectorized)
        self.gradient_evaluations += indices.numel()
        return losses, indices

    def update(self, block: list[int]) -> None:
        noise = [self._noise[chain] for chain in block]
        self.kernel.step(self.positions[block[0] : block[-1] + 1], self._gradients, noise)

    def stop(self, chain: int, step: int) -> None:
        if self.alive(chain):
            self.failed_at[chain] = float(step)


class _Recorder:
    """Writes one draw of one chain to a sink; draws before 0 are warm-up, kept in groups of their own."""

    def __init__(self, posterior: LocalPosterior, sink: Sink, observables: Mapping[str, Any]) -> None:
        self.posterior, self.sink = posterior, sink
        self.observables = _named_samples(observables)

    def open(self, num_chains: int, num_draws: int, num_warmup: int) -> None:
        layout: dict[str, tuple[str, tuple[str, ...], tuple[int, ...]]] = {}
        for prefix, draws in {"": num_draws, "warmup_": num_warmup}.items():
            trace = (("chain", "draw"), (num_chains, draws))
            layout[f"{prefix}posterior/loss_difference"] = (f"{prefix}posterior", *trace)
            for name in ("loss", "loss_at_center", "distance"):
                layout[f"{prefix}sample_stats/{name}"] = (f"{prefix}sample_stats", *trace)
        layout["sample_stats/failed_at"] = ("sample_stats", ("chain",), (num_chains,))
        for name, samples in self.observables.items():
            dims, size = ("chain", "draw", f"{name}_sample"), samples.stored
            layout[f"posterior/{name}"] = ("posterior", dims, (num_chains, num_draws, size))
            layout[f"constant_data/{name}_at_center"] = ("constant_data", dims[2:], (size,))
        at_center = {name: self._observe(self.posterior.center, name) for name in self.observables}
        self.sink.open(layout)  # what the sink held before is lost from here on, so all that can be wrong comes earlier
        for name, losses in at_center.items():
            self.sink.write(f"constant_data/{name}_at_center", (), losses)

    def record(self, chain: int, draw: int, position: Tensor, loss: float, batch: Tensor) -> None:
        """One draw of one chain whose loss is finite; all others stay NaN."""
        prefix, index = ("", (chain, draw)) if draw >= 0 else ("warmup_", (chain, draw))
        at_center = float(self.posterior.center_losses(batch).double().mean())
        self.sink.write(f"{prefix}posterior/loss_difference", index, loss - at_center)
        self.sink.write(f"{prefix}sample_stats/loss", index, loss)
        self.sink.write(f"{prefix}sample_stats/loss_at_center", index, at_center)
        self.sink.write(f"{prefix}sample_stats/distance", index, float((position - self.posterior.center).norm()))
        if draw >= 0:
            for name in self.observables:
                self.sink.write(f"posterior/{name}", index, self._observe(position, name))

    def close(self, failed_at: list[float], settings: SamplingSettings) -> xr.DataTree:
        for chain, step in enumerate(failed_at):
            self.sink.write("sample_stats/failed_at", (chain,), step)
        return self.sink.close({"settings": settings.to_json()})

    def _observe(self, position: Tensor, name: str) -> np.ndarray:
        samples = self.observables[name]
        batches = torch.arange(samples.stored).split(self.posterior.batch_size)
        return torch.cat([self.posterior.losses(position, samples, batch) for batch in batches]).cpu().numpy()


def _named_samples(observables: Mapping[str, Any]) -> dict[str, Samples]:
    for name in observables:
        if not name or "/" in name or name in _TAKEN:
            raise InvalidArgument(
                "observables",
                expected=f"names without a slash, and none of {', '.join(_TAKEN)}",
                found=repr(name),
                instead='observables={"name": data}',
            )
    return {name: Samples(data, name=f"observables[{name!r}]") for name, data in observables.items()}


def as_progress(progress: Progress | bool) -> Progress:
    """What a caller passed as `progress`: True is a bar in the terminal, False silence."""
    if progress is True:
        from ontogeny.reports.terminal import TerminalProgress

        return TerminalProgress()
    return Silent() if progress is False else progress
