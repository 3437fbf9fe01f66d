"""What errors of this room say to write instead."""

from typing import Any

import numpy as np
from tests.advice import Mistake, follow, mistakes

from ontogeny import compmech as cm
from ontogeny.core import arguments

FEW = cm.BeliefRegressionConfig(num_permutations=19, max_last_tokens=1)
even, golden_mean, mess3 = (cm.process(name) for name in ("even", "golden_mean", "mess3"))
T = even.transition_matrices
two = cm.union([golden_mean, even], [0.5, 0.5])
signed = cm.process("tom_quantum")
post = cm.process("post_quantum")
bos = cm.with_bos(even)
x = np.random.default_rng(0).normal(size=400)
counts = [3, 4, 5]
tokens = [[0, 1, 1, 0], [0, 1, 0, 1]]
sequence = b"0110" * 100
shifted = np.array([1.0, 2.0])


def regressed(laws: Any = None, groups: Any = None) -> Any:
    """Beliefs of mess3 read from noise."""
    random = np.random.default_rng(0)
    words = random.integers(0, 3, (60, 4))
    beliefs = mess3.beliefs(words)[:, -1]
    activations = random.normal(size=(60, 5))
    weights = cm.word_probabilities(mess3, words)
    laws = cm.next_token_law(mess3, beliefs) if laws is None else laws(beliefs)
    groups = words if groups is None else groups
    return cm.regress_beliefs(activations, beliefs, groups, weights, next_token_laws=laws, config=FEW)


# fmt: off
MISTAKES = (
    ("core/arguments.py:as_device", "arguments.as_device('nowhere')", "device", "device='cpu'",
     "(lambda device: arguments.as_device(device))(ADVICE)"),
    ("compmech/bits.py:entropy", "cm.entropy(counts)", "law", "cm.plug_in_entropy(counts)", "ADVICE"),
    ("compmech/composition.py:require_stationary", "cm.epsilon_machine(bos)", "process",
     "the process without its beginning-of-sequence token", "cm.epsilon_machine(even)"),
    ("compmech/composition.py:require_stationary", "cm.epsilon_machine(cm.HMM(T, [1.0, 0.0]))", "process",
     "cm.HMM(T)", "cm.epsilon_machine(ADVICE)"),
    ("compmech/epsilon_machines.py:epsilon_machine", "cm.epsilon_machine(mess3)", "process",
     "cm.mixed_states(process, max_depth=6)", "(lambda process: ADVICE)(mess3)"),
    ("compmech/filtering.py:_require_possible", "even.beliefs(tokens)", "tokens",
     "np.asarray(tokens)[cm.word_probabilities(process, tokens) > 0]", "even.beliefs((lambda process: ADVICE)(even))"),
    ("compmech/filtering.py:as_words", "even.beliefs([0, 1, 1])", "tokens", "[tokens]",
     "(lambda tokens: even.beliefs(ADVICE))([0, 1, 1])"),
    ("compmech/hmm.py:GHMM.__init__", "cm.GHMM(T, final=[1.0, 2.0])", "final", "cm.GHMM(T)", "ADVICE"),
    ("compmech/hmm.py:GHMM.__init__", "cm.GHMM(two.transition_matrices, two.initial, final=[1.0, 2.0, 3.0, 4.0])",
     "final", "cm.union of the components", "cm.union([golden_mean, even], [0.5, 0.5])"),
    ("compmech/hmm.py:GHMM.__init__#2", "cm.GHMM(T, shifted, final=[1.0, 1.0])", "initial",
     "initial / (initial @ final)",
     "cm.GHMM(T, (lambda initial, final: ADVICE)(shifted, np.ones(2)), final=[1.0, 1.0])"),
    ("compmech/hmm.py:HMM.__init__", "(lambda T: cm.HMM(T))(signed.transition_matrices)", "transition_matrices",
     "cm.GHMM(T)", "(lambda T: ADVICE)(signed.transition_matrices)"),
    ("compmech/hmm.py:HMM.__init__#2", "cm.HMM(two.transition_matrices)", "initial",
     "cm.union of the components with their weights", "cm.union([golden_mean, even], [0.5, 0.5])"),
    ("compmech/hmm.py:HMM.__init__#2", "cm.HMM(two.transition_matrices)", "initial", "initial=",
     "cm.HMM(two.transition_matrices, ADVICE two.initial)"),
    ("compmech/hmm.py:_principal_vector", "(lambda T: cm.GHMM(T))(3 * signed.transition_matrices)",
     "transition_matrices", "T / abs(np.linalg.eigvals(T.sum(axis=0))).max()",
     "(lambda T: cm.GHMM(ADVICE))(3 * signed.transition_matrices)"),
    ("compmech/hmm.py:_principal_vector", "cm.GHMM(two.transition_matrices)", "transition_matrices",
     "cm.union of the components", "cm.union([golden_mean, even], [0.5, 0.5])"),
    ("compmech/levels.py:levels", "cm.block_entropies(mess3, 9, max_states=50)", "max_states", "length=3",
     "cm.block_entropies(mess3, ADVICE, max_states=50)"),
    ("compmech/levels.py:levels", "cm.block_entropies(mess3, 5, max_states=50)", "max_states", "a larger max_states",
     "cm.block_entropies(mess3, 5, max_states=5000)"),
    ("compmech/matrices.py:require_process", "cm.entropy_rate(T)", "process", "cm.HMM(T)", "cm.entropy_rate(ADVICE)"),
    ("compmech/matrices.py:require_process", "cm.entropy_rate('even')", "process", "cm.process('even')",
     "cm.entropy_rate(ADVICE)"),
    ("compmech/precision.py:with_rows_of_one", "(lambda T: cm.HMM(T))(3 * T)", "transition_matrices",
     "T / T.sum(axis=(0, 2))[:, None]", "(lambda T: cm.HMM(ADVICE))(3 * T)"),
    ("compmech/presentation.py:MixedStates._require_complete", "cm.mixed_states(even, max_depth=1).recurrent",
     "max_depth", "cm.mixed_states(process)", "(lambda process: ADVICE)(even).recurrent"),
    ("compmech/presentation.py:mixed_states", "cm.mixed_states(mess3, max_states=50)", "max_states",
     "cm.mixed_states(process, max_depth=3)", "(lambda process: ADVICE)(mess3)"),
    ("compmech/presentation.py:mixed_states#2", "cm.mixed_states(post)", "max_depth",
     "cm.mixed_states(process, max_depth=20)", "(lambda process: ADVICE)(post)"),
    ("compmech/belief_regression.py:hidden_directions", "regressed(lambda beliefs: beliefs**2)", "next_token_laws",
     "cm.next_token_law(process, beliefs)", "regressed(lambda beliefs, process=mess3: ADVICE)"),
    ("compmech/symbols.py:_sequences", "cm.reconstruct(sequence)", "sequence", "sequence.decode()",
     "cm.reconstruct(ADVICE)"),
    ("compmech/symbols.py:_no_symbol", "cm.reconstruct(x)", "sequence", "np.digitize(x, np.quantile(x, [0.5]))",
     "cm.reconstruct(ADVICE)"),
)
# fmt: on


@mistakes(*MISTAKES)
def test_advice(mistake: Mistake) -> None:
    follow(mistake, globals())
