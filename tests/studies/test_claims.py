"""Pooling, correction and status of claims."""

import pytest
from scipy.stats import combine_pvalues

from ontogeny.core.errors import InvalidArgument
from ontogeny.studies.claims import AT_PRESET, Claim, Evidence, Finding, NotTested, find, holm, judge


def evidence(p_value: float, met: bool = True, measured: float = 1.0) -> Evidence:
    return Evidence(measured, (0.5, 1.5), p_value, met, "control 0.1")


def claim(name: str) -> Claim:
    return Claim(id=name, title=name, source="", expectation="", unit="")


def test_holm_against_a_worked_example() -> None:
    # sorted 0.01, 0.02, 0.03, 0.04 times 4, 3, 2, 1, made monotone
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])


def test_holm_never_exceeds_one_and_keeps_the_order() -> None:
    adjusted = holm([0.9, 0.5, 0.8])
    assert max(adjusted) <= 1
    assert adjusted[1] == min(adjusted)


def test_p_values_are_pooled_over_seeds_by_fisher() -> None:
    (judged,) = judge([claim("a")], [{"a": evidence(0.1)}, {"a": evidence(0.2)}])
    assert judged.p_value == pytest.approx(combine_pvalues([0.1, 0.2], method="fisher").pvalue)


def test_a_claim_holds_only_if_every_seed_meets_it_and_the_corrected_p_is_small() -> None:
    small, large = evidence(1e-4), evidence(0.5)
    assert judge([claim("a")], [{"a": small}, {"a": small}])[0].status == "held"
    assert judge([claim("a")], [{"a": small}, {"a": evidence(1e-4, met=False)}])[0].status == "not held"
    assert judge([claim("a")], [{"a": large}])[0].status == "not held"


def test_correction_counts_the_claims_that_were_tested() -> None:
    alone = judge([claim("a")], [{"a": evidence(0.03)}])[0]
    beside = judge([claim("a"), claim("b")], [{"a": evidence(0.03), "b": evidence(0.5)}])[0]
    assert alone.status == "held"
    assert beside.status == "not held"


def test_a_claim_without_evidence_is_not_tested_and_says_why() -> None:
    judged = judge(
        [claim("a"), claim("b"), claim("c")], [{"a": evidence(0.01), "b": NotTested("no head is of a type")}]
    )
    assert [item.status for item in judged] == ["held", "not tested", "not tested"]
    assert judged[1].note == "not tested: no head is of a type"
    assert AT_PRESET.reason in judged[2].note
    assert judged[1].p_adjusted is None


def test_contrary_evidence_of_some_seeds_is_shown() -> None:
    against = evidence(0.9, met=False, measured=2.0)
    (judged,) = judge([claim("a")], [{"a": against}, {"a": NotTested("no head is of a type")}, {"a": against}])
    assert judged.status == "not held"
    assert judged.measured == 2.0
    assert judged.note == ("0 of 2 seeds meet it; seeds: 2, 2; 1 of 3 seeds could not test it: no head is of a type")


def test_a_claim_that_some_seeds_could_not_test_does_not_hold() -> None:
    (judged,) = judge([claim("a")], [{"a": evidence(1e-6)}, {"a": NotTested("no")}])
    assert judged.status == "not held"
    assert "1 of 1 seeds meet it" in judged.note


def test_a_range_over_seeds_is_no_interval() -> None:
    one, two = evidence(0.01, measured=1.0), evidence(0.01, measured=3.0)
    assert judge([claim("a")], [{"a": one}])[0].interval == (0.5, 1.5)
    (pooled,) = judge([claim("a")], [{"a": one}, {"a": two}])
    assert pooled.interval is None
    assert "seeds: 1, 3" in pooled.note


def test_a_test_that_fails_costs_its_own_claim_alone() -> None:
    def fails() -> Finding:
        raise InvalidArgument("trajectory", expected="8 usable estimates", found="2 diverged")

    found = find({"a": lambda: evidence(0.01), "b": fails, "c": fails}, tested=("a", "b"))
    assert isinstance(found["a"], Evidence)
    assert found["b"] == NotTested("it needs 8 usable estimates; found 2 diverged")
    assert found["c"] == AT_PRESET
