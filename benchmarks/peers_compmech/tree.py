"""Mixed-state trees that are not deduplicated, in plain numpy, and ours beside them: time and memory with depth."""

import subprocess
import sys
from collections.abc import Iterator
from functools import partial

import numpy as np

from benchmarks.interleaved import ratio
from benchmarks.peers_compmech.turns import Contestant, take_turns, timed
from ontogeny import compmech as cm

DEPTHS = (14, 16, 18, 20, 22)
_DEEPEST = 20  # of every word: 2,097,151 nodes


def undeduplicated(process: cm.HMM, depth: int) -> tuple[np.ndarray, np.ndarray]:
    """h(1) … h(depth) in bits, and the beliefs after all possible words of up to `depth` tokens."""
    beliefs, probabilities = process.initial[None], np.ones(1)
    found, entropies = [beliefs], []
    for _ in range(depth):
        joint = np.tensordot(beliefs, process.transition_matrices, axes=(1, 1))  # belief, token, state
        laws = joint.sum(axis=2)
        possible = laws > 0
        logarithms = np.log2(laws, out=np.zeros_like(laws), where=possible)
        entropies.append(-probabilities @ (laws * logarithms).sum(axis=1))
        probabilities = (probabilities[:, None] * laws)[possible]
        beliefs = joint[possible] / laws[possible][:, None]
        found.append(beliefs)
    return np.array(entropies), np.concatenate(found)


def every_word(process: cm.HMM, depth: int) -> tuple[np.ndarray, np.ndarray]:
    """The same with a place for every word, filled with zeros where the word is impossible; nothing is left out."""
    count, states = process.num_tokens, process.num_states
    found = np.zeros((sum(count**length for length in range(depth + 1)), states))
    found[0] = process.initial
    probabilities, entropies, first = np.ones(1), [], 0
    for length in range(depth):
        last = first + count**length
        joint = np.tensordot(found[first:last], process.transition_matrices, axes=(1, 1)).reshape(-1, states)
        laws = joint.sum(axis=1)
        possible = laws > 0
        products = laws * np.log2(laws, out=np.zeros_like(laws), where=possible)
        entropies.append(-probabilities @ products.reshape(-1, count).sum(axis=1))
        probabilities = probabilities.repeat(count) * laws
        np.divide(joint, laws[:, None], out=found[last : last + len(joint)], where=possible[:, None])
        first = last
    return np.array(entropies), found


def deeper(rounds: int) -> Iterator[str]:
    """Rows of both trees against ours, depth by depth."""
    process = cm.process("rrxor")
    for depth in DEPTHS:
        ours = Contestant("ours", timed(partial(cm.myopic_entropies, process, depth)))
        works = [partial(undeduplicated, process, depth)]
        if depth <= _DEEPEST:
            works.append(partial(every_word, process, depth))
        trees = [Contestant("tree", timed(work)) for work in works]
        take_turns([ours, *trees], rounds)
        cells = [f"| {depth} | {1e3 * np.median(ours.seconds):.2f}"]
        for work, tree in zip(works, trees, strict=True):
            middle, low, high = ratio(np.array(tree.seconds), np.array(ours.seconds))
            cells.append(f"{len(work()[1]):,} | {1e3 * np.median(tree.seconds):.2f}")
            cells.append(f"{middle:.3g} ({low:.3g}–{high:.3g})")
        cells += ["– | – | –"] if depth > _DEEPEST else []
        yield " | ".join(cells) + " |"


_PEAK = """
import sys, tracemalloc
from benchmarks.peers_compmech.tree import undeduplicated
from ontogeny import compmech as cm
process, length = cm.process("rrxor"), int(sys.argv[2])
work = {"h": cm.myopic_entropies, "tree": undeduplicated, "mixed": lambda p, depth: cm.mixed_states(p, max_depth=depth)}
work[sys.argv[1]](process, 2)
tracemalloc.start()
work[sys.argv[1]](process, length)
sys.stdout.write(str(tracemalloc.get_traced_memory()[1] / 1024))
"""


def memory() -> str:
    """Kilobytes at the peak: of h(L) to lengths that differ seventyfold, of mixed states, and of the tree."""
    asked = {
        "h": ("h(L) to", (14, 100, 1000)),
        "mixed": ("mixed states to", (14, 100, 1000)),
        "tree": ("the tree of possible words to", (14, 18)),
    }
    parts = []
    for work, (name, lengths) in asked.items():
        found = [f"{_peak(work, length):,.0f} kB at {length:,}" for length in lengths]
        parts.append(f"{name} {', '.join(found)}")
    return "; ".join(parts) + ". What h(L) returns is 8 bytes a length."


def _peak(work: str, length: int) -> float:
    command = [sys.executable, "-c", _PEAK, work, str(length)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
