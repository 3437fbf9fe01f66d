"""Rows become distinct contexts, and tokens random features."""

import numpy as np
import pytest

from ontogeny.probes.contexts import distinct_contexts
from ontogeny.probes.controls import random_features


def test_contexts_keep_their_order_and_those_of_no_weight_are_left_out():
    weights = np.array([0.5, 0.0, 0.2, 0.5, 0.3])
    contexts = distinct_contexts(np.array([7, 1, 9, 7, 3]), weights, 5)
    assert contexts.rows.tolist() == [0, 2, 4]
    assert contexts.weights == pytest.approx([0.5, 0.2, 0.3])
    assert contexts.mean_of("activations", np.array([[1.0], [np.nan], [3.0], [5.0], [7.0]])).tolist() == [[3], [3], [7]]
    counted = distinct_contexts([[0], [1], [0], [0, 1]], None, 4)
    assert counted.weights == pytest.approx([0.5, 0.25, 0.25])
    assert counted.tokens is not None
    assert counted.tokens.tolist() == [[-1, 0], [-1, 1], [0, 1]]


def test_random_features_are_of_full_rank_and_know_the_tokens():
    tokens = np.array([[-1, *pair] for pair in np.ndindex(2, 2)] + [list(triple) for triple in np.ndindex(2, 2, 2)])
    features = random_features(tokens, 40, seed=3)
    assert features.shape == (12, 40)
    assert np.linalg.matrix_rank(features) == 12
    assert (features == random_features(tokens, 40, seed=3)).all()
    assert (features != random_features(tokens, 40, seed=4)).any()
