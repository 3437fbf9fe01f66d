"""Measurements of a network, and along a training run: anomalies, and coefficients and behaviour at checkpoints."""

from ontogeny.measurement.anomalies import anomaly as anomaly
from ontogeny.measurement.behaviour import LanguageBehaviour as LanguageBehaviour
from ontogeny.measurement.choice import Choice as Choice
from ontogeny.measurement.choice import choose as choose
from ontogeny.measurement.head_circuits import HeadCircuits as HeadCircuits
from ontogeny.measurement.head_patterns import HeadPatterns as HeadPatterns
from ontogeny.measurement.jobs import Run as Run
from ontogeny.measurement.jobs import measure_cells as measure_cells
from ontogeny.measurement.made_loss import MadeLoss as MadeLoss
from ontogeny.measurement.meanwhile import MeasureMeanwhile as MeasureMeanwhile
from ontogeny.measurement.path_patterns import PathPatterns as PathPatterns
from ontogeny.measurement.protocol import Cell as Cell
from ontogeny.measurement.protocol import Measurement as Measurement
from ontogeny.measurement.quantities import LLC as LLC
from ontogeny.measurement.quantities import Behaviour as Behaviour
from ontogeny.measurement.quantities import Losses as Losses
from ontogeny.measurement.quantities import settings_in as settings_in
from ontogeny.measurement.record import JobState as JobState
from ontogeny.measurement.record import jobs_in as jobs_in
from ontogeny.measurement.record import working_in as working_in
from ontogeny.measurement.responses import Responses as Responses
from ontogeny.measurement.text_probes import TextProbes as TextProbes
from ontogeny.measurement.text_probes import language_behaviour as language_behaviour
from ontogeny.measurement.trajectory import choice_of as choice_of
from ontogeny.measurement.trajectory import measure as measure
from ontogeny.measurement.written import write_report as write_report
