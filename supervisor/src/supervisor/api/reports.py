"""Hands each cycle's report on to whoever watches. The loop publishes; routes and event streams read.

A watcher that is slow misses the reports in between and goes on with the newest: nothing is queued, and the loop never
waits for a browser.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from typing import Protocol

from supervisor.ports import CycleReport


class ReportSource(Protocol):
    """What create_app reads from."""

    @property
    def latest(self) -> CycleReport | None: ...

    @property
    def age_seconds(self) -> float:
        """Since the last report, or since the start when there was none yet."""

    @property
    def watchers(self) -> int: ...

    def subscribe(self) -> AsyncGenerator[CycleReport, None]: ...


class LatestReports:
    """EventSink and ReportSource. Used from one event loop."""

    def __init__(self) -> None:
        self._latest: CycleReport | None = None
        self._changed_at = time.monotonic()
        self._wakers: set[asyncio.Event] = set()
        self._is_closed = False

    @property
    def latest(self) -> CycleReport | None:
        return self._latest

    @property
    def age_seconds(self) -> float:
        return time.monotonic() - self._changed_at

    @property
    def watchers(self) -> int:
        return len(self._wakers)

    def publish(self, report: CycleReport) -> None:
        self._latest = report
        self._changed_at = time.monotonic()
        self._wake()

    def close(self) -> None:
        """Ends every subscription, so that the server can stop; called once, at the end of the program."""
        self._is_closed = True
        self._wake()

    async def subscribe(self) -> AsyncGenerator[CycleReport, None]:
        """The newest report at once (if there is one), then each next one; ends with close()."""
        waker = asyncio.Event()
        self._wakers.add(waker)
        seen: CycleReport | None = None
        try:
            while not self._is_closed:
                waker.clear()
                if self._latest is not None and self._latest is not seen:
                    seen = self._latest
                    yield seen
                else:
                    await waker.wait()
        finally:
            self._wakers.discard(waker)

    def _wake(self) -> None:
        for waker in self._wakers:
            waker.set()
