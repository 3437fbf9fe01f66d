"""Tests of claims, their pooling over seeds, correction, and status."""

import numpy as np
import pytest
from scipy.stats import combine_pvalues

import ontogeny as og
from ontogeny.core.errors import InvalidArgument
from ontogeny.development.nulls import Null
from ontogeny.studies import Claims, Evidence, Failed, Findings, NotTested, StudyConfig
from ontogeny.studies.evidence import AT_PRESET, Finding
from ontogeny.studies.findings import Missing
from ontogeny.studies.judged import Judged, holm

CONFIG = StudyConfig(preset="standard")


def evidence(p_value: float | None, met: bool = True, effect: float = 1.0) -> Evidence:
    return Evidence(effect, met, (0.5, 1.5), "control 0.1", None if p_value is None else Null("chance", p_value))


def claimed(*names: str) -> Claims:
    claims = Claims(source="a paper")
    for name in names:
        claims.add(name, name, expects="")(lambda found, config, rng: NotTested("never called"))
    return claims


def judge(*found: dict[str, Finding]) -> list[Judged]:
    names = list(dict.fromkeys(name for seed in found for name in seed))
    return claimed(*names).judge(dict(enumerate(found)))


def test_holm_against_a_worked_example() -> None:
    # sorted 0.01, 0.02, 0.03, 0.04 times 4, 3, 2, 1, made monotone
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])


def test_holm_never_exceeds_one_and_keeps_the_order() -> None:
    adjusted = holm([0.9, 0.5, 0.8])
    assert max(adjusted) <= 1
    assert adjusted[1] == min(adjusted)


def test_p_values_are_pooled_over_seeds_by_fisher_and_kept() -> None:
    (judged,) = judge({"a": evidence(0.1)}, {"a": evidence(0.2)})
    assert judged.p_value == pytest.approx(combine_pvalues([0.1, 0.2], method="fisher").pvalue)
    assert [seed["p_value"] for seed in judged.seeds] == [0.1, 0.2]


def test_a_claim_holds_only_if_every_seed_meets_it_and_the_corrected_p_is_small() -> None:
    small, large = evidence(1e-4), evidence(0.5)
    assert judge({"a": small}, {"a": small})[0].status == "held"
    assert judge({"a": small}, {"a": evidence(1e-4, met=False)})[0].status == "not held"
    assert judge({"a": large})[0].status == "not held"


def test_correction_counts_the_claims_that_have_a_null() -> None:
    alone = judge({"a": evidence(0.03)})[0]
    beside = judge({"a": evidence(0.03), "b": evidence(0.5)})[0]
    exact = judge({"a": evidence(0.03), "b": evidence(None)})
    assert [alone.status, beside.status] == ["held", "not held"]
    assert [item.status for item in exact] == ["held", "held"]
    assert exact[0].p_adjusted == pytest.approx(0.03)
    assert exact[1].p_value is exact[1].p_adjusted is None


def test_an_exact_check_that_fails_does_not_hold() -> None:
    assert judge({"a": evidence(None)}, {"a": evidence(None, met=False)})[0].status == "not held"


def test_a_claim_without_evidence_is_not_tested_and_says_why() -> None:
    judged = judge({"a": evidence(0.01), "b": NotTested("no head is of a type"), "c": AT_PRESET})
    assert [item.status for item in judged] == ["held", "not tested", "not tested"]
    assert judged[1].note == "not tested: no head is of a type"
    assert AT_PRESET.reason in judged[2].note
    assert judged[1].p_adjusted is None


def test_contrary_evidence_of_some_seeds_is_shown() -> None:
    against = evidence(0.9, met=False, effect=2.0)
    (judged,) = judge({"a": against}, {"a": NotTested("no head is of a type")}, {"a": against})
    assert judged.status == "not held"
    assert judged.measured == 2.0
    assert judged.note == ("0 of 2 seeds meet it; seeds: 2, 2; 1 of 3 seeds could not test it: no head is of a type")


