"""The toy model of superposition: critical points with exact losses and coefficients, paths of training between them,
and the phases of the posterior as n grows.
"""

from ontogeny.studies.study import Study
from ontogeny.studies.superposition_phases.config import PRESETS
from ontogeny.studies.superposition_phases.evidence import claims
from ontogeny.studies.superposition_phases.panels import panels
from ontogeny.studies.superposition_phases.recipe import run

STUDY = Study(
    "superposition-phases",
    title="Phases of the toy model of superposition",
    shows="Six features in two dimensions settle into polygons with known losses and coefficients; training steps from "
    "one to another, and the posterior turns from five corners to six as n grows.",
    presets=PRESETS,
    run=run,
    claims=claims,
    panels=panels,
)
