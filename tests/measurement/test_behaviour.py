"""What a language model does, on models whose behaviour is known."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import xarray as xr
from torch import Tensor, nn

from ontogeny.core.errors import InvalidArgument
from ontogeny.core.losses import next_token
from ontogeny.execution import Serial
from ontogeny.measurement import LanguageBehaviour, measure
from ontogeny.models import Transformer, TransformerConfig
from ontogeny.stores import MemoryCheckpoints

VOCABULARY, LENGTH, PERIOD, SEQUENCES = 7, 12, 6, 40  # more sequences than go through the model at once
CONFIG = TransformerConfig(vocabulary_size=VOCABULARY, context_length=LENGTH, d_model=8, num_heads=2)


def make_model() -> Transformer:
    return Transformer(CONFIG, torch.Generator().manual_seed(0))


def without_preferences() -> Transformer:
    """Says that all tokens are equally likely, and attends to all positions equally."""
    model = make_model()
    with torch.no_grad():
        model.unembed.W_U.zero_()
        for layer in range(CONFIG.num_layers):
            model.get_parameter(f"blocks.{layer}.attn.W_Q").zero_()
    return model


def random_tokens(seed: int, count: int = SEQUENCES) -> Tensor:
    return torch.randint(VOCABULARY, (count, LENGTH), generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def behaviour() -> LanguageBehaviour:
    half = random_tokens(2, 5)[:, :PERIOD]
    generator = torch.Generator().manual_seed(3)
    laws = {order: torch.rand(4, LENGTH - 1, VOCABULARY, generator=generator) for order in ("unigram", "bigram")}
    return LanguageBehaviour(
        held_out={"mixed": random_tokens(0), "code": random_tokens(1)},
        ngram_laws={order: law / law.sum(dim=-1, keepdim=True) for order, law in laws.items()},
        repeats=torch.cat([half, half], dim=1),
        early=(1, 4),
        late=(8, 11),
        output_sequences=3,
        output_stride=5,
    )


def test_losses_are_those_of_the_model(behaviour: LanguageBehaviour) -> None:
    model = make_model()
    found = behaviour(model)
    with torch.no_grad():
        losses = {name: next_token(model, tokens) for name, tokens in behaviour.held_out.items()}
    for name, loss in losses.items():
        here = found.sel(distribution=name)
        np.testing.assert_allclose(here.loss_by_position, loss.mean(dim=0), rtol=1e-5)
        assert float(here.test_loss) == pytest.approx(float(loss.mean()), rel=1e-5)
    assert found.position.values.tolist() == list(range(1, LENGTH))
    icl = losses["mixed"][:, 8:11].mean(dim=1) - losses["mixed"][:, 1:4].mean(dim=1)
    np.testing.assert_allclose(found.icl_by_sequence, icl, rtol=1e-4, atol=1e-6)
    assert float(found.icl_score) == pytest.approx(float(icl.mean()), rel=1e-3)
    with torch.no_grad():
        repeats = next_token(model, behaviour.repeats)
    expected = float(repeats[:, PERIOD:].mean() - repeats[:, : PERIOD - 1].mean())
    assert float(found.repeated_gain) == pytest.approx(expected, rel=1e-4)
    outputs = F.log_softmax(model(behaviour.held_out["mixed"][:3])[:, [0, 5, 10]], dim=-1).detach().flatten()
    np.testing.assert_allclose(found.outputs, outputs, rtol=1e-4, atol=1e-6)


def test_a_model_without_preferences_has_the_scores_of_chance(behaviour: LanguageBehaviour) -> None:
    found = behaviour(without_preferences())
    np.testing.assert_allclose(found.loss_by_position, math.log(VOCABULARY), rtol=1e-5)
    for name in ("icl_score", "repeated_gain"):
        assert float(found[name]) == pytest.approx(0, abs=1e-6)
    np.testing.assert_allclose(found.ngram_cross_entropy, math.log(VOCABULARY), rtol=1e-5)
    on_text = sum(1 / (query + 1) for query in range(1, LENGTH)) / (LENGTH - 1)
    on_repeats = sum(1 / (query + 1) for query in range(PERIOD, LENGTH)) / (LENGTH - PERIOD)
    chance = {"previous_token": on_text, "current_token": on_text}
    chance |= {"duplicate_token": on_repeats, "prefix_matching": on_repeats}
    assert found.head_score.dims == ("score", "layer", "head")
    for score, expected in chance.items():
        np.testing.assert_allclose(found.head_score.sel(score=score), expected, rtol=1e-5)
    np.testing.assert_allclose(found.head_score_by_sequence.mean("repeat"), found.head_score, rtol=1e-5)


def test_the_distance_to_its_own_law_is_the_entropy(behaviour: LanguageBehaviour) -> None:
    model = make_model()
    with torch.no_grad():
        own = F.softmax(model(behaviour.held_out["mixed"][:4])[:, :-1], dim=-1)
    laws = {"own": own, "other": behaviour.ngram_laws["bigram"]}
    found = LanguageBehaviour(**(vars(behaviour) | {"ngram_laws": laws}))(model)
    gap = found.ngram_cross_entropy - found.ngram_entropy
    assert float(gap.sel(order="own")) == pytest.approx(0, abs=1e-5)
    assert float(gap.sel(order="other")) > 0.1
    np.testing.assert_allclose(found.ngram_by_sequence.mean("ngram_sequence"), found.ngram_cross_entropy, rtol=1e-5)


def test_along_training_only_the_reference_lines_have_no_step(behaviour: LanguageBehaviour) -> None:
    run = MemoryCheckpoints(
        {step: model.state_dict() for step, model in enumerate((without_preferences(), make_model()))}
    )
    data = random_tokens(4, 8)
    found = measure(run, make_model, data, next_token, behaviour=behaviour, components=[], executor=Serial())
    alone = behaviour(make_model())
    without = [name for name in found.data_vars if "step" not in found[name].dims]
    assert without == ["ngram_entropy"]
    for name in alone.data_vars:
        here = found[name] if name in without else found[name].sel(step=1, drop=True)
        xr.testing.assert_allclose(here.drop_vars("step", errors="ignore"), alone[name], rtol=1e-5, atol=1e-6)


def test_another_network_is_refused(behaviour: LanguageBehaviour) -> None:
    with pytest.raises(InvalidArgument, match=r"`model_fn`.*Transformer.*Linear"):
        behaviour(nn.Linear(2, 2))
