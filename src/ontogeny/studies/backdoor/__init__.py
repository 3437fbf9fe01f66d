"""Backdoors, harmless rare rules and their twins: what single inputs and whole networks give away."""

from ontogeny.studies.backdoor.config import PRESETS
from ontogeny.studies.backdoor.evidence import claims
from ontogeny.studies.backdoor.panels import panels
from ontogeny.studies.backdoor.recipe import run
from ontogeny.studies.study import Study

STUDY = Study(
    "backdoor",
    title="Backdoors and harmless rare rules",
    shows="Whether losses over the posterior of trusted data give away inputs with a trigger, and networks with a "
    "backdoor, beyond weight noise and cheap scores; with harmless rare rules, and backdoors hidden from activations.",
    presets=PRESETS,
    run=run,
    claims=claims,
    panels=panels,
)
