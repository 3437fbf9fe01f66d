"""Weights and activations read as circuits."""

from ontogeny.circuits.heads import head_types as head_types
from ontogeny.circuits.heads import repeat_scores as repeat_scores
from ontogeny.circuits.heads import text_scores as text_scores
from ontogeny.circuits.patterns import attention_patterns as attention_patterns
from ontogeny.circuits.patterns import pattern_scores as pattern_scores
