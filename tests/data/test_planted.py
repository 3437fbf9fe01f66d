"""The planted language has the laws that its definition gives, and its sequences follow them."""

from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ontogeny.core.errors import InvalidArgument
from ontogeny.core.protocols import is_task
from ontogeny.data import MECHANISMS, NgramTables, PlantedLanguage, cross_entropy

SMALL: dict[str, Any] = {"words": 14, "phrases": (2, 1), "skips": 2, "skip_sources": 1, "skip_span": 3, "length": 20}
SMALL |= {"bracket_kinds": 2, "max_depth": 2}


def law_by_definition(language: PlantedLanguage, context: list[int]) -> np.ndarray:
    """The law of the next token, one mechanism after the other, in plain Python."""
    rules, words, kinds = language.rules, language.words, language.bracket_kinds
    said: dict[str, Counter[int]] = {name: Counter() for name in MECHANISMS}
    for order in sorted(rules.phrases):
        ends = [phrase[-1] for phrase in rules.phrases[order] if context[1 - order :] == list(phrase[:-1])]
        said["phrase"] = Counter(ends) or said["phrase"]
    for source, destination, output in rules.skips:
        if context and context[-1] == destination and source in context[-1 - language.skip_span : -1]:
            said["skip"][output] += 1
    for place, token in enumerate(context[:-1]):
        if token == context[-1] and context[place + 1] < words:
            said["induction"][context[place + 1]] += 1
    stack: list[int] = []
    for token in context:
        if words <= token < words + kinds and len(stack) < language.max_depth:
            stack.append(token - words)
        elif token >= words + kinds and stack:
            stack.pop()
    if len(stack) < language.max_depth:
        said["open"].update(rules.opening)
    if stack:
        said["close"][rules.closing[stack[-1]]] += 1
    law, left = np.zeros(language.vocabulary_size), 1.0
    for name, counts in said.items():
        if counts:
            rate = getattr(language, f"{name}_rate")
            left -= rate
            for token, count in counts.items():
                law[token] += rate * count / counts.total()
    return law + left * language.base.numpy()


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(st.integers(0, 17), min_size=1, max_size=12), st.integers(0, 3))
def test_laws_are_those_of_the_definition_on_any_context(context: list[int], seed: int) -> None:
    language = PlantedLanguage(**SMALL, seed=seed)
    found = language.laws(torch.tensor([context]))
    for position in range(len(context)):
        np.testing.assert_allclose(found[0, position], law_by_definition(language, context[:position]), atol=1e-12)


def test_laws_of_samples_are_those_of_the_definition_and_sum_to_one() -> None:
    for language in (PlantedLanguage(length=24), PlantedLanguage(**SMALL)):
        tokens = language.sample(3, seed=0)
        laws = language.laws(tokens)
        torch.testing.assert_close(laws.sum(-1), torch.ones(laws.shape[:2], dtype=torch.float64))
        for row, law in zip(tokens.tolist(), laws, strict=True):
            for position in range(len(row)):
                np.testing.assert_allclose(law[position], law_by_definition(language, row[:position]), atol=1e-12)
        p = laws.gather(-1, tokens[..., None])[..., 0]
        torch.testing.assert_close(language.losses(tokens), -p.log())
        torch.testing.assert_close(sum(language.shares(tokens).values()), p)


def scores(language: PlantedLanguage, tokens: Tensor) -> np.ndarray:
    """By token, how many more there are than the laws expect, in standard deviations."""
    laws = language.laws(tokens)
    seen = torch.nn.functional.one_hot(tokens, language.vocabulary_size)
    return ((seen - laws).sum((0, 1)) / (laws * (1 - laws)).sum((0, 1)).sqrt()).numpy()


def test_samples_follow_the_laws_and_not_those_of_other_rates() -> None:
    """Given the context the excess of a token has mean zero, so its sum over places is a martingale."""
    language = PlantedLanguage()
    tokens = language.sample(1000, seed=0)
    found = scores(language, tokens)
    assert abs(found).max() < 4
    assert 0.7 < found.std() < 1.3
    other = language.model_copy(update={"skip_rate": 0.3, "induction_rate": 0.3})
    assert abs(scores(other, tokens)).max() > 6


