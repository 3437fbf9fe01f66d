"""Timing contestants round by round, so that a noisy machine disturbs all of them alike."""

import time
from collections.abc import Callable, Mapping

import numpy as np

ROUNDS = 50


def interleaved(contestants: Mapping[str, Callable[[], None]], rounds: int = ROUNDS) -> dict[str, np.ndarray]:
    """Seconds of each contestant in each round; the order is reversed every other round, and one round warms up."""
    for work in contestants.values():
        work()
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for number in range(rounds):
        names = list(contestants)
        for name in names if number % 2 else reversed(names):
            begun = time.perf_counter()
            contestants[name]()
            seconds[name].append(time.perf_counter() - begun)
    return {name: np.array(values) for name, values in seconds.items()}


def ratio(work: np.ndarray, floor: np.ndarray) -> tuple[float, float, float]:
    """Median over rounds of work / floor, with the 95 % bootstrap interval of the median."""
    ratios = work / floor
    rng = np.random.default_rng(0)
    medians = np.median(rng.choice(ratios, size=(2000, len(ratios))), axis=1)
    return float(np.median(ratios)), *(float(edge) for edge in np.quantile(medians, [0.025, 0.975]))
