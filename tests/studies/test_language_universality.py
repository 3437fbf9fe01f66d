"""Heads held against those of another network: of its own they are all found, of one that shares nothing none are."""

from pathlib import Path

import numpy as np
import torch

from ontogeny.models import Transformer, TransformerConfig
from ontogeny.stores import open_checkpoints
from ontogeny.studies.language.universality import alike

SHAPE = TransformerConfig(vocabulary_size=20, context_length=16, d_model=16, num_heads=2)


def made(seed: int) -> Transformer:
    return Transformer(SHAPE, torch.Generator().manual_seed(seed))


def test_a_network_is_its_own_twin_with_its_heads_in_another_order_and_no_other_is(tmp_path: Path) -> None:
    model, turned, other = made(0), made(0), made(1)
    for block in turned.blocks:
        for name in ("W_Q", "W_K", "W_V", "W_O"):
            weight = getattr(block.attn, name)
            weight.data = weight.data.flip(0)
    for name, each in {"model": model, "turned": turned, "other": other}.items():
        (tmp_path / name).mkdir()
        torch.save(each.state_dict(), tmp_path / name / "step-1.pt")
    runs = {name: open_checkpoints(str(tmp_path / name / "step-{N}.pt")) for name in ("model", "turned", "other")}
    tokens = torch.randint(20, (200, 16), generator=torch.Generator().manual_seed(2))
    own = alike(runs["model"], runs["turned"], lambda: made(0), tokens, seed=0)
    assert own["partner"].values.tolist() == [1, 0, 3, 2]
    np.testing.assert_allclose(own["mean"], 1, atol=1e-6)
    assert (own["control"] < 0.5).all()
    apart = alike(runs["model"], runs["other"], lambda: made(0), tokens, seed=0)
    assert float(apart["mean"].sel(measure="circuits")) < 0.3
