"""Recipes: one file or folder a study, with a frozen config, a run, its claims and its panels."""

from ontogeny.studies.claims import Claims as Claims
from ontogeny.studies.evidence import Evidence as Evidence
from ontogeny.studies.evidence import Failed as Failed
from ontogeny.studies.evidence import NotTested as NotTested
from ontogeny.studies.findings import Findings as Findings
from ontogeny.studies.pages import trajectory_panels as trajectory_panels
from ontogeny.studies.pooling import Pooled as Pooled
from ontogeny.studies.pooling import pool as pool
from ontogeny.studies.runner import Run as Run
from ontogeny.studies.runner import read_claims as read_claims
from ontogeny.studies.runner import rewrite_report as rewrite_report
from ontogeny.studies.study import Preset as Preset
from ontogeny.studies.study import Study as Study
from ontogeny.studies.study import StudyConfig as StudyConfig
from ontogeny.studies.study import all_studies as all_studies
from ontogeny.studies.study import override as override
from ontogeny.studies.workspace import Workspace as Workspace
