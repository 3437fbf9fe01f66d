"""How deep a refusal is: steps of fine-tuning that undo it, and what predicts them."""

from ontogeny.studies.reversibility.config import PRESETS
from ontogeny.studies.reversibility.evidence import claims
from ontogeny.studies.reversibility.panels import panels
from ontogeny.studies.reversibility.recipe import run
from ontogeny.studies.study import Study

STUDY = Study(
    "reversibility",
    title="How soon a refusal is undone",
    shows="Refusal installed by five procedures, among them retraining from scratch, and undone by fine-tuning; "
    "whether coefficients predict the steps that it takes, beyond distance, linear mode connectivity and logit gap.",
    presets=PRESETS,
    run=run,
    claims=claims,
    panels=panels,
)
