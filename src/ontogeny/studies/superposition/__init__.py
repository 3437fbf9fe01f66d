"""Features in superposition: the geometry that sparsity selects, and the phase diagram of two features."""

from ontogeny.studies.study import Study
from ontogeny.studies.superposition.config import PRESETS
from ontogeny.studies.superposition.evidence import claims
from ontogeny.studies.superposition.panels import panels
from ontogeny.studies.superposition.recipe import run

STUDY = Study(
    "superposition",
    title="Features in superposition",
    shows="As features become sparser, more of them share fewer dimensions, in the geometries that theory names; two "
    "features in one dimension are kept or given up where the exact losses say; LLC along training.",
    presets=PRESETS,
    run=run,
    claims=claims,
    panels=panels,
)
