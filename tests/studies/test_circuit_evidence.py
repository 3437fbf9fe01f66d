"""Evidence for the language study's claims about circuits, on curves that are made to meet them, and not to."""

import numpy as np
import pytest
import xarray as xr
from tests.studies.test_evidence import STEPS, control, rise, trajectory

from ontogeny.studies.evidence import Evidence, Finding, NotTested
from ontogeny.studies.findings import Findings
from ontogeny.studies.language import STUDY
from ontogeny.studies.language.config import LanguageConfig, Thresholds
from ontogeny.studies.language.evidence import claims

TESTED = ("smeared-keys", "change-together", "composition-with-induction", "induction-ablated")
READ = STEPS[::2]
HEADS = ("L0H0", "L0H1", "L1H0", "L1H1")
PREVIOUS, INDUCTION = "L0H1", "L1H0"


def circuits(composed_at: float = 1200, copying_at: float = 1500, worth: float = 1.0, pair: float = 3.0) -> xr.Dataset:
    between = np.ones((len(READ), 3, 4, 4))
    between[:, :, :, :2] = np.nan
    between[:, :, 2:] = np.nan
    between[:, :, 0, 2:] += 0.2 * rise(300)[::2, None, None]
    found = xr.Dataset(
        {
            "composition": (("step", "input", "sender", "receiver"), between),
            "copying_eigenvalues": (("step", "head"), np.zeros((len(READ), 4))),
            "repeat_rise": (("step", "head"), np.full((len(READ), 4), 0.05)),
        },
        {"step": READ, "input": list("QKV"), "sender": list(HEADS), "receiver": list(HEADS), "head": list(HEADS)},
    )
    at = {"input": "K", "sender": PREVIOUS, "receiver": INDUCTION}
    found["composition"].loc[at] = 1 + pair * rise(composed_at)[::2]
    found["copying_eigenvalues"].loc[{"head": INDUCTION}] = 0.8 * rise(copying_at)[::2]
    found["repeat_rise"].loc[{"head": INDUCTION}] = worth * rise(1500)[::2]
    return found


@pytest.fixture
def config() -> LanguageConfig:
    return STUDY.config("standard").model_copy(update={"thresholds": Thresholds(bootstrap=200), "tested": TESTED})


def says(
    config: LanguageConfig, read: xr.Dataset | None = None, smeared: float = 0.3, plain: float = 0.02
) -> dict[str, Finding]:
    found = Findings(
        {
            "trajectory": trajectory(),
            "control-curves": control(plain),
            "smeared-curves": control(smeared),
            "circuits": circuits() if read is None else read,
        }
    )
    return claims.test(found, config)


def of(finding: Finding) -> Evidence:
    assert isinstance(finding, Evidence)
    return finding


@pytest.mark.parametrize("name", TESTED)
def test_curves_made_to_meet_a_claim_meet_it(name: str, config: LanguageConfig) -> None:
    found = of(says(config)[name])
    assert found.met
    assert found.null is not None
    few_pairs = {"composition-with-induction": 1 / 4, "induction-ablated": 1 / 2}  # of four heads
    assert found.null.p_value <= few_pairs.get(name, 0.02) + 0.03


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("change-together", {"copying_at": 200}),
        ("composition-with-induction", {"composed_at": 3900}),
        ("composition-with-induction", {"pair": -0.5}),
        ("induction-ablated", {"worth": 0.1}),
    ],
)
def test_curves_made_not_to_meet_it_do_not(name: str, changes: dict[str, float], config: LanguageConfig) -> None:
    assert not of(says(config, circuits(**changes))[name]).met


def test_smeared_keys_must_make_the_difference(config: LanguageConfig) -> None:
    without, both = (
        of(says(config, smeared=smear, plain=plain)["smeared-keys"]) for smear, plain in [(0.02, 0.02), (0.3, 0.3)]
    )
    assert not without.met
    assert not both.met
    assert without.null is not None
    assert without.null.p_value > 0.5


def test_a_pair_that_cannot_compose_is_not_tested(config: LanguageConfig) -> None:
    read = circuits()
    read["composition"].loc[{"sender": PREVIOUS}] = np.nan
    assert isinstance(says(config, read)["composition-with-induction"], NotTested)
