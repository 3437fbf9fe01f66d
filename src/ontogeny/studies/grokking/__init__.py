"""Modular addition: networks memorise their pairs, later compute the sum, and coefficients are followed across."""

from ontogeny.studies.grokking.config import PRESETS
from ontogeny.studies.grokking.evidence import claims
from ontogeny.studies.grokking.panels import panels
from ontogeny.studies.grokking.recipe import run
from ontogeny.studies.study import Study

STUDY = Study(
    "grokking",
    title="Grokking modular addition",
    shows="Networks memorise pairs of modular addition long before they compute the sum; the coefficient along "
    "the way, against the modulus, against random labels, and beyond what loss and norm already say.",
    presets=PRESETS,
    run=run,
    claims=claims,
    panels=panels,
)
