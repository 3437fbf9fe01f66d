"""Draws from a localised, tempered posterior: `LocalPosterior`, kernels, the one loop, and the one-call estimate."""

from ontogeny.sampling.loop import as_progress as as_progress
from ontogeny.sampling.loop import sample as sample
from ontogeny.sampling.one_call import estimate_llc as estimate_llc
from ontogeny.sampling.posterior import LocalPosterior as LocalPosterior
from ontogeny.sampling.sgld import SGLD as SGLD
