"""Worker of epsilon-transformers: its mixed-state tree, and beliefs looked up in it or stepped one by one.

The module with `get_beliefs_for_transformer_inputs` imports scikit-learn and transformer_lens for other functions;
empty modules stand in for them.
"""

import sys
import time
import types
from functools import lru_cache
from typing import Any

import numpy as np
import torch
import worker
from epsilon_transformers.process.MixedStateTree import MixedStateTree
from epsilon_transformers.process.Process import _compute_next_distribution
from epsilon_transformers.process.processes import RRXOR, Mess3

for _name, _content in (("sklearn", ""), ("sklearn.linear_model", "LinearRegression"), ("transformer_lens", "")):
    sys.modules[_name] = types.ModuleType(_name)
    setattr(sys.modules[_name], _content or "HookedTransformer", object)

from epsilon_transformers.analysis.activation_analysis import get_beliefs_for_transformer_inputs  # noqa: E402

MESS3 = Mess3(x=0.05, a=0.85)


@lru_cache(maxsize=1)
def _tree(depth: int) -> MixedStateTree:
    return MESS3.derive_mixed_state_presentation(depth)


def beliefs(task: Any) -> worker.Answer:
    """Beliefs by `path_to_beliefs`, sequence by sequence; the tree of all words is made before, and told apart."""
    tokens = np.load(task["tokens"])[: task["sequences"], : task["length"]].tolist()
    begun = time.perf_counter()
    tree = _tree(task["length"])
    derived = time.perf_counter()
    found = np.stack([tree.path_to_beliefs(sequence) for sequence in tokens])
    return {"seconds": time.perf_counter() - derived, "tree_seconds": derived - begun} | _kept(task, found)


def inputs(task: Any) -> worker.Answer:
    """Beliefs by `get_beliefs_for_transformer_inputs`, with the tree and its index made before."""
    tokens = torch.tensor(np.load(task["tokens"])[: task["sequences"], : task["length"]])
    paths, states = _tree(task["length"]).paths_and_belief_states
    index = {belief: place for place, belief in enumerate({tuple(np.round(state, 5)) for state in states})}
    begun = time.perf_counter()
    found = get_beliefs_for_transformer_inputs(tokens, index, paths, states)[0]
    return {"seconds": time.perf_counter() - begun} | _kept(task, found.numpy())


def steps(task: Any) -> worker.Answer:
    """Beliefs by the step that derives its tree, token by token, which no length is too long for."""
    tokens = np.load(task["tokens"])[: task["sequences"]].tolist()
    found = np.empty((len(tokens), len(tokens[0]), 3))
    begun = time.perf_counter()
    initial, matrices = MESS3.steady_state_vector, MESS3.transition_matrix
    for row, sequence in zip(found, tokens, strict=True):
        belief = initial
        for position, token in enumerate(sequence):
            row[position] = belief = _compute_next_distribution(matrices, belief, token)
    return {"seconds": time.perf_counter() - begun} | _kept(task, found)


def tree(task: Any) -> worker.Answer:
    """The mixed-state tree of RRXOR."""
    process = RRXOR()
    begun = time.perf_counter()
    found = process.derive_mixed_state_presentation(task["depth"])
    seconds = time.perf_counter() - begun
    return {"seconds": seconds, "nodes": len(found.nodes)} | _kept(task, np.stack(found.belief_states))


def entropies(task: Any) -> worker.Answer:
    """h(1) to h(length) in bits. Its `myopic_entropy` leaves out the last level of the tree, unless told one more."""
    process = RRXOR()
    begun = time.perf_counter()
    derived = process.derive_mixed_state_presentation(task["length"])
    tree = MixedStateTree(derived.root_node, derived.process, derived.nodes, task["length"] + 1)
    found = tree.myopic_entropy
    return {"seconds": time.perf_counter() - begun} | _kept(task, found / np.log(2))


def _kept(task: Any, array: np.ndarray) -> worker.Answer:
    """Results to be compared go into a file, outside of what is timed."""
    if task.get("out"):
        np.save(task["out"], array)
    return {}


if __name__ == "__main__":
    worker.serve({"beliefs": beliefs, "inputs": inputs, "steps": steps, "tree": tree, "entropies": entropies})
