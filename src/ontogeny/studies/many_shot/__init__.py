"""A suppressed language that re-emerges along the context, against the exact mixture with a shifted prior."""

from ontogeny.studies.many_shot import position_evidence as position_evidence  # adds its claims
from ontogeny.studies.many_shot.config import PRESETS
from ontogeny.studies.many_shot.evidence import claims
from ontogeny.studies.many_shot.panels import panels
from ontogeny.studies.many_shot.recipe import run
from ontogeny.studies.study import Study

STUDY = Study(
    "many-shot",
    title="Many-shot learning of a suppressed language",
    shows="A network on a mixture of languages, one of which fine-tuning suppresses: whether its log-odds along the "
    "context are those of a shifted prior, which law its losses follow, and where the coefficient by position changes.",
    presets=PRESETS,
    run=run,
    claims=claims,
    panels=panels,
)
