"""Whatever is put in place of an argument: a right result, or one line that names the argument."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from jaxtyping import TypeCheckError

from ontogeny import compmech as cm
from ontogeny.compmech.rank_test import table_rank
from ontogeny.core.errors import InvalidArgument

EVEN, MESS3, QUANTUM = cm.process("even"), cm.process("mess3"), cm.process("tom_quantum")
T = EVEN.transition_matrices
WORDS = np.array([[0, 1, 1], [1, 1, 0]])
ROWS = np.random.default_rng(0).random((40, 3))
LAWS = ROWS / ROWS.sum(axis=1, keepdims=True)
FEW = cm.BeliefRegressionConfig(num_permutations=19, max_last_tokens=1)
PARTS = cm.mixed_states(EVEN)


def named(name):
    """The call of a named process."""

    def call(**parameters):
        return cm.process(name, **parameters)

    call.__qualname__ = name
    return call


# Every public function with arguments that it takes; each is in turn replaced by something else.
CALLS = {
    cm.HMM: {"transition_matrices": T, "initial": [1, 0]},
    cm.GHMM: {"transition_matrices": T, "initial": [1, 0], "final": [1, 1]},
    cm.Factored: {"factors": (EVEN, MESS3)},
    cm.BeliefRegressionConfig: {"num_folds": 5, "num_permutations": 19, "max_last_tokens": 2, "seed": 0},
    cm.process: {"name": "even"},
    named("coin"): {"p": 0.5},
    named("mess3"): {"x": 0.1, "alpha": 0.5},
    named("golden_mean_rk"): {"r": 2, "k": 1, "p": 0.5},
    named("matching_parens"): {"open_probs": [1, 0.5]},
    named("mr_name"): {"p": 0.4, "q": 0.2},
    named("leaky_rrxor"): {"p1": 0.4, "p2": 0.2, "epsilon": 0.1},
    named("tom_quantum"): {"alpha": 1.0, "beta": 3.0},
    named("post_quantum"): {"log_alpha": 1.0, "beta": 0.5},
    named("fanizza"): {"alpha": 2000.0, "lam": 0.49},
    named("quantum_rrxor"): {"phi": 0.7, "theta": 1.1},
    cm.union: {"processes": [EVEN, MESS3], "weights": [0.5, 0.5], "vocabularies": [[0, 1], [2, 3, 4]]},
    cm.leaky: {"process": EVEN, "epsilon": 0.1},
    cm.with_bos: {"process": EVEN},
    cm.reverse: {"process": EVEN},
    cm.epsilon_machine: {"process": EVEN},
    cm.minimal_dimension: {"process": EVEN},
    cm.mixed_states: {"process": EVEN, "max_depth": 3, "max_states": 100},
    cm.myopic_entropies: {"process": EVEN, "length": 3, "max_states": 100},
    cm.block_entropies: {"process": EVEN, "length": 3, "max_states": 100},
    cm.mean_belief_entropies: {"process": EVEN, "length": 3, "max_states": 100},
    cm.entropy_rate: {"process": EVEN},
    cm.excess_entropy: {"process": EVEN},
    cm.transient_information: {"process": EVEN},
    cm.statistical_complexity: {"process": EVEN},
    cm.crypticity: {"process": EVEN},
    cm.synchronization_information: {"process": EVEN},
    cm.markov_order: {"process": EVEN},
    cm.entropy: {"law": [0.5, 0.5]},
    cm.plug_in_entropy: {"counts": [1, 2]},
    cm.miller_madow_entropy: {"counts": [1, 2]},
    cm.grassberger_entropy: {"counts": [1, 2]},
    cm.estimate_block_entropies: {"sequence": [0, 1, 1], "length": 2, "estimator": "plug_in"},
    cm.reconstruct: {"sequence": [0, 1] * 600, "method": "cssr", "level": 0.01},
    cm.next_token_law: {"process": EVEN, "belief": [0.5, 0.5]},
    cm.word_probabilities: {"process": EVEN, "words": WORDS},
    cm.log2_word_probabilities: {"process": EVEN, "words": WORDS},
    cm.distance_comparison: {"predicted": ROWS, "beliefs": ROWS, "next_token_laws": LAWS, "weights": np.ones(40)},
    cm.regress_beliefs: {
        "activations": ROWS,
        "beliefs": LAWS,
        "groups": np.arange(40),
        "weights": np.ones(40),
        "untrained": ROWS[::-1],
        "next_token_laws": LAWS,
        "config": FEW,
    },
    EVEN.sample: {"num_sequences": 2, "length": 3, "seed": 0, "device": "cpu"},
    EVEN.beliefs: {"tokens": WORDS},
    cm.Factored((EVEN, MESS3)).sample: {"num_sequences": 2, "length": 3, "seed": 0, "device": "cpu"},
    cm.Factored((EVEN, MESS3)).split: {"tokens": WORDS},
    cm.Factored((EVEN, MESS3)).beliefs: {"tokens": WORDS},
    PARTS.distributions: {"length": 3},
    PARTS.sync_time: {"epsilon": 0.1},
    table_rank: {"counts": [[5, 3], [2, 9]], "level": 0.01},
}
OTHER_NAMES = {  # what an argument is the reason of, though another is named
    ("union", "processes"): {"weights", "vocabularies", "process"},
    ("Factored", "factors"): {"process"},
    ("GHMM", "transition_matrices"): {"final", "initial"},
    ("GHMM", "final"): {"initial"},
    ("HMM", "transition_matrices"): {"initial"},
    ("regress_beliefs", "activations"): {"beliefs"},
    ("regress_beliefs", "beliefs"): {"next_token_laws"},
    ("distance_comparison", "predicted"): {"beliefs"},
    ("estimate_block_entropies", "sequence"): {"length"},
    ("next_token_law", "process"): {"belief"},
    ("word_probabilities", "process"): {"words"},
    ("log2_word_probabilities", "process"): {"words"},
}


@st.composite
def arrays(draw):
    """Arrays and tensors of any shape and number type, with entries that are no probabilities and no tokens."""
    dtype = draw(st.sampled_from(["f8", "f4", "f2", "i8", "u1", "?", "c16", "U1", "O", "M8[s]"]))
    shape = draw(hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=3))
    entries = {"f": [0, 1, 0.5, -1, 7, np.nan, np.inf], "i": [0, 1, 2, -1, 7], "u": [0, 1, 2, 7]}
    elements = st.sampled_from(entries[dtype[0]]) if dtype[0] in entries else None
    array = draw(hnp.arrays(dtype, shape, elements=elements))
    if dtype not in ("U1", "O", "M8[s]") and draw(st.booleans()):
        tensor = torch.tensor(array)
        return tensor.bfloat16().requires_grad_() if dtype == "f4" else tensor
    return array


scalars = st.sampled_from([None, True, -1, 0, 1, 3, 2.5, np.nan, -np.inf, 1j, "cssr", "", b"01", np.float32(0.1), EVEN])
lists = st.sampled_from([[], [[]], [[0, 1], [1]], [[0.5, 0.5], [1]], [None], ["a", 1], [[[]]], [-1, -1], {}, {1}, ()])
tensors = st.sampled_from([torch.empty(2, 2, device="meta"), torch.eye(2).to_sparse(), [torch.ones(2), torch.ones(3)]])
anything = scalars | lists | tensors | arrays()


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.__qualname__)
@given(st.data())
@settings(max_examples=12)
def test_a_right_result_or_one_line_that_names_the_argument(call, data):
    name = data.draw(st.sampled_from(sorted(CALLS[call])))
    error = refusal(call, CALLS[call] | {name: data.draw(anything)})
    if error is not None:
        also = {"parameters"} if call.__name__ == "call" else OTHER_NAMES.get((call.__name__, name), set())
        assert set(error.argument.split(", ")) & {name, *also}, error
        assert "\n" not in str(error)
        assert len(str(error)) < 400


def refusal(call, given):
    """Our own error, if there is one; under `make test-all` annotations refuse before."""
    try:
        call(**given)
    except InvalidArgument as error:
        return error
    except TypeCheckError:
        pass
    return None