def test_contrary_evidence_is_never_hidden_by_a_failure() -> None:
    (judged,) = judge({"a": evidence(0.9, met=False)}, {"a": Failed("ValueError: no")})
    assert judged.status == "not held"
    assert judged.note.endswith("1 of 2 seeds failed: ValueError: no")


def test_a_claim_that_some_seeds_could_not_test_does_not_hold() -> None:
    for other in (NotTested("no"), Failed("no")):
        (judged,) = judge({"a": evidence(1e-6)}, {"a": other})
        assert judged.status == "not held"
        assert "1 of 1 seeds meet it" in judged.note


def test_an_interval_is_that_of_the_seed_or_over_three_seeds_and_says_which() -> None:
    one, two, three = (evidence(0.01, effect=effect) for effect in (1.0, 3.0, 5.0))
    (single,) = judge({"a": one})
    assert (single.interval, single.interval_of) == ((0.5, 1.5), "95 % within the seed")
    (pair,) = judge({"a": one}, {"a": two})
    assert (pair.interval, pair.interval_of) == (None, "")
    assert "seeds: 1, 3" in pair.note
    (pooled,) = judge({"a": one}, {"a": two}, {"a": three})
    half = 4.302653 * 2 / np.sqrt(3)  # t with two degrees of freedom
    assert pooled.interval == pytest.approx((3 - half, 3 + half))
    assert pooled.interval_of == "95 % over 3 seeds (t)"


def test_a_test_that_fails_costs_its_own_claim_alone() -> None:
    claims = Claims()

    @claims.add("good", "", expects="", presets={"standard"})
    def _(found: Findings, config: StudyConfig, rng: np.random.Generator) -> Evidence:
        return evidence(0.01)

    @claims.add("few", "", expects="")
    def _(found: Findings, config: StudyConfig, rng: np.random.Generator) -> Evidence:
        raise InvalidArgument("trajectory", expected="8 usable estimates", found="2 diverged")

    @claims.add("broken", "", expects="")
    def _(found: Findings, config: StudyConfig, rng: np.random.Generator) -> Evidence:
        return found["there"]["nothing"]

    @claims.add("missing", "", expects="")
    def _(found: Findings, config: StudyConfig, rng: np.random.Generator) -> Evidence:
        return found["gone"]["x"]

    @claims.add("wrong", "", expects="")
    def _(found: Findings, config: StudyConfig, rng: np.random.Generator) -> Evidence:
        return True  # pyrefly: ignore[bad-return]

    @claims.add("large", "", expects="", presets={"paper"})
    def _(found: Findings, config: StudyConfig, rng: np.random.Generator) -> Evidence:
        raise AssertionError("it is not run")

    found = claims.test(Findings({"there": {}, "gone": Missing("gone", "it diverged")}), CONFIG)
    assert isinstance(found["good"], Evidence)
    assert found["few"] == NotTested("it needs 8 usable estimates; found 2 diverged")
    assert isinstance(found["broken"], Failed)
    assert found["broken"].error.startswith("KeyError: 'nothing'")
    assert found["missing"] == NotTested("gone is missing: it diverged")
    assert found["wrong"] == Failed("its test returned bool, not Evidence or NotTested")
    assert found["large"] == AT_PRESET
    (failed,) = [item for item in claims.judge({0: found}) if item.id == "broken"]
    assert failed.status == "failed"
    assert failed.note.startswith("failed: KeyError")


def test_random_numbers_of_a_claim_do_not_depend_on_other_claims() -> None:
    def drawing(*names: str) -> dict[str, Finding]:
        claims = Claims()
        for name in names:
            claims.add(name, "", expects="")(lambda found, config, rng: Evidence(rng.random(), True))
        return claims.test(Findings({}), CONFIG)

    both, alone = drawing("a", "b"), drawing("b")
    assert both["b"] == alone["b"] != both["a"]
    other = Claims()
    other.add("b", "", expects="")(lambda found, config, rng: Evidence(rng.random(), True))
    assert other.test(Findings({}), CONFIG.model_copy(update={"seed": 1}))["b"] != alone["b"]


def test_an_id_stands_once() -> None:
    with pytest.raises(og.InvalidArgument, match="twice"):
        claimed("a", "a")
