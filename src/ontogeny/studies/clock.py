"""Wall times of the parts of a run, kept apart from what the run found."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from ontogeny.stores import write_json

Result = TypeVar("Result")


class Clock:
    """Adds up the wall times of the parts of a run over interruptions, in `timings.json`."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "timings.json"

    def time(self, part: str, work: Callable[[], Result]) -> Result:
        begun = time.perf_counter()
        result = work()
        known = json.loads(self.path.read_text()) if self.path.exists() else {}
        write_json(self.path, known | {part: known.get(part, 0) + round(time.perf_counter() - begun, 1)})
        return result
