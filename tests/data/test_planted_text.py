"""A planted language as text: its sequences, the names of its tokens, and splits that share nothing."""

import torch

from ontogeny.data import NgramTables, PlantedLanguage, planted_text
from ontogeny.measurement import TextProbes, language_behaviour

SMALL = PlantedLanguage(length=16)


def test_it_is_what_the_language_says_with_names() -> None:
    text = planted_text(SMALL, 40, 10)
    assert text.train["mixed"].shape == (40, 16)
    assert text.validation["mixed"].shape == (10, 16)
    assert text.token_strings([0, 59, 60, 63]) == ["w0", "w59", "(0", ")0"]
    assert SMALL.losses(text.validation["mixed"]).isfinite().all()
    assert float(text.unigrams().sum()) == 1
    rows = {tuple(row) for row in text.train["mixed"].tolist()}
    assert not rows & {tuple(row) for row in text.validation["mixed"].tolist()}


def test_sequences_depend_on_the_seed_alone() -> None:
    one, again, other = (planted_text(SMALL, 8, 8, seed) for seed in (0, 0, 1))
    assert torch.equal(one.train["mixed"], again.train["mixed"])
    assert not torch.equal(one.train["mixed"], other.train["mixed"])


def test_the_probes_of_text_are_made_of_it() -> None:
    behaviour = language_behaviour(planted_text(SMALL, 60, 20), TextProbes(held_out_sequences=8, ngram_sequences=4))
    assert list(behaviour.held_out) == ["mixed"]
    assert set(behaviour.ngram_laws) == set(
        NgramTables.fit(torch.zeros(2, 4, dtype=torch.long), 3).conditionals(torch.zeros(1, 4, dtype=torch.long))
    )
