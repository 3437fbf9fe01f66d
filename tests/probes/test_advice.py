"""What errors of this room say to write instead."""

import numpy as np
from tests.advice import Mistake, follow, mistakes

from ontogeny.probes import ProbeConfig, fit_probe

FEW = ProbeConfig(num_permutations=19)
x = np.random.default_rng(0).standard_normal((60, 3))

# fmt: off
MISTAKES = (
    ("probes/contexts.py:Contexts.value_of", "fit_probe(x, {'slope': x[:, :1]}, np.arange(60) // 2, config=FEW)",
     "slope", "groups that tell apart all contexts", "fit_probe(x, {'slope': x[:, :1]}, np.arange(60), config=FEW)"),
)
# fmt: on


@mistakes(*MISTAKES)
def test_advice(mistake: Mistake) -> None:
    follow(mistake, globals())
