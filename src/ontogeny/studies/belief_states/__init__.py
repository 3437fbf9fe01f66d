"""Networks trained on processes whose beliefs are known: when, where and how well they come to hold them."""

from ontogeny.studies.belief_states.config import BeliefConfig as BeliefConfig
from ontogeny.studies.belief_states.config import preset as preset
from ontogeny.studies.belief_states.recipe import analyse as analyse
from ontogeny.studies.belief_states.recipe import report as report
from ontogeny.studies.belief_states.recipe import run as run
