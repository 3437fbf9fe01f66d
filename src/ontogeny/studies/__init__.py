"""Recipes: one file or folder a study, with a frozen config, a run and its claims."""

from ontogeny.studies.registry import STUDIES as STUDIES
from ontogeny.studies.registry import Run as Run
from ontogeny.studies.registry import override as override
from ontogeny.studies.registry import read_claims as read_claims
from ontogeny.studies.registry import rewrite_report as rewrite_report
from ontogeny.studies.registry import study as study
