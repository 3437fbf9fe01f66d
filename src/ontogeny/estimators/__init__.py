"""Pure functions from draws to estimates, and their diagnostics."""

from ontogeny.estimators.bayesian_influence import influence as influence
from ontogeny.estimators.bayesian_influence import loss_kernel as loss_kernel
from ontogeny.estimators.coefficient import Estimate as Estimate
from ontogeny.estimators.coefficient import llc as llc
from ontogeny.estimators.coefficient import load as load
from ontogeny.estimators.cross_coefficients import cross_llc as cross_llc
from ontogeny.estimators.cross_coefficients import cross_llc_derivative as cross_llc_derivative
from ontogeny.estimators.diagnostics import Diagnostics as Diagnostics
from ontogeny.estimators.explained import unexplained as unexplained
from ontogeny.estimators.fluctuation import free_energy as free_energy
from ontogeny.estimators.fluctuation import functional_variance as functional_variance
from ontogeny.estimators.fluctuation import singular_fluctuation as singular_fluctuation
from ontogeny.estimators.fluctuation import waic as waic
from ontogeny.estimators.fluctuation import wbic as wbic
from ontogeny.estimators.responses import susceptibilities as susceptibilities
from ontogeny.estimators.responses import susceptibility as susceptibility
from ontogeny.estimators.sensitivity import localization_sensitivity as localization_sensitivity
from ontogeny.estimators.sensitivity import temperature_sensitivity as temperature_sensitivity
from ontogeny.estimators.temperature import Ladder as Ladder
from ontogeny.estimators.temperature import temperature_ladder as temperature_ladder
