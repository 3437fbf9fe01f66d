"""Text as batches: corpora split, tokenized and packed by named distribution, and the n-gram laws of their tokens."""

from ontogeny.data.corpus import Document as Document
from ontogeny.data.corpus import file_corpus as file_corpus
from ontogeny.data.corpus import huggingface_corpus as huggingface_corpus
from ontogeny.data.linear_regression import LinearRegressionTask as LinearRegressionTask
from ontogeny.data.ngrams import NgramTables as NgramTables
from ontogeny.data.ngrams import cross_entropy as cross_entropy
from ontogeny.data.ngrams import entropies as entropies
from ontogeny.data.ngrams import random_repeats as random_repeats
from ontogeny.data.planted import MECHANISMS as MECHANISMS
from ontogeny.data.planted import PlantedLanguage as PlantedLanguage
from ontogeny.data.planted_laws import Rules as Rules
from ontogeny.data.refinement import at_positions as at_positions
from ontogeny.data.refinement import mixture as mixture
from ontogeny.data.refinement import on_tokens as on_tokens
from ontogeny.data.refinement import relative_to as relative_to
from ontogeny.data.refinement import weighted as weighted
from ontogeny.data.standard_library import stdlib_corpus as stdlib_corpus
from ontogeny.data.text import TextConfig as TextConfig
from ontogeny.data.text import TextData as TextData
from ontogeny.data.text import load_text as load_text
from ontogeny.data.text_of_language import planted_text as planted_text
