"""Skip-trigrams against the table formed densely, and of a head that serves two which it cannot hold apart."""

from itertools import product
from typing import Any

import numpy as np
import pytest
import torch

from ontogeny import circuits
from ontogeny.core.errors import InvalidArgument
from ontogeny.models import Transformer, TransformerConfig, intervene

KEEP, IN, AT, MIND, BAY, OTHER = range(6)


def random_network(**changes: Any) -> Transformer:
    shape: dict[str, Any] = {"vocabulary_size": 9, "context_length": 5, "d_model": 12, "num_heads": 3, "num_layers": 1}
    return Transformer(TransformerConfig(**shape | changes), torch.Generator().manual_seed(0))


def serving() -> Transformer:
    """Keep … in → mind and keep … at → bay, by one head of width 6, without positions."""
    model = random_network(vocabulary_size=6, d_model=12, num_heads=2, normalization="none")
    w = {name: torch.zeros_like(each) for name, each in model.state_dict().items()}
    w["embed.W_E"][:, :6] = w["unembed.W_U"][6:, :] = torch.eye(6)
    root = (5 * 6**0.5) ** 0.5
    w["blocks.0.attn.W_Q"][1, [IN, AT], KEEP], w["blocks.0.attn.W_K"][1, KEEP, KEEP] = root, root
    w["blocks.0.attn.W_V"][1, KEEP, 0] = 1
    w["blocks.0.attn.W_O"][1, 0, 6 + MIND], w["blocks.0.attn.W_O"][1, 0, 6 + BAY] = 4, 3
    model.load_state_dict(w)
    return model


def dense(model: Transformer, head: str) -> np.ndarray:
    """score[a, b, c]."""
    qk = circuits.qk_circuit(model, head, full=True).dense() / model.config.d_head**0.5
    ov = circuits.ov_circuit(model, head, full=True).dense()
    qk, ov = qk - qk.mean(1, keepdim=True), ov - ov.mean(1, keepdim=True)
    return (qk.T[:, :, None] + ov[:, None, :]).numpy()


@pytest.mark.parametrize("block", [2**24, 20])
def test_the_strongest_are_those_of_the_whole_table(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(circuits.trigrams, "_BLOCK", block)
    model = random_network()
    scores = dense(model, "L0H1")
    for count in (1, 40, 9**3 + 10):
        found = circuits.skip_trigrams(model, "L0H1", count)
        assert found.sizes["rank"] == min(count, 9**3)
        np.testing.assert_allclose(found["score"], np.sort(scores, axis=None)[::-1][:count], atol=1e-5)
        at = scores[found["source"].values, found["destination"].values, found["output"].values]
        np.testing.assert_allclose(at, found["score"], atol=1e-5)
        np.testing.assert_allclose(found["attention"] + found["effect"], found["score"], atol=1e-5)


def test_a_head_that_serves_two_skip_trigrams_of_one_source_has_bugs() -> None:
    model = serving()
    found = circuits.skip_trigrams(model, "L0H1", 4)
    table = list(zip(*(found[name].values.tolist() for name in ("source", "destination", "output")), strict=True))
    assert set(table) == set(product([KEEP], [IN, AT], [MIND, BAY]))
    served = [(KEEP, IN, MIND), (KEEP, AT, BAY)]
    bugs = circuits.skip_trigram_bugs(model, "L0H1", served)
    assert bugs["served"].values.tolist() == [True, True, False, False]
    rows = list(zip(*(bugs[name].values.tolist() for name in ("source", "destination", "output")), strict=True))
    assert rows == [*served, (KEEP, AT, MIND), (KEEP, IN, BAY)]
    scores = bugs["score"].values
    assert scores[2] > scores[1]  # "keep … at mind" beats "keep … at bay"
    np.testing.assert_allclose(scores, [dense(model, "L0H1")[row] for row in rows], atol=1e-5)
    with torch.no_grad():  # and the network says so
        logits = model(torch.tensor([[OTHER, KEEP, OTHER, AT]]))[0, -1]
    assert int(logits.argmax()) == MIND


def test_crossed_scores_sum_to_the_served_ones_whatever_the_weights() -> None:
    bugs = circuits.skip_trigram_bugs(random_network(), "L0H2", [(3, 1, 4), (3, 5, 8), (2, 5, 8)])
    scores = dict(
        zip(
            zip(*(bugs[name].values.tolist() for name in ("source", "destination", "output")), strict=True),
            bugs["score"].values,
            strict=True,
        )
    )
    assert set(scores) == {(3, 1, 4), (3, 5, 8), (2, 5, 8), (3, 1, 8), (3, 5, 4)}
    assert scores[3, 1, 8] + scores[3, 5, 4] == pytest.approx(scores[3, 1, 4] + scores[3, 5, 8], abs=1e-5)
    with pytest.raises(InvalidArgument, match="one \\(source, destination, output\\) or more"):
        circuits.skip_trigram_bugs(random_network(), "L0H2", [])


def test_sources_compete_for_attention() -> None:
    """Shares are the pattern's in a network without norms and positions; a rival takes from all others."""
    model = random_network(normalization="none")
    with torch.no_grad():
        model.pos_embed.W_pos.zero_()
    tokens, seen = torch.tensor([[3, 7, 3, 0]]), []
    with torch.no_grad(), intervene(model, {"blocks.0.attn.hook_pattern": seen.append}):
        model(tokens)
    shares = circuits.source_shares(model, "L0H1", 0, [3, 7, 3, 0])
    np.testing.assert_allclose(shares, seen[0][0, 1, -1], atol=1e-6)
    table = circuits.qk_circuit(model, "L0H1", full=True).dense() / 2
    pair = circuits.source_shares(model, "L0H1", 5, [3, 7])
    assert pair[0] == pytest.approx(1 / (1 + float((table[5, 7] - table[5, 3]).exp())), abs=1e-6)
