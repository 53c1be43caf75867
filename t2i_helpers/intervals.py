"""Intervals, (low, high): of proportions, and whether several overlap."""

import math


def wilson_interval(successes: float, n: int, z: float = 1.96) -> tuple[float, float]:
    """The 95 % interval of a proportion (Wilson 1927); unlike p +- z sqrt(pq/n) it stays in [0, 1] near its ends."""
    p = successes / n
    centre = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    return max(0.0, centre - half), min(1.0, centre + half)


def overlap(*intervals) -> bool:
    """Whether all intervals share a point: the estimates do not differ significantly."""
    return max(low for low, _ in intervals) <= min(high for _, high in intervals)
