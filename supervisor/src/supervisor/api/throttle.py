"""Limits how often something may be tried: sign-ins, and audit entries for strangers' attempts."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable


class Throttle:
    """At most `limit` times in any `seconds`, for each key. Forgets keys that were quiet that long."""

    def __init__(self, limit: int, seconds: float = 60.0, now: Callable[[], float] = time.monotonic) -> None:
        self._limit = limit
        self._seconds = seconds
        self._now = now
        self._times: dict[str, deque[float]] = {}

    def wait_seconds(self, key: str = "") -> float:
        """How long until another try is allowed; 0 when it is now, and then it counts."""
        now = self._now()
        self._forget(now)
        times = self._times.setdefault(key, deque())
        if len(times) >= self._limit:
            return times[0] + self._seconds - now
        times.append(now)
        return 0.0

    def _forget(self, now: float) -> None:
        for key, times in list(self._times.items()):
            while times and times[0] + self._seconds <= now:
                times.popleft()
            if not times:
                del self._times[key]
