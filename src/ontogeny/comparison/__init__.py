"""Two sets of weights of one network held against each other: what a fine-tuning changed, and where."""

from ontogeny.comparison.compared import Comparison, compare
from ontogeny.comparison.config import CompareConfig

__all__ = ["CompareConfig", "Comparison", "compare"]
