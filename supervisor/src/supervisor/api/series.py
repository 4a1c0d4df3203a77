"""Recorded numbers, made small enough for a chart. Read by the API and by the pages."""

from __future__ import annotations

from supervisor.ports import Series

# The first four exist for each replica too.
SERIES_NAMES = ("cpu_ratio", "memory_ratio", "requests_per_second", "p95_seconds", "ready", "running", "desired")
POINTS_MAX = 480


def thinned(series: Series, points_max: int = POINTS_MAX) -> Series:
    """At most about `points_max` points: of each stretch the highest and the lowest, so that no peak is lost."""
    if len(series) <= points_max:
        return tuple((at, round(value, 4)) for at, value in series)
    size = -(-len(series) * 2 // points_max)
    kept: list[tuple[float, float]] = []
    for start in range(0, len(series), size):
        stretch = series[start : start + size]
        ends = {min(stretch, key=lambda point: point[1]), max(stretch, key=lambda point: point[1])}
        kept += sorted(ends)
    return tuple((at, round(value, 4)) for at, value in kept)
