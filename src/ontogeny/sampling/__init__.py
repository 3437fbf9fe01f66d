"""Sampling a localised, tempered posterior: `LocalPosterior`, kernels, the sampling loop and the one-call estimate."""

from ontogeny.sampling.activations import Reuse as Reuse
from ontogeny.sampling.calibration import Calibration as Calibration
from ontogeny.sampling.calibration import Mass as Mass
from ontogeny.sampling.calibration import calibrate as calibrate
from ontogeny.sampling.config import PosteriorConfig as PosteriorConfig
from ontogeny.sampling.costs import Forecast as Forecast
from ontogeny.sampling.costs import forecast as forecast
from ontogeny.sampling.kernels import HMC as HMC
from ontogeny.sampling.kernels import MALA as MALA
from ontogeny.sampling.kernels import MCLMC as MCLMC
from ontogeny.sampling.kernels import SGHMC as SGHMC
from ontogeny.sampling.kernels import SGLD as SGLD
from ontogeny.sampling.kernels import SGNHT as SGNHT
from ontogeny.sampling.kernels import PreconditionedSGLD as PreconditionedSGLD
from ontogeny.sampling.kernels import RMSPropSGLD as RMSPropSGLD
from ontogeny.sampling.noise_control import weight_noise as weight_noise
from ontogeny.sampling.one_call import estimate_llc as estimate_llc
from ontogeny.sampling.one_call import sample as sample
from ontogeny.sampling.posterior import LocalPosterior as LocalPosterior
from ontogeny.sampling.samplers import Calibrated as Calibrated
from ontogeny.sampling.samplers import Fixed as Fixed
from ontogeny.sampling.samplers import Sampler as Sampler
from ontogeny.sampling.samplers import as_sampler as as_sampler
from ontogeny.sampling.stopping import sample_until as sample_until
