"""ontogeny: developmental interpretability. How data shapes the structure inside a network while it trains.

Public names are loaded when they are first used, so that importing the package imports nothing else.
"""

import importlib
import warnings
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from ontogeny import execution as execution
    from ontogeny.comparison import CompareConfig as CompareConfig
    from ontogeny.comparison import compare as compare
    from ontogeny.core import losses as losses
    from ontogeny.core.errors import CorruptFile as CorruptFile
    from ontogeny.core.errors import EstimateNotTrusted as EstimateNotTrusted
    from ontogeny.core.errors import InvalidArgument as InvalidArgument
    from ontogeny.core.outcome import Outcome as Outcome
    from ontogeny.core.outcome import TrainingOutcome as TrainingOutcome
    from ontogeny.core.protocols import Task as Task
    from ontogeny.core.samples import Samples as Samples
    from ontogeny.development import joint_pca as joint_pca
    from ontogeny.development import signatures as signatures
    from ontogeny.development import stages as stages
    from ontogeny.estimators import Estimate as Estimate
    from ontogeny.estimators import cross_llc as cross_llc
    from ontogeny.estimators import cross_llc_derivative as cross_llc_derivative
    from ontogeny.estimators import influence as influence
    from ontogeny.estimators import llc as llc
    from ontogeny.estimators import load as load
    from ontogeny.estimators import loss_kernel as loss_kernel
    from ontogeny.estimators import susceptibilities as susceptibilities
    from ontogeny.estimators import susceptibility as susceptibility
    from ontogeny.measurement import MeasureMeanwhile as MeasureMeanwhile
    from ontogeny.measurement import anomaly as anomaly
    from ontogeny.measurement import measure as measure
    from ontogeny.measurement import write_report as write_report
    from ontogeny.models import components as components
    from ontogeny.models import heads as heads
    from ontogeny.models import restrict as restrict
    from ontogeny.sampling import HMC as HMC
    from ontogeny.sampling import MALA as MALA
    from ontogeny.sampling import MCLMC as MCLMC
    from ontogeny.sampling import SGHMC as SGHMC
    from ontogeny.sampling import SGLD as SGLD
    from ontogeny.sampling import SGNHT as SGNHT
    from ontogeny.sampling import Calibrated as Calibrated
    from ontogeny.sampling import Calibration as Calibration
    from ontogeny.sampling import Fixed as Fixed
    from ontogeny.sampling import Forecast as Forecast
    from ontogeny.sampling import LocalPosterior as LocalPosterior
    from ontogeny.sampling import PosteriorConfig as PosteriorConfig
    from ontogeny.sampling import PreconditionedSGLD as PreconditionedSGLD
    from ontogeny.sampling import RMSPropSGLD as RMSPropSGLD
    from ontogeny.sampling import calibrate as calibrate
    from ontogeny.sampling import estimate_llc as estimate_llc
    from ontogeny.sampling import forecast as forecast
    from ontogeny.sampling import sample as sample
    from ontogeny.sampling import weight_noise as weight_noise
    from ontogeny.stores import CheckpointSchedule as CheckpointSchedule
    from ontogeny.stores import Hub as Hub
    from ontogeny.stores import open_checkpoints as open_checkpoints
    from ontogeny.studies.runner import Run as Run
    from ontogeny.studies.runner import study as study
    from ontogeny.training import Stage as Stage
    from ontogeny.training import TrainingConfig as TrainingConfig
    from ontogeny.training import train as train
    from ontogeny.training import train_instances as train_instances

_HOMES = {
    "ontogeny.comparison": ("CompareConfig", "compare"),
    "ontogeny.core.errors": ("CorruptFile", "EstimateNotTrusted", "InvalidArgument"),
    "ontogeny.core.outcome": ("Outcome", "TrainingOutcome"),
    "ontogeny.core.protocols": ("Task",),
    "ontogeny.core.samples": ("Samples",),
    "ontogeny.development": ("joint_pca", "signatures", "stages"),
    "ontogeny.estimators": (
        "Estimate",
        "cross_llc",
        "cross_llc_derivative",
        "influence",
        "llc",
        "load",
        "loss_kernel",
        "susceptibilities",
        "susceptibility",
    ),
    "ontogeny.measurement": ("MeasureMeanwhile", "anomaly", "measure", "write_report"),
    "ontogeny.models": ("components", "heads", "restrict"),
    "ontogeny.sampling": (
        "Calibrated",
        "Calibration",
        "Fixed",
        "HMC",
        "LocalPosterior",
        "MALA",
        "MCLMC",
        "Forecast",
        "PosteriorConfig",
        "PreconditionedSGLD",
        "RMSPropSGLD",
        "SGHMC",
        "SGLD",
        "SGNHT",
        "calibrate",
        "estimate_llc",
        "forecast",
        "sample",
        "weight_noise",
    ),
    "ontogeny.stores": ("CheckpointSchedule", "Hub", "open_checkpoints"),
    "ontogeny.studies.runner": ("Run", "study"),
    "ontogeny.training": ("Stage", "TrainingConfig", "train", "train_instances"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

_MODULES = {"execution": "ontogeny.execution", "losses": "ontogeny.core.losses"}
_RENAMED = {"SamplerConfig": "Fixed"}

__all__ = [*sorted(_MODULES), *sorted(_HOME_OF)]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(_MODULES[name])
    if name in _RENAMED:
        warnings.warn(f"og.{name} is now og.{_RENAMED[name]}", DeprecationWarning, stacklevel=2)
        name = _RENAMED[name]
    if name not in _HOME_OF:
        raise AttributeError(f"module 'ontogeny' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
