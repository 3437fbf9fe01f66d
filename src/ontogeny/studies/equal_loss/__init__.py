"""Networks of equal training loss and different algorithm, and which instrument tells them apart."""

from ontogeny.studies.equal_loss.config import PRESETS
from ontogeny.studies.equal_loss.evidence import claims
from ontogeny.studies.equal_loss.panels import panels
from ontogeny.studies.equal_loss.recipe import run
from ontogeny.studies.study import Study

STUDY = Study(
    "equal-loss",
    title="Equal loss, different algorithm",
    shows="Pairs of networks have the same training loss and compute differently: one adds and one remembers, one "
    "counts brackets and one nests them. Which instrument tells them apart on training data alone, and how often it "
    "raises a false alarm between networks of one algorithm.",
    presets=PRESETS,
    run=run,
    claims=claims,
    panels=panels,
)
