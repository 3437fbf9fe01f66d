"""Head scores are exact on patterns with known answers, and find circuits that were written by hand."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from ontogeny.circuits import attention_patterns, repeat_scores, text_scores
from ontogeny.core.errors import InvalidArgument
from ontogeny.models import Transformer, TransformerConfig

PERIOD, LENGTH, VOCABULARY = 6, 12, 8
Score = Callable[[Tensor], dict[str, Tensor]]


def repeat(patterns: Tensor) -> dict[str, Tensor]:
    return repeat_scores(patterns, PERIOD)


# score -> the function that gives it and how far back from a query its key lies
SCORES: dict[str, tuple[Score, int]] = {
    "previous_token": (text_scores, 1),
    "current_token": (text_scores, 0),
    "duplicate_token": (repeat, PERIOD),
    "prefix_matching": (repeat, PERIOD - 1),
}


def looking_back(distance: int) -> Tensor:
    """The pattern of a head that attends to one distance alone, and to itself where there is nothing so far back."""
    pattern = torch.zeros(LENGTH, LENGTH)
    for query in range(LENGTH):
        pattern[query, query - distance if query >= distance else query] = 1
    return pattern


def uniform() -> Tensor:
    pattern = torch.ones(LENGTH, LENGTH).tril()
    return pattern / pattern.sum(dim=1, keepdim=True)


def as_patterns(*heads: Tensor) -> Tensor:
    """One layer, one sequence."""
    return torch.stack(heads)[None, None]


@pytest.mark.parametrize("name", SCORES)
def test_a_perfect_head_scores_one_and_the_others_nothing(name: str) -> None:
    score, distance = SCORES[name]
    others = [other for _, other in SCORES.values() if other != distance]
    found = score(as_patterns(looking_back(distance), *(looking_back(other) for other in others)))[name][0, :, 0]
    assert found[0] == 1
    if name in ("duplicate_token", "prefix_matching", "previous_token"):
        assert (found[1:] == 0).all()
    else:  # heads that find nothing so far back attend to themselves
        expected = [(min(other, LENGTH) - 1) / (LENGTH - 1) for other in others]
        torch.testing.assert_close(found[1:], torch.tensor(expected))


@pytest.mark.parametrize("name", SCORES)
def test_uniform_attention_scores_the_mean_of_one_over_the_positions_seen(name: str) -> None:
    first = 1 if name in ("previous_token", "current_token") else PERIOD
    expected = sum(1 / (query + 1) for query in range(first, LENGTH)) / (LENGTH - first)
    found = SCORES[name][0](as_patterns(uniform()))[name]
    torch.testing.assert_close(found, torch.tensor([[[expected]]]))


def test_scores_are_by_layer_head_and_sequence() -> None:
    layers, sequences, heads = 2, 3, 4
    weight = torch.arange(layers * sequences * heads).reshape(layers, sequences, heads) / 100
    patterns = weight[..., None, None] * looking_back(PERIOD - 1)
    found = repeat_scores(patterns, PERIOD)["prefix_matching"]
    torch.testing.assert_close(found, weight.transpose(1, 2))


def test_a_token_that_stands_a_third_time_is_attended_to_at_both_earlier_ones() -> None:
    """Period 4 in 12 positions: from 8 on there are two earlier occurrences."""
    pattern = torch.zeros(LENGTH, LENGTH)
    for query in range(4, LENGTH):
        earlier = range(query % 4, query, 4)
        for key in earlier:
            pattern[query, key + 1] += 0.75 / len(earlier)
            pattern[query, key] += 0.25 / len(earlier)
    found = repeat_scores(as_patterns(pattern), 4)
    assert float(found["prefix_matching"]) == pytest.approx(0.75)
    assert float(found["duplicate_token"]) == pytest.approx(0.25)


@pytest.mark.parametrize("period", [-1, 0, 1, LENGTH, LENGTH + 1])
def test_a_period_that_leaves_no_repetition_is_refused(period: int) -> None:
    with pytest.raises(InvalidArgument, match=rf"`period`: expected between 2 and {LENGTH - 1}, found {period}"):
        repeat_scores(as_patterns(uniform()), period)


def stacked(model: Transformer, tokens: Tensor) -> Tensor:
    """All patterns of one batch, (layer, sequence, head, query, key)."""
    return torch.stack([patterns for _, patterns in attention_patterns(model, tokens)])


def induction_circuit(sharpness: float) -> Transformer:
    """Layer 0 copies the previous token into a place of its own; layer 1 attends where that place holds the present
    token. The stream is one-hot: token, previous token, and for queries and keys the position.
    """
    width = 2 * VOCABULARY + LENGTH
    config = TransformerConfig(
        vocabulary_size=VOCABULARY, context_length=LENGTH, d_model=width, num_heads=1, normalization="none"
    )
    model = Transformer(config, torch.Generator())
    present = slice(0, VOCABULARY)
    previous, position = slice(VOCABULARY, 2 * VOCABULARY), slice(2 * VOCABULARY, width)
    scale = sharpness * width**0.25
    state = {name: torch.zeros_like(tensor) for name, tensor in model.state_dict().items()}
    state["embed.W_E"][:, present] = torch.eye(VOCABULARY)
    state["pos_embed.W_pos"][:, position] = torch.eye(LENGTH)
    state["blocks.0.attn.W_Q"][0, position, :LENGTH] = scale * torch.eye(LENGTH).roll(-1, dims=1)
    state["blocks.0.attn.W_K"][0, position, :LENGTH] = scale * torch.eye(LENGTH)
    state["blocks.0.attn.W_V"][0, present, :VOCABULARY] = torch.eye(VOCABULARY)
    state["blocks.0.attn.W_O"][0, :VOCABULARY, previous] = torch.eye(VOCABULARY)
    state["blocks.1.attn.W_Q"][0, present, :VOCABULARY] = scale * torch.eye(VOCABULARY)
    state["blocks.1.attn.W_K"][0, previous, :VOCABULARY] = scale * torch.eye(VOCABULARY)
    state["blocks.1.attn.W_V"][0, present, :VOCABULARY] = torch.eye(VOCABULARY)
    state["blocks.1.attn.W_O"][0, :VOCABULARY, present] = 5 * torch.eye(VOCABULARY)
    state["unembed.W_U"][present] = 5 * torch.eye(VOCABULARY)
    model.load_state_dict(state)
    return model


@pytest.fixture
def repeated() -> Tensor:
    """Random tokens, none twice within a period, then all of them again."""
    generator = torch.Generator().manual_seed(0)
    half = torch.stack([torch.randperm(VOCABULARY, generator=generator)[:PERIOD] for _ in range(5)])
    return torch.cat([half, half], dim=1)


def test_an_induction_circuit_written_by_hand_is_found(repeated: Tensor) -> None:
    model = induction_circuit(sharpness=4)
    patterns = stacked(model, repeated)
    assert patterns.shape == (2, 5, 1, LENGTH, LENGTH)
    repeats, text = repeat_scores(patterns, PERIOD), text_scores(patterns)
    # The first token stands before itself as far as layer 0 can see, which halves the attention of one query in six.
    expected = (PERIOD - 1 + 0.5) / PERIOD
    torch.testing.assert_close(repeats["prefix_matching"][1], torch.full((1, 5), expected), atol=1e-3, rtol=0)
    assert (text["previous_token"][0] > 0.99).all()
    assert (text["previous_token"][1] < 0.3).all()
    assert (repeats["prefix_matching"][0] < 1e-3).all()
    assert (repeats["duplicate_token"] < 0.1).all()


def test_the_circuit_predicts_the_repetition(repeated: Tensor) -> None:
    with torch.no_grad():
        predicted = induction_circuit(sharpness=4)(repeated).argmax(dim=-1)
    assert torch.equal(predicted[:, PERIOD + 1 : -1], repeated[:, PERIOD + 2 :])


def test_without_the_previous_token_head_there_is_no_induction(repeated: Tensor) -> None:
    model = induction_circuit(sharpness=4)
    with torch.no_grad():
        model.get_parameter("blocks.0.attn.W_O").zero_()
    found = repeat_scores(stacked(model, repeated), PERIOD)["prefix_matching"][1]
    torch.testing.assert_close(found, torch.full((1, 5), sum(1 / q for q in range(PERIOD + 1, LENGTH + 1)) / PERIOD))
