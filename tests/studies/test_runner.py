"""A study over seeds: each in its folder, pooled wherever it was made, and reported whatever failed."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

import ontogeny as og
from ontogeny.execution import Serial, Shard
from ontogeny.stores import locked
from ontogeny.studies import StudyConfig, pool, read_claims, rewrite_report
from ontogeny.studies.study import find_study

TOY = Path(__file__).with_name("toy.py")
STUDY = find_study(TOY)
Config = type(STUDY.config())


def study(out: Path, **options: Any) -> og.Run:
    return og.study(STUDY, "quick", out, executor=Serial(), **options)


def status(run: og.Run) -> dict[str, str]:
    return {claim["id"]: claim["status"] for claim in run.claims}


def made(folder: Path) -> dict[str, int]:
    kept = [path for path in folder.glob("seed-*/*") if path.is_dir()]
    return {
        str(path): (path / "manifest.json").stat().st_mtime_ns for path in kept if (path / "manifest.json").exists()
    }


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> og.Run:
    return study(tmp_path_factory.mktemp("toy") / "run")


def test_a_seed_has_its_folder_and_the_study_its_report(finished: og.Run) -> None:
    assert finished.report == finished.directory / "report.html"
    assert finished.failures == []
    assert status(finished) == {
        "falls": "held",
        "exact": "held",
        "staged": "not tested",
        "silent": "not tested",
        "large": "not tested",
    }
    claims = {claim["id"]: claim for claim in finished.claims}
    assert claims["exact"]["p_value"] is None
    assert claims["falls"]["interval_of"] == "95 % within the seed"
    assert claims["falls"]["p_adjusted"] == claims["falls"]["p_value"]  # the only claim with a null
    assert "it needs 8 usable estimates; found 9 losses" in claims["staged"]["note"]
    seed = finished.directory / "seed-0"
    assert {path.name for path in seed.iterdir()} >= {"network", "trajectory.zarr", "ends.zarr", "report.html"}
    assert read_claims(seed) == finished.claims == read_claims(finished.directory)
    page = finished.report.read_text(encoding="utf-8")
    for words in ('id="ends"', "Stages were not looked for: it needs 8 usable estimates", 'id="claim-falls"'):
        assert words in page, words


def test_growing_from_one_seed_to_three_recomputes_nothing(finished: og.Run, tmp_path: Path) -> None:
    out = tmp_path / "run"
    shutil.copytree(finished.directory, out)
    before = made(out)
    assert before
    grown = study(out, seeds=3)
    assert before.items() <= made(out).items()
    falls = next(claim for claim in grown.claims if claim["id"] == "falls")
    values = [seed["measured"] for seed in falls["seeds"]]
    assert len(set(values)) == 3
    assert falls["note"].startswith("3 of 3 seeds meet it; seeds: ")
    assert falls["interval_of"] == "95 % over 3 seeds (t)"
    assert all("p_value" in seed for seed in falls["seeds"])
    assert 'id="by-seed"' in grown.report.read_text(encoding="utf-8")
    again = study(out, seeds=1)  # one more look is over all that is there
    assert again.claims == grown.claims
    assert made(out) == made(out) | before


def test_seeds_of_two_machines_are_those_of_one(finished: og.Run, tmp_path: Path) -> None:
    here = study(tmp_path / "here", seeds=2)
    study(tmp_path / "there", settings={"seed": 1})
    (pooled,) = pool([finished.directory, tmp_path / "there"])
    assert json.loads(json.dumps([claim.record() for claim in pooled.claims])) == here.claims
    assert pooled.title == "toy · quick · seeds 0, 1"
    for number in (2, 1):
        sharded = og.study(STUDY, "quick", tmp_path / "shards", seeds=2, executor=Shard(number, 2, Serial()))
    assert sharded.claims == here.claims
    (single,) = pool([tmp_path / "there" / "seed-1"])
    assert single.title == "toy · quick · seed 1"
    shutil.copytree(tmp_path / "there" / "seed-1", tmp_path / "copied" / "seed-1")
    shutil.copytree(finished.directory / "seed-0", tmp_path / "copied" / "seed-0")
    assert rewrite_report(tmp_path / "copied") == tmp_path / "copied" / "report.html"
    assert read_claims(tmp_path / "copied") == here.claims


def test_seeds_of_other_configs_are_not_pooled(finished: og.Run, tmp_path: Path) -> None:
    study(tmp_path / "other", settings={"seed": 1, "offset": 1})
    assert [group.title for group in pool([finished.directory, tmp_path / "other"])] == [
        "toy · quick · seed 0",
        "toy · quick · seed 1",
    ]
    with pytest.raises(og.InvalidArgument, match="each seed once"):
        pool([finished.directory, finished.directory / "seed-0"])


def test_a_folder_belongs_to_one_config_unless_it_shall_be_made_anew(finished: og.Run, tmp_path: Path) -> None:
    out = tmp_path / "run"
    shutil.copytree(finished.directory, out)
    before = made(out)
    with pytest.raises(og.InvalidArgument, match="--remake"):
        study(out, settings={"offset": 1})
    assert made(out) == before
    changed = study(out, settings={"offset": 1}, remake=True)
    after = made(out)
    assert {Path(name).name for name in after if after[name] != before.get(name)} == {"ends.zarr", "both.zarr"}
    assert changed.claims[0]["measured"] == pytest.approx(finished.claims[0]["measured"] - 1)


def test_a_seed_is_made_by_one_process_at_a_time(finished: og.Run, tmp_path: Path) -> None:
    out = tmp_path / "run"
    shutil.copytree(finished.directory, out)
    before = {path: path.read_bytes() for path in out.rglob("*.json")}
    with locked(out / "seed-0"):
        with pytest.raises(og.InvalidArgument, match=r"seed-0, in use by process \d+ on "):
            study(out, settings={"offset": 1}, remake=True)
        assert {path: path.read_bytes() for path in out.rglob("*.json")} == before
        assert study(out, settings={"seed": 1}).failures == []  # another seed may be made beside it
    assert study(out).claims != finished.claims


def test_a_step_that_fails_costs_what_needs_it(tmp_path: Path) -> None:
    run = study(tmp_path, settings={"broken": ("ends",)})
    assert run.failures == ["seed 0, ends: ZeroDivisionError: as it was told to"]
    claims = {claim["id"]: claim for claim in run.claims}
    assert claims["exact"]["note"] == (
        "not tested: both is missing: ends is missing: ZeroDivisionError: as it was told to"
    )
    page = run.report.read_text(encoding="utf-8")
    for words in ("1 step failed", "as it was told to", 'id="loss-llc"', "The rest could not be drawn"):
        assert words in page, words


def test_a_training_that_diverged_is_told_by_the_report_and_every_tested_claim(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="Training diverged"):
        run = study(tmp_path, settings={"training.learning_rate": 1e30})
    assert run.failures == []
    (told,) = run.divergences
    assert told.startswith("seed 0, network: Training diverged: the loss is ")
    assert "Lower learning_rate (now 1e+30)" in told
    claims = {claim["id"]: claim for claim in run.claims}
    assert claims["exact"]["caution"] == told
    assert claims["silent"]["caution"] == ""
    page = run.report.read_text(encoding="utf-8")
    for words in ("1 training diverged", "network of seed 0", "diverged at step ", "Lower learning_rate (now 1e+30)"):
        assert words in page, words
    assert page.count(told) >= sum(claim["status"] not in ("not tested",) for claim in run.claims)
    assert rewrite_report(run.directory).read_text(encoding="utf-8") == page


def test_a_study_that_fails_is_reported_as_far_as_it_came(tmp_path: Path) -> None:
    run = study(tmp_path, settings={"broken": ("run",)})
    assert run.failures == ["seed 0, the study: ZeroDivisionError: outside of any step"]
    assert status(run)["falls"] == "held"
    assert "outside of any step" in run.report.read_text(encoding="utf-8")


def test_a_study_that_made_nothing_raises(tmp_path: Path) -> None:
    with pytest.raises(og.InvalidArgument, match="at least batch_size=8"):
        study(tmp_path, settings={"count": 4})


def test_a_test_that_raises_is_told_and_costs_its_own_claim(tmp_path: Path) -> None:
    run = study(tmp_path, settings={"broken": ("test",), "tested": ("falls", "large")})
    assert status(run) == {
        "falls": "held",
        "exact": "not tested",
        "staged": "not tested",
        "silent": "not tested",
        "large": "failed",
    }
    assert run.claims[-1]["note"].startswith("failed: ZeroDivisionError: division by zero (_, line ")
    assert 'id="claim-large"' in run.report.read_text(encoding="utf-8")


def test_settings_come_from_preset_then_file_then_flags(tmp_path: Path) -> None:
    (tmp_path / "study.toml").write_text('preset = "large"\noffset = 1.0\n[training]\nnum_steps = 12\n')
    run = og.study(
        STUDY, out=tmp_path / "run", config=tmp_path / "study.toml", settings={"offset": "2"}, executor=Serial()
    )
    stored = json.loads((run.directory / "seed-0" / "study.json").read_text())["config"]
    assert (stored["preset"], stored["count"], stored["offset"]) == ("large", 128, 2.0)
    assert stored["training"] == Config().training.model_copy(update={"num_steps": 12}).model_dump(mode="json")
    assert status(run)["large"] == "held"
    assert "--preset large --set &#34;offset=2.0&#34;" in run.report.read_text(encoding="utf-8").replace(
        "&quot;", "&#34;"
    )


def test_a_whole_config_is_a_config(tmp_path: Path) -> None:
    run = og.study(STUDY, out=tmp_path, config=Config(preset="quick", count=32), executor=Serial())
    assert json.loads((run.directory / "seed-0" / "study.json").read_text())["config"]["count"] == 32
    assert isinstance(STUDY.config("large"), StudyConfig)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"name": "induction"}, "language"),
        ({"preset": "slow"}, "'quick' or 'large'"),
        ({"settings": {"nothing": 1}}, "a name in the config"),
        ({"config": "nowhere.toml"}, "a TOML file"),
        ({"config": {"nothing": 1}}, "a name in the config"),
        ({"name": "nowhere.py"}, "does not exist"),
    ],
)
def test_wrong_use_is_refused_before_anything_is_made(options: dict[str, Any], told: str, tmp_path: Path) -> None:
    given: dict[str, Any] = {"name": STUDY, "out": tmp_path / "run"} | options
    with pytest.raises(og.InvalidArgument, match=told):
        og.study(**given)
    assert not (tmp_path / "run").exists()


def test_a_study_is_found_by_its_file(tmp_path: Path) -> None:
    shutil.copy(TOY, tmp_path / "my_toy.py")
    run = og.study(tmp_path / "my_toy.py", out=tmp_path / "run", executor=Serial())
    assert status(run)["falls"] == "held"
    assert rewrite_report(run.directory) == run.report
