"""A small transformer on real text: bigrams, n-grams, previous-token heads, induction, and the stages of its LLC."""

from ontogeny.studies.language.config import LanguageConfig as LanguageConfig
from ontogeny.studies.language.config import preset as preset
from ontogeny.studies.language.recipe import analyse as analyse
from ontogeny.studies.language.recipe import report as report
from ontogeny.studies.language.recipe import run as run
