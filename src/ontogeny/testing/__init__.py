"""Public: targets with known answers, to hold samplers and estimators against."""

from ontogeny.testing.cases import CASES as CASES
from ontogeny.testing.cases import Case as Case
from ontogeny.testing.induction import InductionTransformer as InductionTransformer
from ontogeny.testing.linear_networks import DeepLinear as DeepLinear
from ontogeny.testing.superposition import Superposition as Superposition
from ontogeny.testing.targets import Gaussian as Gaussian
from ontogeny.testing.targets import NormalCrossing as NormalCrossing
from ontogeny.testing.targets import Point as Point
