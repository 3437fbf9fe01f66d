"""The study call: overrides, presets, and folders that belong to one config."""

from pathlib import Path
from typing import get_args

import pytest

from ontogeny.core.errors import InvalidArgument
from ontogeny.sampling import SGLD, Fixed
from ontogeny.studies import STUDIES, override, read_claims, study
from ontogeny.studies.language import preset
from ontogeny.studies.language.config import Preset


@pytest.mark.parametrize("name", get_args(Preset))
def test_every_preset_is_a_config_and_is_listed(name: Preset) -> None:
    assert preset(name).preset == name
    assert name in STUDIES["language"].presets


def test_the_paper_preset_has_the_published_size() -> None:
    from ontogeny.core.seeds import generator
    from ontogeny.models import Transformer

    config = preset("paper")
    model = Transformer(config.architecture.with_text(config.text), generator(0))
    assert sum(p.numel() for p in model.parameters()) == pytest.approx(3.3e6, rel=0.05)


def test_overrides_by_dotted_name() -> None:
    config = override(preset("quick"), {"training.num_steps": "500", "probes.early": "[0.1, 0.2]", "seed": 3})
    assert (config.training.num_steps, config.probes.early, config.seed) == (500, (0.1, 0.2), 3)


def test_a_sampler_is_set_as_a_whole_or_by_its_settings() -> None:
    fixed = '{kernel = {name = "SGLD", step_size = 1e-5}, num_draws = 20}'
    config = override(preset("quick"), {"sampler": fixed, "posterior.nbeta": "none", "refinement": "none"})
    assert config.sampler == Fixed(kernel=SGLD(1e-5), num_draws=20)
    assert config.posterior.nbeta is None
    assert config.refinement is None
    assert override(preset("quick"), {"sampler.error": "0.1"}).sampler.model_dump()["error"] == 0.1
    assert type(config).model_validate_json(config.model_dump_json()) == config


@pytest.mark.parametrize("name", ["training.steps", "nothing", "training.num_steps.more"])
def test_an_unknown_setting_is_refused(name: str) -> None:
    with pytest.raises(InvalidArgument, match="settings"):
        override(preset("quick"), {name: "1"})


def test_a_bad_value_is_refused() -> None:
    with pytest.raises(InvalidArgument, match=r"training\.num_steps"):
        override(preset("quick"), {"training.num_steps": "many"})


def test_unknown_study_and_preset(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="language"):
        study("grokking", out=tmp_path)
    with pytest.raises(InvalidArgument, match="quick"):
        study("language", "fast", out=tmp_path)


def test_a_folder_belongs_to_one_config(tmp_path: Path) -> None:
    (tmp_path / "study.json").write_text('{"study": "language", "seeds": 1, "config": {}}')
    with pytest.raises(InvalidArgument, match="out"):
        study("language", "quick", out=tmp_path)


def test_claims_of_a_folder_without_a_study(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="finished study"):
        read_claims(tmp_path)
