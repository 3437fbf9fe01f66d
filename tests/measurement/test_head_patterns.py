"""Tokens that heads are needed for, on the network whose induction circuit is written by hand."""

import torch

from ontogeny.circuits import token_patterns
from ontogeny.measurement import HeadPatterns, PathPatterns
from ontogeny.testing import InductionTransformer


def test_the_induction_head_is_needed_for_repeats() -> None:
    planted, source = InductionTransformer(), torch.Generator().manual_seed(0)
    half = torch.stack([torch.randperm(planted.vocabulary_size, generator=source)[:8] for _ in range(12)])
    tokens = torch.cat([half, half], dim=1)
    found = HeadPatterns(tokens, token_patterns(tokens, tokens))(planted.model())
    own = found.sel(head=planted.induction)
    assert int(own["pattern_tokens"].sel(kind="induction")) == own["pattern_tokens"].values.sum() >= 12 * 6
    assert float(own["pattern_effect"].sel(kind="induction").mean()) > 1
    assert float(own["pattern_effect"].sel(kind="other").mean()) < 0
    assert found["pattern_effect"].sel(kind="bracket").isnull().all()


def test_the_path_from_the_previous_token_head_is_needed_for_repeats() -> None:
    planted, source = InductionTransformer(), torch.Generator().manual_seed(0)
    half = torch.stack([torch.randperm(planted.vocabulary_size, generator=source)[:8] for _ in range(12)])
    tokens = torch.cat([half, half], dim=1)
    effect = PathPatterns(tokens, token_patterns(tokens, tokens))(planted.model())["path_effect"]
    repeats = effect.sel(kind="induction").mean("pattern_sequence").stack(pair=("sender", "receiver"))
    order = repeats.values.argsort()
    assert repeats["pair"].values[order[-1]] == (planted.previous_token, planted.induction)
    assert repeats.values[order[-1]] > 1
    assert abs(repeats.values[order[-2]]) < 0.1
