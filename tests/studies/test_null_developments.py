"""p-values of every claim that has a null, where that null holds: uniform, or larger where it is discrete or joint.

A p-value that is half as large as it should be fails. The belief study's p-values are those of its probes.
"""

from functools import partial

import numpy as np
import pytest
from scipy.stats import kstest
from tests.studies import null_developments as made
from tests.studies.null_developments import Make

from ontogeny.development import nulls
from ontogeny.studies import Evidence, Study
from ontogeny.studies.language import STUDY as LANGUAGE
from ontogeny.studies.language.config import Thresholds
from ontogeny.studies.language.texts import StudyText
from ontogeny.studies.linear_networks import STUDY as LINEAR
from ontogeny.studies.linear_networks import stagewise_evidence
from ontogeny.studies.memorisation import STUDY as MEMORISATION
from ontogeny.studies.superposition import STUDY as SUPERPOSITION

CASES, FEW, SIMULATED = 60, 30, 99
UNIFORM: list[tuple[Study, str, Make]] = [
    (LANGUAGE, "bigram-to-trigram", made.bigram_rise_at_its_limit),
    (LANGUAGE, "previous-before-induction", made.both_heads_together),
    (LANGUAGE, "icl-with-induction", made.fall_anywhere),
    (LANGUAGE, "one-layer-control", made.control_at_its_limit),
    (LANGUAGE, "one-layer-control", made.two_layers_at_the_limit),
    (LANGUAGE, "smeared-keys", made.smeared_at_its_limit),
    (LANGUAGE, "smeared-keys", made.plain_at_the_limit),
    (LANGUAGE, "change-together", made.each_change_anywhere),
    (LANGUAGE, "composition-with-induction", made.pairs_alike),
    (LANGUAGE, "induction-ablated", made.induction_heads_worth_as_much),
    (LANGUAGE, "stages", made.boundaries_anywhere),
    (LANGUAGE, "stages", made.coefficient_that_does_not_rise),
    (LANGUAGE, "migration", made.shares_of_layers_stay),
    (LANGUAGE, "multigrams-and-coefficients", made.multigrams_dealt_out),
    (LANGUAGE, "multigram-circuit", made.paths_alike),
    (LANGUAGE, "code-and-prose", made.induction_heads_like_others),
    (LINEAR, "influence", made.influence_between_any_items),
    (LINEAR, "flow", made.influence_between_any_items),
    (SUPERPOSITION, "sparser-is-more", made.numbers_of_features_dealt_out),
    (MEMORISATION, "repeated", made.repeats_dealt_out),
]
LARGER: list[tuple[Study, str, Make]] = [  # many equal values; a maximum of noisy means
    (LANGUAGE, "bigram-to-trigram", made.bigram_and_trigram_minimum_together),
    (LANGUAGE, "signatures", made.types_dealt_out),
    (LANGUAGE, "rise-and-fall", made.each_head_falls_or_not),
    (LANGUAGE, "relative", made.layers_alike),
    (LANGUAGE, "planted-recovered", made.served_at_random),
    (LANGUAGE, "planted-silent", made.found_whether_there_or_not),
    (LINEAR, "opposed", made.complexity_in_random_order),
    (LINEAR, "staircases", made.stairs_in_random_order),
    (SUPERPOSITION, "diagram", made.kinds_dealt_out),
    (SUPERPOSITION, "diagram-of-three", made.kinds_dealt_out),
]


def named(given: object) -> str:
    return str(getattr(given, "__name__", given if isinstance(given, str) else ""))


@pytest.fixture(autouse=True)
def few_permutations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nulls, "permutations", partial(nulls.permutations, count=SIMULATED))
    monkeypatch.setattr(stagewise_evidence, "_DRAWS", SIMULATED)


def p_values(study: Study, claim: str, make: Make, cases: int = CASES) -> np.ndarray:
    """Of one made-up development after the other; simulated ones are multiples of 1/100, which is evened out."""
    config = study.config("standard").model_copy(update={"tested": (claim,)})
    if claim.startswith("planted"):
        config = config.model_copy(update={"text": StudyText(source="planted")})
    if study is LANGUAGE:
        config = config.model_copy(update={"thresholds": Thresholds(bootstrap=SIMULATED)})
    rng, found = np.random.default_rng(0), []
    for seed in range(cases):
        evidence = study.claims.test(make(rng), config.model_copy(update={"seed": seed}))[claim]
        assert isinstance(evidence, Evidence), evidence
        assert evidence.null is not None
        found.append(evidence.null.p_value)
    return np.array(found) + rng.uniform(-0.5, 0.5, cases) / (SIMULATED + 1)


@pytest.mark.parametrize(("study", "claim", "make"), UNIFORM, ids=named)
def test_uniform_under_the_null(study: Study, claim: str, make: Make) -> None:
    assert kstest(p_values(study, claim, make), "uniform").pvalue > 0.01


@pytest.mark.parametrize(
    ("study", "claim", "make"),
    [pytest.param(*case, marks=pytest.mark.slow if case[1] == "signatures" else ()) for case in LARGER],
    ids=named,
)
def test_never_smaller_than_uniform_under_the_null(study: Study, claim: str, make: Make) -> None:
    found = p_values(study, claim, make, FEW)
    assert kstest(found, "uniform", alternative="greater").pvalue > 0.01
    assert kstest(found / 2, "uniform", alternative="greater").pvalue < 1e-6


def test_every_claim_of_the_language_study_is_here() -> None:
    listed = {claim for study, claim, _ in UNIFORM + LARGER if study is LANGUAGE}
    assert listed == {claim.id for claim in LANGUAGE.claims}
