"""What errors of this room say to write instead."""

from tests.advice import Mistake, follow, mistakes

from ontogeny.terminal import as_progress


@mistakes(("terminal/progress.py:as_progress", "as_progress('yes')", "progress", "True", "as_progress(ADVICE)"))
def test_advice(mistake: Mistake) -> None:
    follow(mistake, globals())
