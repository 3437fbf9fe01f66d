"""Sparse parities learned one by one: the coefficient against the number of tasks that a network has learned."""

from ontogeny.studies.parity.config import PRESETS
from ontogeny.studies.parity.evidence import claims
from ontogeny.studies.parity.panels import panels
from ontogeny.studies.parity.recipe import run
from ontogeny.studies.study import Study

STUDY = Study(
    "parity",
    title="Sparse parities, learned one by one",
    shows="Networks learn sparse parities in the order of their frequency; whether the coefficient counts them, along "
    "training and over networks, beyond what the loss says; and what answers to each task's data.",
    presets=PRESETS,
    run=run,
    claims=claims,
    panels=panels,
)
