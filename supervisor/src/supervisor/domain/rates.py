"""How fast a service may change: the panic window, the stabilisation window, and the steps up and down. Pure sums over
what is remembered; called by scaling.recommend.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from supervisor.domain.memory import LoadSample, Recommendation
from supervisor.domain.policy import ScalePolicy

# Longer without a look, and what is remembered says nothing about the time between.
MAX_GAP_SECONDS = 30.0


def recent(samples: Iterable[Recommendation], now: float, seconds: float) -> tuple[Recommendation, ...]:
    """Those of the last `seconds`. One of the future is of another clock and goes."""
    return tuple(sample for sample in samples if now - seconds < sample.at <= now)


def remembered_wishes(
    wishes: Iterable[Recommendation], newest: Recommendation, window_seconds: float
) -> tuple[Recommendation, ...]:
    """The wishes with the newest; a little more than the window, so that one sees whether all of it was seen."""
    kept = recent(wishes, newest.at, window_seconds + MAX_GAP_SECONDS)
    return (*(wish for wish in kept if wish.at < newest.at), newest)


def remembered_load(samples: Sequence[LoadSample], newest: LoadSample, window_seconds: float) -> tuple[LoadSample, ...]:
    """The samples of the panic window and the last one before it, then the newest."""
    began = newest.at - window_seconds
    before = [sample for sample in samples if began - MAX_GAP_SECONDS < sample.at <= began]
    within = [sample for sample in samples if began < sample.at < newest.at]
    return (*before[-1:], *within, newest)


def is_whole_window_seen(wishes: Sequence[Recommendation], now: float, window_seconds: float) -> bool:
    """Whether there was a look at least every MAX_GAP_SECONDS for the whole window. After a start there was not."""
    later = now
    for wish in reversed(wishes):
        if later - wish.at > MAX_GAP_SECONDS:
            return False
        if wish.at <= now - window_seconds:
            return True
        later = wish.at
    return window_seconds == 0


def panic_load(samples: Iterable[LoadSample], now: float, window_seconds: float) -> float | None:
    """The mean load (in replicas at target) over the panic window; None until the whole window was seen."""
    ordered = tuple(samples)
    if not ordered or ordered[0].at > now - window_seconds:
        return None
    within = [sample.replicas for sample in ordered if sample.at > now - window_seconds]
    return sum(within) / len(within) if within else None


def highest_allowed(base: int, ups: Iterable[Recommendation], scale: ScalePolicy, now: float) -> int:
    """How far up one may go now: from where the period began, by a ratio or a number, whichever is more."""
    began = base - sum(up.replicas for up in recent(ups, now, scale.up_period_seconds))
    step = max(math.ceil(began * scale.up_ratio), scale.up_replicas)
    return max(base, began + step)


def lowest_allowed(base: int, downs: Iterable[Recommendation], scale: ScalePolicy, now: float) -> int:
    """How far down one may go now, likewise."""
    began = base + sum(down.replicas for down in recent(downs, now, scale.down_period_seconds))
    step = max(math.floor(began * scale.down_ratio), scale.down_replicas)
    return min(base, began - step)
