"""A small transformer on real text: bigrams, n-grams, previous-token heads, induction, and the stages of its LLC."""

from ontogeny.studies.language import circuit_evidence as circuit_evidence  # adds its claims
from ontogeny.studies.language import multigram_evidence as multigram_evidence  # adds its claims
from ontogeny.studies.language import planted_evidence as planted_evidence  # adds its claims
from ontogeny.studies.language import refined_evidence as refined_evidence  # adds its claims
from ontogeny.studies.language.config import PRESETS
from ontogeny.studies.language.evidence import claims
from ontogeny.studies.language.panels import panels
from ontogeny.studies.language.recipe import run
from ontogeny.studies.study import Study

STUDY = Study(
    "language",
    title="How a small language model develops",
    shows="A two-layer transformer on real text passes through bigrams, n-grams, previous-token heads and induction; "
    "its LLC stages are held against these changes, with a one-layer control.",
    presets=PRESETS,
    run=run,
    claims=claims,
    panels=panels,
)
