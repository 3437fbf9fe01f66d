"""The language study at its smallest, with a sampler that diverges: what needs no coefficient still stands."""

import pytest

import ontogeny as og
from ontogeny.execution import Serial
from ontogeny.stores import read_tree
from ontogeny.studies import rewrite_report
from ontogeny.studies.artefacts import place

DIVERGING = '{kernel = {name = "SGLD", step_size = 10.0}, num_chains = 2, num_draws = 4, num_warmup = 2}'
SMALL = {
    "text.max_bytes": 200_000,
    "text.context_length": 16,
    "architecture.d_model": 16,
    "architecture.num_heads": 2,
    "training.num_steps": 60,
    "training.checkpoints_log": 6,
    "first_measured": 2,
    "training.checkpoints_linear": 0,
    "control_training.num_steps": 10,
    "posterior.batch_size": 4,
    "sampler": DIVERGING,
    "circuit_checkpoints": 2,
    "refinement.sampler": DIVERGING,
    "refinement.components": ("L0H0",),
    "refinement.checkpoints": 2,
    "refinement.first_measured": 10,
    "probes.held_out_sequences": 16,
    "probes.ngram_sequences": 8,
    "probes.repeat_sequences": 8,
    "thresholds.bootstrap": 20,
    "tested": ("bigram-to-trigram", "stages", "rise-and-fall", "relative"),
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> og.Run:
    out = tmp_path_factory.mktemp("language") / "run"
    return og.study("language", "quick", out, settings=SMALL, executor=Serial())


def test_a_sampler_that_diverges_costs_its_own_claims_alone(finished: og.Run) -> None:
    outcomes = read_tree(place(finished.directory / "seed-0", "trajectory")).to_dataset()["llc_outcome"]
    assert (outcomes == "diverged").all()
    assert outcomes["step"].values[0] >= 2
    assert read_tree(place(finished.directory / "seed-0", "refined")).to_dataset()["step"].values[0] >= 10
    claims = {claim["id"]: claim for claim in finished.claims}
    assert claims["bigram-to-trigram"]["measured"] is not None
    for name in ("stages", "rise-and-fall", "relative", "one-layer-control"):
        assert claims[name]["status"] == "not tested"
    assert "diverged" in claims["stages"]["note"]
    assert claims["relative"]["note"] == "not tested: relative was not made"
    assert claims["one-layer-control"]["note"] == "not tested: this preset is too small to show it"
    page = finished.report.read_text(encoding="utf-8")
    assert "Stages were not looked for" in page
    assert 'id="circuits"' in page
    circuits = read_tree(place(finished.directory / "seed-0", "circuits")).to_dataset()
    assert circuits["composition"].sel(sender="L0H0", receiver="L1H1").notnull().all()
    assert circuits["repeat_rise"].sizes == {"step": 2, "head": 4}
    assert 'id="claim-bigram-to-trigram"' in page


def test_the_report_is_written_again_from_what_is_stored(finished: og.Run) -> None:
    before = finished.report.read_text(encoding="utf-8")
    assert rewrite_report(finished.directory) == finished.report
    assert finished.report.read_text(encoding="utf-8") == before
