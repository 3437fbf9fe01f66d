"""What names of checkpoints say, one row for each form of the published suites."""

import pytest

from ontogeny.stores.revisions import COMMITS, PATHS, REVISIONS, Label, label_of, tokens_a_step

BILLION = 10**9
ROWS = [
    ("step0", Label("", "", 0)),  # Pythia
    ("step512", Label("", "", 512)),  # PolyPythias
    ("step143000", Label("", "", 143_000)),
    ("step1000-tokens4B", Label("", "", 1000, 4 * BILLION)),  # OLMo, early branches of OLMo 2
    ("stage1-step928646-tokens3896B", Label("stage1", "", 928_646, 3896 * BILLION)),  # OLMo 2
    ("stage2-ingredient1-step11931-tokens50B", Label("stage2", "ingredient1", 11_931, 50 * BILLION)),
    ("stage2-ingredient3-step11931-tokens100B", Label("stage2", "ingredient3", 11_931, 100 * BILLION)),  # 13B
    ("stage1-step1413814", Label("stage1", "", 1_413_814)),  # OLMo 3
    ("stage3-step2000", Label("stage3", "", 2000)),
    ("stage2-ingredient2-step4000", Label("stage2", "ingredient2", 4000)),  # 32B
    ("step-125000", Label("", "", 125_000)),  # SmolLM2
    ("stage1-step-40000", Label("stage1", "", 40_000)),  # SmolLM3
    ("lc-4k-to-32k-step-4000", Label("lc-4k-to-32k", "", 4000)),
    ("step-001000-2BT", Label("", "", 1000, 2 * BILLION)),  # FineWeb ablations
    ("checkpoint-400000", Label("", "", 400_000)),  # stanford-crfm
    ("main", None),
    ("v1.0", None),
    ("step1000-final", None),
    ("refs/convert/parquet", None),
]


@pytest.mark.parametrize(("name", "expected"), ROWS, ids=[name for name, _ in ROWS])
def test_revisions(name: str, expected: Label | None) -> None:
    assert label_of(name) == expected


def test_every_form_is_met_by_a_row() -> None:
    first = {next(form for form in REVISIONS if form.name.fullmatch(name)).suite for name, label in ROWS if label}
    assert first == {form.suite for form in REVISIONS}


def test_commits() -> None:
    assert label_of("Saving HF Model -- Step 1000", COMMITS) == Label("", "", 1000)  # Pico
    assert label_of("Training in progress, step 500", COMMITS) == Label("", "", 500)  # Trainer
    assert label_of("step 20", COMMITS) == Label("", "", 20)
    assert label_of("Saving Learning Dynamics Data (train) -- Step 1000", COMMITS) is None
    assert label_of("Update README.md", COMMITS) is None


def test_paths() -> None:
    assert label_of("checkpoint-500", PATHS) == Label("", "", 500)  # TRL, Trainer
    assert label_of("checkpoints/solu-2l_123.pth", PATHS) == Label("solu-2l", "", 123)
    # labels above a billion are tokens
    assert label_of("checkpoints/solu-2l_22000000000.pth", PATHS) == Label("solu-2l", "", 22 * BILLION, 22 * BILLION)


def test_tokens_are_stated_only_for_suites_that_state_them() -> None:
    assert tokens_a_step("EleutherAI/pythia-1.4b-deduped") == 2_097_152
    assert tokens_a_step("HuggingFaceTB/SmolLM3-3B-checkpoints") == 2_359_296
    assert tokens_a_step("EleutherAI/pythia-160m-seed1") is None
    assert tokens_a_step("allenai/Olmo-3-1025-7B") is None
