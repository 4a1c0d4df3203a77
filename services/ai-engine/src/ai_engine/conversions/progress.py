"""Tells the world how far a conversion is: Redis at most five times a second, Postgres at most twice.

Used by runner.py. Also finds out that the conversion is no longer ours (deleted, or taken over); then the work ends.
"""

import asyncio
import contextlib
import json
import time
from types import TracebackType
from typing import Protocol
from uuid import UUID

import structlog
from psycopg import Error as PostgresError
from psycopg_pool import PoolTimeout

from ai_engine.conversions.outcome import Stage
from ai_engine.conversions.repository import Taken

PUBLISH_EVERY_SECONDS = 0.2
WRITE_EVERY_SECONDS = 0.5
# Even without news, so that a deleted conversion does not run on.
ASSURE_EVERY_SECONDS = 2.0

log = structlog.stdlib.get_logger("progress")


class Publisher(Protocol):
    async def publish(self, channel: str, message: str) -> None:
        """Tell whoever listens; never raises, for progress must not stop a conversion."""


class Writer(Protocol):
    async def report(self, taken: Taken, stage: Stage, progress: float) -> bool:
        """As ConversionRepository.report."""


async def publish_status(publisher: Publisher, conversion_id: UUID, status: str, stage: Stage, progress: float) -> None:
    message = json.dumps({"status": status, "stage": stage, "progress": round(progress, 3)})
    await publisher.publish(f"conversion:{conversion_id}", message)


class ProgressReporter:
    """An async context; `update` is cheap and may be called as often as one likes. Progress never goes back."""

    def __init__(self, taken: Taken, publisher: Publisher, writer: Writer) -> None:
        self._taken, self._publisher, self._writer = taken, publisher, writer
        self._stage: Stage = "reading"
        self._progress = taken.progress
        self._published: tuple[Stage, float] | None = None
        self._written: tuple[Stage, float] | None = None
        self._written_at = float("-inf")
        self.lost = asyncio.Event()
        """Set when the conversion is no longer ours."""

    def update(self, stage: Stage, progress: float) -> None:
        self._stage, self._progress = stage, max(self._progress, min(progress, 1.0))

    async def __aenter__(self) -> "ProgressReporter":
        self._loop = asyncio.create_task(self._run(), name=f"progress of {self._taken.id}")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._loop

    async def _run(self) -> None:
        while not self.lost.is_set():
            news = (self._stage, self._progress)
            if news != self._published:
                self._published = news
                await publish_status(self._publisher, self._taken.id, "running", *news)
            elapsed = time.monotonic() - self._written_at
            if elapsed >= (WRITE_EVERY_SECONDS if news != self._written else ASSURE_EVERY_SECONDS):
                await self._write(news)
            await asyncio.sleep(PUBLISH_EVERY_SECONDS)

    async def _write(self, news: tuple[Stage, float]) -> None:
        self._written, self._written_at = news, time.monotonic()
        try:
            if not await self._writer.report(self._taken, *news):
                self.lost.set()
        except (PostgresError, PoolTimeout) as error:  # the database may be restarting; the final write decides
            log.warning("progress not written", conversion_id=str(self._taken.id), reason=str(error))
