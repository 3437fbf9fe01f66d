"""Kernels: one update of a chain, one file per kernel. None knows about temperature, data, loops or storage."""

from ontogeny.sampling.kernels.hamiltonian import HMC as HMC
from ontogeny.sampling.kernels.mala import MALA as MALA
from ontogeny.sampling.kernels.microcanonical import MCLMC as MCLMC
from ontogeny.sampling.kernels.noise import Noise as Noise
from ontogeny.sampling.kernels.preconditioned import PreconditionedSGLD as PreconditionedSGLD
from ontogeny.sampling.kernels.protocol import Kernel as Kernel
from ontogeny.sampling.kernels.protocol import Potential as Potential
from ontogeny.sampling.kernels.protocol import Reductions as Reductions
from ontogeny.sampling.kernels.protocol import State as State
from ontogeny.sampling.kernels.rmsprop import RMSPropSGLD as RMSPropSGLD
from ontogeny.sampling.kernels.sghmc import SGHMC as SGHMC
from ontogeny.sampling.kernels.sgld import SGLD as SGLD
from ontogeny.sampling.kernels.sgnht import SGNHT as SGNHT
