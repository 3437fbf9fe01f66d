"""Worker of simplexity: filtering, mixed-state tree and myopic entropies, all compiled; float32, its default.

What imports the package's own `__init__` is its experiment tracking and training, which is not needed here: a bare
package of the same name and path stands in for it, and the modules beneath are the repository's.
"""

import os
import sys
import time
import types
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import worker

_package = types.ModuleType("simplexity")
_package.__path__ = [str(Path(os.environ["CHECKOUT"]) / "simplexity")]
sys.modules["simplexity"] = _package

import equinox as eqx  # noqa: E402 - after the package it is used by
import jax  # noqa: E402
from simplexity.generative_processes.builder import build_hidden_markov_model  # noqa: E402
from simplexity.generative_processes.hidden_markov_model import HiddenMarkovModel  # noqa: E402
from simplexity.generative_processes.mixed_state_presentation import (  # noqa: E402
    MixedStateTreeGenerator,
    SearchAlgorithm,
)


@cache
def _process(name: str) -> HiddenMarkovModel:
    return build_hidden_markov_model(name, {"x": 0.05, "a": 0.85} if name == "mess3" else {"p1": 0.5, "p2": 0.5})


@cache
def _tokens(path: str, sequences: int) -> jax.Array:
    return jax.numpy.asarray(np.load(path)[:sequences])


@eqx.filter_jit
def _filtered(process: HiddenMarkovModel, tokens: jax.Array) -> jax.Array:
    """Beliefs after each token: `transition_states` scanned along each sequence, as its generator does."""

    def along(sequence: jax.Array) -> jax.Array:
        def step(belief: jax.Array, token: jax.Array) -> tuple[jax.Array, jax.Array]:
            belief = process.transition_states(belief, token)
            return belief, belief

        return jax.lax.scan(step, process.initial_state, sequence)[1]

    return jax.vmap(along)(tokens)


def beliefs(task: Any) -> worker.Answer:
    """Beliefs of the sequences of a file, which the arrays stay in jax for."""
    process, tokens = _process("mess3"), _tokens(task["tokens"], task["sequences"])
    begun = time.perf_counter()
    found = _filtered(process, tokens).block_until_ready()
    return {"seconds": time.perf_counter() - begun} | _kept(task, found)


@cache
def _generator(depth: int) -> MixedStateTreeGenerator:
    """With a threshold, since its default of 0 keeps impossible words: 32,767 nodes to depth 14, not 7,655."""
    largest = 2 ** (depth + 1) - 1  # its default, which it can count only where nothing is traced
    return MixedStateTreeGenerator(_process("rrxor"), depth, largest, prob_threshold=1e-12)


_tree = eqx.filter_jit(lambda generator: generator._generate_tree_data(SearchAlgorithm.DEPTH_FIRST))
_entropies = eqx.filter_jit(lambda generator: generator.compute_myopic_entropy())


def tree(task: Any) -> worker.Answer:
    """The mixed-state tree: as arrays by the compiled loop that `generate` runs, or by `generate` itself."""
    generator = _generator(task["depth"])
    begun = time.perf_counter()
    if task["public"]:
        found = np.array([node.belief_state for node in generator.generate().nodes.values()])
        return {"seconds": time.perf_counter() - begun, "nodes": len(found)}
    data = jax.block_until_ready(_tree(generator))
    seconds = time.perf_counter() - begun
    return {"seconds": seconds, "nodes": int(data.size)} | _kept(task, data.belief_states[: int(data.size)])


def entropies(task: Any) -> worker.Answer:
    """h(1) to h(length) in nats; a tree of length - 1 tokens holds them."""
    generator = _generator(task["length"] - 1)
    begun = time.perf_counter()
    found = _entropies(generator).observation_entropies.block_until_ready()
    return {"seconds": time.perf_counter() - begun} | _kept(task, found / np.log(2))


def _kept(task: Any, array: Any) -> worker.Answer:
    """Results to be compared go into a file, outside of what is timed."""
    if task.get("out"):
        np.save(task["out"], np.asarray(array))
    return {}


if __name__ == "__main__":
    worker.serve({"beliefs": beliefs, "tree": tree, "entropies": entropies})
