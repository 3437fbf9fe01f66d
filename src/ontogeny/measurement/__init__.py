"""A training run measured at its checkpoints: coefficients and behaviour along `step`, resumably."""

from ontogeny.measurement.behaviour import LanguageBehaviour as LanguageBehaviour
from ontogeny.measurement.responses import measure_responses as measure_responses
from ontogeny.measurement.trajectory import SamplerConfig as SamplerConfig
from ontogeny.measurement.trajectory import forecast as forecast
from ontogeny.measurement.trajectory import measure as measure
from ontogeny.measurement.written import write_report as write_report
