"""What errors of this room say to write instead."""

from tests.advice import Mistake, follow, mistakes

from ontogeny.execution import Job, Processes

# fmt: off
MISTAKES = (
    ("execution/jobs.py:Job.__post_init__", 'Job("a", lambda inputs, progress: 1, weight=0.0)', "weight",
     "weight=1.0", 'Job("a", lambda inputs, progress: 1, ADVICE)'),
    ("execution/processes.py:Processes.__post_init__", "Processes(0)", "num_workers", "num_workers=1",
     "Processes(ADVICE)"),
)
# fmt: on


@mistakes(*MISTAKES)
def test_advice(mistake: Mistake) -> None:
    follow(mistake, globals())
