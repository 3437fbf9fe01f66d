"""Superposition on finite data: data points are features of small datasets, and features of large ones."""

from ontogeny.studies.memorisation.config import PRESETS
from ontogeny.studies.memorisation.evidence import claims
from ontogeny.studies.memorisation.panels import panels
from ontogeny.studies.memorisation.recipe import run
from ontogeny.studies.study import Study

STUDY = Study(
    "memorisation",
    title="Superposition, memorisation and double descent",
    shows="Networks on few data points store the points and on many the features; between both the test loss rises, "
    "unless weights decay strongly; LLC over the size of the data.",
    presets=PRESETS,
    run=run,
    claims=claims,
    panels=panels,
)
