"""When to keep a checkpoint, and how the learning rate runs."""

import math
from typing import Literal

import numpy as np

Schedule = Literal["constant", "linear", "cosine"]


def checkpoint_steps(num_steps: int, num_log: int, num_linear: int) -> list[int]:
    """Step 0, `num_log` steps spaced evenly in log step, `num_linear` evenly in step, and the last; each once.

    Log-spaced checkpoints see the early development, linear ones the late (Hoogland et al., 2402.02364, use 100 and
    2000).
    """
    log = np.geomspace(1, num_steps, num_log) if num_log else []
    linear = np.linspace(0, num_steps, num_linear + 1) if num_linear else []
    return sorted({0, num_steps, *(round(float(step)) for step in (*log, *linear))})


def learning_rate_factor(schedule: Schedule, step: int, num_steps: int, warmup_steps: int) -> float:
    """Factor on the learning rate at `step`: a linear warm-up, then constant, or down to 0 linearly or as a cosine."""
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    gone = (step - warmup_steps) / max(1, num_steps - warmup_steps)
    return {"constant": 1.0, "linear": 1 - gone, "cosine": 0.5 * (1 + math.cos(math.pi * gone))}[schedule]
