"""How the learning rate runs."""

import math
from typing import Literal

Schedule = Literal["constant", "linear", "cosine"]


def learning_rate_factor(schedule: Schedule, step: int, num_steps: int, warmup_steps: int) -> float:
    """Factor on the learning rate at `step`: a linear warm-up, then constant, or down to 0 linearly or as a cosine."""
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    gone = (step - warmup_steps) / max(1, num_steps - warmup_steps)
    return {"constant": 1.0, "linear": 1 - gone, "cosine": 0.5 * (1 + math.cos(math.pi * gone))}[schedule]
