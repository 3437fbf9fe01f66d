"""How near a path comes to a point that its straight line passes by, and Brownian bridges that it is held against."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float

Path = Float[np.ndarray, "step dimension"]


def nearness(path: Path, point: Float[np.ndarray, " dimension"]) -> float:
    """1 − d/d₀, d the least distance of the points of a path from `point`, and d₀ that of the line between its ends.

    0 for a path that comes no nearer than the straight line, 1 for one that passes through the point; negative for one
    that makes a detour.
    """
    start, along = path[0], path[-1] - path[0]
    length = float(along @ along)
    part = np.clip((point - start) @ along / length, 0, 1) if length else 0.0
    straight = np.linalg.norm(start + part * along - point)
    nearest = np.linalg.norm(path - point, axis=1).min()
    return float(1 - nearest / straight)


def bridges(steps: np.ndarray, path: Path, count: int, rng: np.random.Generator) -> Iterator[Path]:
    """Brownian bridges between the ends of a path, over log(step + 1) as time and in as many dimensions.

    Each is scaled to the mean squared distance of the path from the line that is followed at even speed in log step.
    """
    time = np.log1p(steps.astype(float))
    time = (time - time[0]) / (time[-1] - time[0])
    line = path[0] + time[:, None] * (path[-1] - path[0])
    size = np.linalg.norm(path - line)
    spread = np.sqrt(np.diff(time, prepend=0.0))[:, None]
    for _ in range(count):
        free = np.cumsum(spread * rng.standard_normal(path.shape), axis=0)
        away = free - time[:, None] * free[-1]
        yield line + away * (size / np.linalg.norm(away))
