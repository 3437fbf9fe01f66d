"""Deep linear networks from small weights: training goes from saddle to saddle, and each has a coefficient in closed
form.
"""

from ontogeny.studies.linear_networks import stagewise_evidence as stagewise_evidence  # adds its claims
from ontogeny.studies.linear_networks.config import PRESETS
from ontogeny.studies.linear_networks.evidence import claims
from ontogeny.studies.linear_networks.panels import panels
from ontogeny.studies.linear_networks.recipe import run
from ontogeny.studies.study import Study

STUDY = Study(
    "linear-networks",
    title="Deep linear networks from saddle to saddle",
    shows="Training from small weights learns one rank after the other; complexity at every plateau is held against "
    "Aoyagi's exact value, and at degenerate points against the local formula.",
    presets=PRESETS,
    run=run,
    claims=claims,
    panels=panels,
)
