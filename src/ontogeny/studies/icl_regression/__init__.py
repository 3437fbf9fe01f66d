"""In-context linear regression: task prior, in-context learning, the transient ridge, and which phase is preferred."""

from ontogeny.studies.icl_regression.config import PRESETS
from ontogeny.studies.icl_regression.evidence import claims
from ontogeny.studies.icl_regression.panels import panels
from ontogeny.studies.icl_regression.recipe import run
from ontogeny.studies.study import Study

STUDY = Study(
    "icl-regression",
    title="In-context linear regression between ridge and dMMSE",
    shows="Transformers that learn regression tasks in context are like ridge for a time before they know their tasks; "
    "their paths, complexities and the posterior's choice between both are held against each other.",
    presets=PRESETS,
    run=run,
    claims=claims,
    panels=panels,
)
