"""Networks trained on processes whose beliefs are known: when, where and how well they come to hold them."""

from ontogeny.studies.belief_states.config import PRESETS
from ontogeny.studies.belief_states.evidence import claims
from ontogeny.studies.belief_states.panels import panels
from ontogeny.studies.belief_states.recipe import run
from ontogeny.studies.study import Study

STUDY = Study(
    "belief-states",
    title="Belief states in a small transformer",
    shows="A transformer and an LSTM on a hidden Markov process come to hold an observer's exact beliefs; read out "
    "at every layer along training, beside every rival explanation; `--set process.name=rrxor` for another one.",
    presets=PRESETS,
    run=run,
    claims=claims,
    panels=panels,
)
