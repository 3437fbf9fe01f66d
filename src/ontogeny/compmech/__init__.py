"""Stochastic processes and belief geometry, on arrays alone."""

from ontogeny.compmech.belief_distances import DistanceComparison, distance_comparison
from ontogeny.compmech.belief_regression import regress_beliefs
from ontogeny.compmech.bits import Bounded, entropy
from ontogeny.compmech.composition import Factored, leaky, product, reverse, union, with_bos
from ontogeny.compmech.contexts import ContextTable, all_contexts, losses_by_length
from ontogeny.compmech.entropy_estimates import (
    estimate_block_entropies,
    grassberger_entropy,
    miller_madow_entropy,
    plug_in_entropy,
)
from ontogeny.compmech.epsilon_machines import epsilon_machine, minimal_dimension
from ontogeny.compmech.filtering import log2_word_probabilities, next_token_law, word_probabilities
from ontogeny.compmech.hmm import GHMM, HMM
from ontogeny.compmech.measures import (
    block_entropies,
    crypticity,
    entropy_rate,
    excess_entropy,
    markov_order,
    mean_belief_entropies,
    myopic_entropies,
    statistical_complexity,
    synchronization_information,
    transient_information,
)
from ontogeny.compmech.presentation import MixedStates, Spectrum, mixed_states
from ontogeny.compmech.reconstruction import Finding, Reconstruction, reconstruct
from ontogeny.compmech.site_regressions import describe_sites, r2_of_sites, regress_sites
from ontogeny.compmech.tasks import ProcessTask
from ontogeny.compmech.zoo import process, process_names
from ontogeny.probes import ProbeConfig as BeliefRegressionConfig

__all__ = [
    "GHMM",
    "HMM",
    "BeliefRegressionConfig",
    "Bounded",
    "ContextTable",
    "DistanceComparison",
    "Factored",
    "Finding",
    "MixedStates",
    "ProcessTask",
    "Reconstruction",
    "Spectrum",
    "all_contexts",
    "block_entropies",
    "crypticity",
    "describe_sites",
    "distance_comparison",
    "entropy",
    "entropy_rate",
    "epsilon_machine",
    "estimate_block_entropies",
    "excess_entropy",
    "grassberger_entropy",
    "leaky",
    "log2_word_probabilities",
    "losses_by_length",
    "markov_order",
    "mean_belief_entropies",
    "miller_madow_entropy",
    "minimal_dimension",
    "mixed_states",
    "myopic_entropies",
    "next_token_law",
    "plug_in_entropy",
    "process",
    "process_names",
    "product",
    "r2_of_sites",
    "reconstruct",
    "regress_beliefs",
    "regress_sites",
    "reverse",
    "statistical_complexity",
    "synchronization_information",
    "transient_information",
    "union",
    "with_bos",
    "word_probabilities",
]
