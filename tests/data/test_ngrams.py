"""The n-gram laws are those of a naive loop over the equation, and the measures made of them say what they should."""

import math
from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from ontogeny.core.errors import InvalidArgument
from ontogeny.data import NgramTables, cross_entropy, entropies, random_repeats


def random_tokens(seed: int, num_sequences: int, length: int, vocabulary_size: int) -> Tensor:
    """Uneven, so that many histories are rare and some never occur."""
    generator = torch.Generator().manual_seed(seed)
    uniform = torch.rand(num_sequences, length, generator=generator)
    return (uniform**3 * vocabulary_size).long()


def naive_law(tokens: list[list[int]], history: tuple[int, ...], vocabulary_size: int) -> list[float]:
    """The interpolated law straight from its definition, in float64."""
    order = len(history)
    if order == 0:
        counts = Counter(token for sequence in tokens for token in sequence)
        return [counts[token] / counts.total() for token in range(vocabulary_size)]
    after = Counter(
        sequence[place]
        for sequence in tokens
        for place in range(order, len(sequence))
        if tuple(sequence[place - order : place]) == history
    )
    lower = naive_law(tokens, history[1:], vocabulary_size)
    if not after:
        return lower
    total = after.total() + len(after)
    return [(after[token] + len(after) * lower[token]) / total for token in range(vocabulary_size)]


@given(
    seed=st.integers(0, 1000),
    shape=st.tuples(st.integers(1, 6), st.integers(3, 12)),
    vocabulary_size=st.integers(2, 9),
    context_length=st.integers(2, 6),
)
def test_conditionals_are_those_of_a_naive_loop(
    seed: int, shape: tuple[int, int], vocabulary_size: int, context_length: int
) -> None:
    tokens = random_tokens(seed, *shape, vocabulary_size)
    contexts = random_tokens(seed + 1, 2, context_length, vocabulary_size)
    laws = NgramTables.fit(tokens, vocabulary_size).conditionals(contexts)
    assert list(laws) == ["unigram", "bigram", "trigram"]
    for order, law in enumerate(laws.values()):
        assert law.shape == (2, context_length - 1, vocabulary_size)
        for sequence, context in enumerate(contexts.tolist()):
            for place in range(context_length - 1):
                history = tuple(context[max(0, place + 1 - order) : place + 1])
                expected = torch.tensor(naive_law(tokens.tolist(), history, vocabulary_size))
                torch.testing.assert_close(law[sequence, place], expected, rtol=1e-5, atol=1e-7)


def test_conditionals_sum_to_one_also_after_histories_never_seen() -> None:
    tables = NgramTables.fit(random_tokens(0, 20, 30, 50), 50)
    contexts = torch.randint(0, 50, (10, 20), generator=torch.Generator().manual_seed(1))
    for law in tables.conditionals(contexts).values():
        torch.testing.assert_close(law.sum(-1), torch.ones(10, 19), rtol=0, atol=1e-5)


def test_cross_entropy_is_least_and_the_entropy_where_the_model_is_the_law() -> None:
    tables = NgramTables.fit(random_tokens(2, 50, 30, 12), 12)
    laws = tables.conditionals(random_tokens(3, 6, 10, 12))
    for order, entropy in entropies(laws).items():
        law = laws[order]
        itself = cross_entropy(law.log(), law)
        other = cross_entropy((0.9 * law + 0.1 / 12).log(), law)
        assert itself.shape == (6, 9)
        assert itself.mean().item() == pytest.approx(entropy, rel=1e-5)
        assert (other > itself).all()


def test_cross_entropy_is_the_sum_in_nats() -> None:
    law = torch.tensor([[[0.5, 0.5, 0.0]]])
    model = torch.tensor([[[0.25, 0.75, 0.0]]])  # where the law has nothing, log 0 must not become NaN
    expected = -0.5 * math.log(0.25) - 0.5 * math.log(0.75)
    assert cross_entropy(model.log(), law).item() == pytest.approx(expected, rel=1e-6)
    assert cross_entropy(law.log(), torch.tensor([[[0.0, 0.0, 1.0]]])).item() == math.inf


def test_higher_orders_know_more_of_a_text_with_memory_and_nothing_more_of_one_without() -> None:
    generator = torch.Generator().manual_seed(5)
    noise = torch.randint(0, 8, (400, 64), generator=generator)
    memory = noise.clone()
    for place in range(2, 64):  # the next token is the sum of the last two, nine times of ten
        follows = torch.rand(400, generator=generator) < 0.9
        memory[follows, place] = (memory[:, place - 1] + memory[:, place - 2])[follows] % 8
    for tokens, gain_expected in ((memory, True), (noise, False)):
        laws = NgramTables.fit(tokens[:300], 8).conditionals(tokens[300:])
        losses = {order: -law.gather(-1, tokens[300:, 1:, None]).log().mean().item() for order, law in laws.items()}
        assert (losses["trigram"] < losses["bigram"] - 0.5) == gain_expected
        assert losses["bigram"] == pytest.approx(losses["unigram"], abs=0.05)


def test_tokens_outside_the_vocabulary_and_short_sequences_are_refused() -> None:
    tokens = random_tokens(0, 4, 8, 10)
    with pytest.raises(InvalidArgument, match="ids from 0 to 4"):
        NgramTables.fit(tokens, 5)
    with pytest.raises(InvalidArgument, match="at least 3 tokens"):
        NgramTables.fit(tokens[:, :2], 10)
    with pytest.raises(InvalidArgument, match="`contexts`: expected ids from 0 to 9"):
        NgramTables.fit(tokens, 10).conditionals(tokens + 5)


def test_random_repeats_repeat_tokens_of_the_unigram_law() -> None:
    law = torch.tensor([0.5, 0.0, 0.1, 0.4])
    repeats = random_repeats(law, 2000, 10, torch.Generator().manual_seed(0))
    assert repeats.shape == (2000, 10)
    assert torch.equal(repeats[:, :5], repeats[:, 5:])
    shares = torch.bincount(repeats.flatten(), minlength=4) / repeats.numel()
    torch.testing.assert_close(shares, torch.tensor([0.0, 0.0, 0.2, 0.8]), rtol=0, atol=0.02)  # 5 standard errors
    again = random_repeats(law, 2000, 10, torch.Generator().manual_seed(0))
    assert torch.equal(repeats, again)
    assert law[0] == 0.5  # the caller's law is unchanged


def test_random_repeats_refuse_an_odd_length_and_a_law_without_tokens() -> None:
    generator = torch.Generator()
    with pytest.raises(InvalidArgument, match="an even number, found 7"):
        random_repeats(torch.ones(4) / 4, 2, 7, generator)
    with pytest.raises(InvalidArgument, match="unigram"):
        random_repeats(torch.tensor([1.0, 0.0]), 2, 8, generator)
