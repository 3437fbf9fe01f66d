"""Linear probes: targets read from activations, beside the rivals and controls that could explain what is read."""

from ontogeny.probes.config import ProbeConfig
from ontogeny.probes.contexts import Contexts, Groups
from ontogeny.probes.distances import DistanceR2, distance_r2
from ontogeny.probes.fit import fit_probe, fit_probe_to_contexts, folded_contexts
from ontogeny.probes.probe import Probe
from ontogeny.probes.readout import Readout
from ontogeny.probes.sites import over_sites, r2_within

__all__ = [
    "Contexts",
    "DistanceR2",
    "Groups",
    "Probe",
    "ProbeConfig",
    "Readout",
    "distance_r2",
    "fit_probe",
    "fit_probe_to_contexts",
    "folded_contexts",
    "over_sites",
    "r2_within",
]
