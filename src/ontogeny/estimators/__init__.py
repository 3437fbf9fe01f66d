"""Pure functions from draws to estimates, and their diagnostics."""

from ontogeny.estimators.coefficient import Estimate as Estimate
from ontogeny.estimators.coefficient import llc as llc
from ontogeny.estimators.coefficient import load as load
from ontogeny.estimators.diagnostics import Diagnostics as Diagnostics