def test_every_mechanism_predicts_what_no_other_does() -> None:
    """Losses of the true laws are below those of laws without any one, and of n-grams with context."""
    language = PlantedLanguage()
    tokens = language.sample(1000, seed=1)
    loss = float(language.losses(tokens).mean())
    for name in ("phrase", "skip", "induction"):
        assert float(language.without(name).losses(tokens).mean()) > loss + 0.03, name
    for name in ("open", "close"):
        assert language.without(name).losses(tokens).isinf().any()
    tables = NgramTables.fit(language.sample(4000, seed=2), language.vocabulary_size)
    laws = language.laws(tokens)[:, 1:]
    entropy = float(cross_entropy(laws.log(), laws).mean())
    for order, law in tables.conditionals(tokens).items():
        assert float(cross_entropy(law.double().log(), laws).mean()) > entropy + 0.05, order


@pytest.mark.parametrize("name", MECHANISMS)
def test_without_a_mechanism_nothing_comes_from_it_and_the_rules_stay(name: str) -> None:
    language = PlantedLanguage()
    silent = language.without(name)
    assert silent.rules == language.rules
    tokens = silent.sample(50, seed=0)
    shares = silent.shares(tokens)
    assert list(shares) == ["base", *MECHANISMS]
    assert not shares[name].any()
    assert language.shares(language.sample(50, seed=0))[name].any()
    if name == "open":
        assert (tokens < language.words).all()


def test_mechanisms_speak_at_their_rates() -> None:
    """Of the places where a phrase is due, its end follows at its rate, and by chance."""
    language = PlantedLanguage(induction_rate=0.0, zipf=0.0)
    tokens = language.sample(2000, seed=3)
    due = np.zeros(2)
    start, end = language.rules.phrases[2][0]
    due[:] = [int((tokens[:, :-1] == start).sum()), int(((tokens[:, :-1] == start) & (tokens[:, 1:] == end)).sum())]
    others = 1 - language.phrase_rate - language.open_rate - language.close_rate / 2
    expected = language.phrase_rate + others / language.words
    error = (expected * (1 - expected) / due[0]) ** 0.5
    assert error < 0.02
    assert abs(due[1] / due[0] - expected) < 4 * error


def test_brackets_are_well_nested() -> None:
    language = PlantedLanguage(open_rate=0.2, close_rate=0.2, phrase_rate=0.2, skip_rate=0.2, max_depth=3)
    deepest = 0
    for row in language.sample(200, seed=0).tolist():
        stack: list[int] = []
        for token in row:
            if token in language.rules.opening:
                stack.append(token - language.words)
            elif token in language.rules.closing:
                assert language.rules.closing[stack.pop()] == token
            deepest = max(deepest, len(stack))
    assert deepest == 3


def test_rules_are_of_distinct_words_where_two_mechanisms_wait_for_one() -> None:
    for seed in range(5):
        rules = PlantedLanguage(seed=seed).rules
        waiting = [phrase[-2] for phrases in rules.phrases.values() for phrase in phrases]
        waiting += [destination for _, destination, _ in rules.skips]
        assert len(set(waiting)) == len(waiting) == 24
        assert {phrase[:2] for phrase in rules.phrases[3]} == set(rules.phrases[2])
        assert Counter(source for source, *_ in rules.skips).most_common(1)[0][1] == 2
    assert PlantedLanguage(seed=1).rules != PlantedLanguage(seed=2).rules


def test_it_is_a_task() -> None:
    language = PlantedLanguage()
    assert is_task(language)
    random = torch.get_rng_state()
    tokens = language.sample(7, seed=5)
    assert tokens.shape == (7, 64)
    assert tokens.dtype == torch.int64
    assert torch.equal(tokens, language.sample(7, seed=5))
    assert not torch.equal(tokens, language.sample(7, seed=6))
    assert torch.equal(torch.get_rng_state(), random)
    assert hash(language) == hash(PlantedLanguage())


def test_a_language_may_have_none_of_a_kind() -> None:
    language = PlantedLanguage(phrases=(), skips=0, bracket_kinds=0, words=5)
    assert language.vocabulary_size == 5
    laws = language.laws(language.sample(4, seed=0))
    torch.testing.assert_close(laws.sum(-1), torch.ones(4, 64, dtype=torch.float64))


@pytest.mark.parametrize("wrong", [{"induction_rate": 0.5}, {"phrases": (2, 8)}, {"words": 30}])
def test_what_does_not_fit_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument):
        PlantedLanguage(**wrong)
