"""Two sets of weights of one network held against each other: what a fine-tuning changed, and where."""

from ontogeny.comparison.compared import compare
from ontogeny.comparison.config import CompareConfig
from ontogeny.comparison.found import Comparison
from ontogeny.comparison.roles import ChangeClass, Roles

__all__ = ["ChangeClass", "CompareConfig", "Comparison", "Roles", "compare"]
