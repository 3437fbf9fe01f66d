"""Evidence for the claims about planted languages, on effects made to meet them and not to; and the readings."""

from typing import Literal

import numpy as np
import pytest
import torch
import xarray as xr

from ontogeny.circuits import PatternRules
from ontogeny.data import PlantedLanguage, planted_text
from ontogeny.models import Transformer, TransformerConfig
from ontogeny.studies.evidence import Evidence, Finding, NotTested
from ontogeny.studies.findings import Findings
from ontogeny.studies.language import STUDY
from ontogeny.studies.language.evidence import claims
from ontogeny.studies.language.planted import MECHANISM_OF, by_laws, by_patterns, delimiters
from ontogeny.studies.language.texts import StudyText

HEADS = [f"L{layer}H{head}" for layer in range(2) for head in range(4)]
SERVED = np.zeros((8, 4))
SERVED[[0, 1, 4, 5], [3, 2, 0, 1]] = 1.0


def says(name: str, read: np.ndarray, source: Literal["corpus", "planted"] = "planted") -> Finding:
    dims = ("part", "kind")
    each = {"read_effect": read, "true_effect": SERVED, "read_error": 0 * read + 0.01, "true_error": 0 * read + 0.01}
    table = xr.Dataset(
        {name: (dims, values) for name, values in each.items()}, {"part": HEADS, "kind": list(MECHANISM_OF)}
    )
    lacking = [
        table.assign(planted=("kind", there)) for there in ([False, True, False, True], [True, False, True, False])
    ]
    found = Findings({"planted": table, "planted-controls": xr.concat(lacking, "network")})
    config = STUDY.config("standard").model_copy(update={"text": StudyText(source=source), "tested": (name,)})
    return claims.test(found, config)[name]


def test_a_reading_that_is_the_truth_is_one() -> None:
    found = says("planted-recovered", SERVED)
    assert isinstance(found, Evidence)
    assert (found.effect, found.met) == (1.0, True)
    assert found.null is not None
    assert found.null.p_value < 0.05


@pytest.mark.parametrize("wrong", [SERVED[::-1], 0 * SERVED, 0 * SERVED + 1])
def test_other_readings_are_not(wrong: np.ndarray) -> None:
    found = says("planted-recovered", wrong)
    assert isinstance(found, Evidence)
    assert not found.met


def test_a_head_for_what_is_lacking_breaks_the_silence() -> None:
    found = says("planted-silent", SERVED)
    assert isinstance(found, Evidence)
    assert not found.met
    assert found.effect > 0


def test_a_corpus_has_nothing_planted() -> None:
    assert isinstance(says("planted-recovered", SERVED, "corpus"), NotTested)


def test_both_readings_of_an_untrained_network_are_silent() -> None:
    language = PlantedLanguage(length=24)
    shape = TransformerConfig(vocabulary_size=language.vocabulary_size, context_length=24, d_model=16, num_heads=2)
    model, text = Transformer(shape, torch.Generator().manual_seed(0)), planted_text(language, 400, 60)
    tokens = text.validation["mixed"]
    rules = PatternRules(delimiters(language), reach=language.skip_span + 1)
    for found in (by_patterns(model, tokens, text.train["mixed"], rules), by_laws(model, tokens, language)):
        assert found["kind"].values.tolist() == list(MECHANISM_OF)
        assert (found["tokens"] > 10).all()
        assert (found["effect"] < 6 * found["error"] + 0.1).all()
