"""Tokens sorted by the pattern that predicts them, on sequences whose patterns are planted."""

import numpy as np
import pytest
import torch
import xarray as xr

from ontogeny.circuits import KINDS, PatternRules, ablate, multigrams, token_effects, token_patterns
from ontogeny.testing import InductionTransformer

SOURCE = np.random.default_rng(0)
OPEN, CLOSE = 20, 21


def text(count: int, length: int = 40) -> np.ndarray:
    """Tokens 0 to 9 at random, but 11 always follows 10, and 13 comes three to five after 12."""
    rows = SOURCE.integers(0, 10, (count, length))
    for row in rows:
        place = SOURCE.integers(0, 12)
        row[place : place + 2] = 10, 11
        row[place + 4] = 12
        row[place + 4 + SOURCE.integers(3, 6)] = 13
    return rows


def test_each_planted_pattern_is_found_and_nothing_else() -> None:
    tokens = text(50)
    tokens[0, :8] = OPEN, 1, OPEN, 2, CLOSE, 3, CLOSE, 4
    tokens[1, 30:] = tokens[1, 20:30]
    found = token_patterns(torch.from_numpy(tokens), torch.from_numpy(text(2000)), PatternRules({OPEN: CLOSE}))
    kind, token, source = (found[name].values for name in ("kind", "token", "source"))
    assert (kind[2:][token[2:] == 11] == "n-gram").all()
    assert (source[2:][token[2:] == 11] == 10).all()
    skips = kind[2:][token[2:] == 13] == "skip n-gram"
    assert skips.all()
    assert (source[2:][token[2:] == 13] == 12).all()
    assert (kind[0, [3, 5]] == "bracket").all()  # the inner and the outer one
    assert (source[0, [3, 5]] == OPEN).all()
    assert (kind[1, 30:] == "induction").all()
    rest = (token[2:] < 10) & (kind[2:] != "induction")
    assert (kind[2:][rest] == "other").mean() > 0.99


def test_a_delimiter_that_closes_at_once_or_another_is_none() -> None:
    tokens = torch.tensor([[OPEN, CLOSE, 0, CLOSE, 0, 1, 2, 3]])
    found = token_patterns(tokens, tokens, PatternRules({OPEN: CLOSE}))
    assert "bracket" not in found["kind"].values


def test_quotes_close_themselves() -> None:
    tokens = torch.tensor([[OPEN, 5, 6, OPEN, 7, 8, 9, 1]])
    found = token_patterns(tokens, tokens, PatternRules({OPEN: OPEN}))
    assert found["kind"].sel(position=3).values == "bracket"


def test_pairs_that_the_reference_does_not_know_are_no_ngrams() -> None:
    tokens = torch.from_numpy(text(20))
    shuffled = torch.from_numpy(SOURCE.permuted(text(2000), axis=1))
    kinds = token_patterns(tokens, shuffled)["kind"].values
    assert not np.isin(kinds, ["n-gram", "skip n-gram"]).any()


def test_an_induction_head_answers_for_induction() -> None:
    """Of the network whose heads are written by hand, ablating the induction head hurts repeats alone."""
    planted = InductionTransformer()
    model, source = planted.model(), torch.Generator().manual_seed(0)
    half = torch.stack([torch.randperm(planted.vocabulary_size, generator=source)[:8] for _ in range(12)])
    tokens = torch.cat([half, half], dim=1)
    effects = token_effects(model, tokens)
    counted = multigrams(effects, token_patterns(tokens, tokens))
    own = counted.sel(part=planted.induction)
    assert int(own["tokens"].sel(kind="induction")) == own["tokens"].values.sum()
    assert int(own["tokens"].sel(kind="induction")) >= 12 * 6
    assert float(own["expected"].sel(kind="induction")) < 0.6 * own["tokens"].values.sum()
    with ablate(model, planted.induction):
        silent = multigrams(token_effects(model, tokens), token_patterns(tokens, tokens))
    assert silent["tokens"].values.sum() < own["tokens"].values.sum() / 4


def test_patterns_are_counted_once() -> None:
    where = {"sequence": [0], "position": [1, 2, 3]}
    dims = ("sequence", "position")
    sorted_tokens = xr.Dataset(
        {"kind": (dims, [["n-gram"] * 3]), "source": (dims, [[4, 4, 5]]), "token": (dims, [[1, 1, 1]])}, where
    )
    effects = xr.Dataset(
        {"effect": (("part", *dims), [[[1.0, 1.0, 1.0]], [[0.1, 0.6, 0.0]]])}, {"part": ["a", "b"], **where}
    )
    found = multigrams(effects, sorted_tokens)
    assert found["tokens"].sel(kind="n-gram").values.tolist() == [3, 1]
    assert found["multigrams"].sel(kind="n-gram").values.tolist() == [2, 1]
    assert found["kind"].values.tolist() == [*KINDS, "other"]
    assert found["expected"].sel(kind="n-gram").values == pytest.approx([3, 1])


def trigram_text(count: int, with_source: float, without: float) -> np.ndarray:
    """Tokens 0 to 9 at random; after 11 comes 13, with other odds if 12 stands three to five before it."""
    rows = SOURCE.integers(0, 10, (count, 40))
    for row in rows:
        place, sourced = SOURCE.integers(6, 38), SOURCE.random() < 0.3
        row[place] = 11
        if sourced:
            row[place - SOURCE.integers(3, 6)] = 12
        row[place + 1] = 13 if SOURCE.random() < (with_source if sourced else without) else 3
    return rows


@pytest.mark.parametrize(("odds", "kind"), [((0.9, 0.1), "skip n-gram"), ((0.5, 0.5), "n-gram")])
def test_a_skip_trigram_is_one_where_its_source_adds_to_the_token_before(odds: tuple[float, float], kind: str) -> None:
    reference = torch.from_numpy(trigram_text(2000, *odds))
    tokens = trigram_text(60, *odds)
    patterns = token_patterns(torch.from_numpy(tokens), reference)
    ended = (tokens[:, 1:] == 13) & (tokens[:, :-1] == 11)
    near = np.array([[12 in row[max(0, k - 4) : k] for k in range(1, 40)] for row in tokens])
    chosen = patterns["kind"].values[ended & near]
    assert len(chosen) > 1
    assert (chosen == kind).all()


def test_the_end_of_a_phrase_is_no_skip() -> None:
    """After 10, 11 comes 12, and 11 alone says nothing: three tokens in a row are an n-gram."""

    def rows(count: int) -> np.ndarray:
        made = SOURCE.integers(0, 10, (count, 40))
        for row in made:
            places = SOURCE.permutation(12)[:4] * 3
            row[places[:2, None] + np.arange(3)] = 10, 11, 12
            row[places[2:] + 1] = 11
            row[places[2:] + 2] = SOURCE.integers(0, 10, 2)
        return made

    tokens = rows(50)
    found = token_patterns(torch.from_numpy(tokens), torch.from_numpy(rows(2000)))
    ended = (tokens[:, 1:] == 12) & (found["kind"].values != "induction")
    assert ended.any()
    assert (found["kind"].values[ended] == "n-gram").all()


def test_alone_is_what_no_other_rule_explains() -> None:
    tokens = text(20)
    tokens[0, 30:] = tokens[0, 20:30]
    found = token_patterns(torch.from_numpy(tokens), torch.from_numpy(text(2000)))
    assert found["alone"].values[found["kind"].values == "n-gram"].mean() > 0.9
    assert not found["alone"].values[found["kind"].values == "other"].any()
