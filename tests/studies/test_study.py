"""Studies by name, their presets, and overrides of their configs."""

from pathlib import Path

import pytest

import ontogeny as og
from ontogeny.core.errors import InvalidArgument
from ontogeny.sampling import SGLD, Fixed
from ontogeny.studies import all_studies, override, read_claims
from ontogeny.studies.study import MODULES, find_study

LANGUAGE = find_study("language")


def test_every_study_is_found_by_its_name_with_presets_that_know_theirs() -> None:
    assert [study.name.replace("-", "_") for study in all_studies()] == list(MODULES)
    for study in all_studies():
        assert find_study(study.name) is study
        assert {"quick", "standard"} <= study.presets.keys()
        for name, preset in study.presets.items():
            config = study.config(name)
            assert config.preset == name
            assert config.model_copy(update={"preset": ""}) == preset.config
            assert type(config).model_validate_json(config.model_dump_json()) == config
        assert study.config().preset == "standard"


def test_the_paper_preset_has_the_published_size() -> None:
    from ontogeny.core.seeds import generator
    from ontogeny.models import Transformer

    config = LANGUAGE.config("paper")
    model = Transformer(config.architecture.with_text(config.text), generator(0))
    assert sum(p.numel() for p in model.parameters()) == pytest.approx(3.3e6, rel=0.05)


def test_overrides_by_dotted_name() -> None:
    config = override(LANGUAGE.config("quick"), {"training.num_steps": "500", "probes.early": "[0.1, 0.2]", "seed": 3})
    assert (config.training.num_steps, config.probes.early, config.seed) == (500, (0.1, 0.2), 3)


def test_a_sampler_is_set_as_a_whole_or_by_its_settings() -> None:
    fixed = '{kernel = {name = "SGLD", step_size = 1e-5}, num_draws = 20}'
    config = override(LANGUAGE.config("quick"), {"sampler": fixed, "posterior.nbeta": "none", "refinement": "none"})
    assert config.sampler == Fixed(kernel=SGLD(1e-5), num_draws=20)
    assert config.posterior.nbeta is None
    assert config.refinement is None
    assert override(LANGUAGE.config("quick"), {"sampler.error": "0.1"}).sampler.model_dump()["error"] == 0.1
    assert type(config).model_validate_json(config.model_dump_json()) == config


@pytest.mark.parametrize("name", ["training.steps", "nothing", "training.num_steps.more"])
def test_an_unknown_setting_is_refused(name: str) -> None:
    with pytest.raises(InvalidArgument, match="settings"):
        override(LANGUAGE.config("quick"), {name: "1"})


def test_a_bad_value_is_refused() -> None:
    with pytest.raises(InvalidArgument, match=r"training\.num_steps"):
        override(LANGUAGE.config("quick"), {"training.num_steps": "many"})


def test_a_table_changes_what_it_names_and_another_kind_takes_its_place() -> None:
    tables = {"training": {"num_steps": 7}, "sampler": {"error": 0.2}, "refinement": {"sampler": {"num_draws": 9}}}
    before, config = LANGUAGE.config("quick"), override(LANGUAGE.config("quick"), tables)
    assert config.training == before.training.model_copy(update={"num_steps": 7})
    assert config.sampler == before.sampler.model_copy(update={"error": 0.2})
    assert config.refinement.sampler == Fixed(num_draws=9)
    with pytest.raises(InvalidArgument, match="training"):
        override(before, {"training": {"num_step": 7}})


def test_unknown_study_and_preset(tmp_path: Path) -> None:
    for name in ("induction", "belief_states"):
        with pytest.raises(InvalidArgument, match="belief-states"):
            og.study(name, out=tmp_path)
    with pytest.raises(InvalidArgument, match="quick"):
        og.study("language", "fast", out=tmp_path)


def test_a_folder_belongs_to_one_config(tmp_path: Path) -> None:
    (tmp_path / "study.json").write_text('{"study": "language", "seeds": 1, "config": {}}')
    with pytest.raises(InvalidArgument, match="out"):
        og.study("language", "quick", out=tmp_path)


def test_claims_of_a_folder_without_a_study(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="finished study"):
        read_claims(tmp_path)
