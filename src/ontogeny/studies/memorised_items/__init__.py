"""Complexity in nats a memorised item: look-up tables with exact values, and exceptions beside a rule."""

from ontogeny.studies.memorised_items.config import PRESETS
from ontogeny.studies.memorised_items.evidence import claims
from ontogeny.studies.memorised_items.panels import panels
from ontogeny.studies.memorised_items.recipe import run
from ontogeny.studies.study import Study

STUDY = Study(
    "memorised-items",
    title="Nats a memorised item",
    shows="The coefficient of look-up tables is linear in their items at fixed nβ/N, with the exact slope; of networks "
    "that learn a rule with exceptions it grows with these, beside how far the weights can be compressed.",
    presets=PRESETS,
    run=run,
    claims=claims,
    panels=panels,
)
