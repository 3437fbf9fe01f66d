"""Public: targets with known answers, to hold samplers and estimators against."""

from ontogeny.testing.targets import Gaussian as Gaussian
from ontogeny.testing.targets import NormalCrossing as NormalCrossing
from ontogeny.testing.targets import Point as Point
