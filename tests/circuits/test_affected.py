"""Effects of ablations on single tokens, and the most affected ones in context."""

import numpy as np
import torch

import ontogeny as og
from ontogeny import circuits
from ontogeny.circuits import Replacement
from ontogeny.testing import InductionTransformer

ONCE = torch.stack([torch.randperm(31, generator=torch.Generator().manual_seed(seed))[:12] for seed in range(3)])
TOKENS = torch.cat([ONCE, ONCE], dim=1)


def test_without_the_induction_head_the_repetition_is_lost_and_nothing_else() -> None:
    model = InductionTransformer().model()
    effects = circuits.token_effects(model, TOKENS)
    assert effects["effect"].dims == ("part", "sequence", "position")
    assert effects["position"].values.tolist() == list(range(1, 24))
    repeated = effects["position"] > 12
    for part in ("L0H1", "L1H2"):
        effect = effects["effect"].sel(part=part)
        assert (effect[:, repeated] > 2).all()
        assert (effect[:, effects["position"] <= 12] < 0.1).all()  # there the circuit raises what comes never again
    assert float(abs(effects["effect"].drop_sel(part=["L0H1", "L1H2"])).max()) < 0.1
    expected = og.losses.next_token(model, TOKENS).detach()
    np.testing.assert_allclose(effects["loss"], expected, rtol=1e-6)
    with torch.no_grad(), circuits.ablate(model, "L1H2", "mean"):
        without = og.losses.next_token(model, TOKENS)
    found = circuits.token_effects(model, TOKENS, ["L1H2"], Replacement("mean"))["effect"][0]
    np.testing.assert_allclose(found, without - expected, atol=1e-6)


def test_the_most_affected_tokens_come_with_their_context() -> None:
    model = InductionTransformer().model()
    effects = circuits.token_effects(model, TOKENS, ["L1H2"])
    letters = "abcdefghijklmnopqrstuvwxyzABCDE"

    def decode(tokens: list[int]) -> str:
        return "".join(letters[token] for token in tokens)

    found = circuits.most_affected(effects, TOKENS, "L1H2", 5, before=13, decode=decode)
    assert len(found) == 5
    assert [each.effect for each in found] == sorted((each.effect for each in found), reverse=True)
    assert found[0].effect == float(effects["effect"].max())
    for each in found:
        assert each.token == TOKENS[each.sequence, each.position]
        assert each.context == tuple(TOKENS[each.sequence, max(0, each.position - 13) : each.position].tolist())
        assert (
            each.context[each.context.index(each.context[-1]) + 1] == each.token
        )  # it followed the earlier occurrence
        assert each.text == f"{decode(list(each.context))}[{decode([each.token])}]"
    first = circuits.most_affected(effects, TOKENS, "L1H2", 1000)
    assert len(first) == effects["effect"].size
    assert {len(each.context) for each in first if each.position == 3} == {3}
    assert first[0].text == ""
