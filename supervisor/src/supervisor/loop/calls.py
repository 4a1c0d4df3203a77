"""Carries docker-guard's audit over into the history, where it outlives the guard. Run by bootstrap beside the loop.

The API collects before it shows the audit, so that what just happened is in it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from supervisor.ports import CallKeeper, GuardAudit, GuardBook, Refused, Unavailable

COLLECT_SECONDS = 15.0  # the guard remembers its last thousand calls: enough for hours
PATIENCE_SECONDS = 2.0  # a page waits for it

log = structlog.get_logger(__name__)


class CallCollector:
    """One process collects: the one that acts (`is_acting`). Others show what it kept."""

    def __init__(self, guard: GuardAudit, keeper: CallKeeper, is_acting: Callable[[], bool]) -> None:
        self._guard = guard
        self._keeper = keeper
        self._is_acting = is_acting
        self._lock = asyncio.Lock()
        self._book = ""
        self._newest = 0
        self.problem = ""  # why the newest calls may be missing, as a sentence; empty when they are all there
        self.reads = 0  # calls that only read, since the guard started

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self.collect()
            await asyncio.sleep(COLLECT_SECONDS)

    async def collect(self) -> None:
        """Fetch and keep what is new. Never raises: `problem` says what is wrong."""
        if not self._is_acting():
            return
        try:
            async with asyncio.timeout(PATIENCE_SECONDS), self._lock:
                await self._keep(await self._fetched())
        except (Unavailable, Refused) as error:
            why = " ".join(str(error).split()).rstrip(".")
            self._say(f"The newest calls to Docker may be missing. {why}.")
        except TimeoutError:
            self._say("The newest calls to Docker may be missing. docker-guard does not answer.")
        else:
            self._say("")

    async def _fetched(self) -> GuardBook:
        book = await self._guard.book(self._newest)
        if book.id != self._book and self._newest:
            return await self._guard.book(0)  # a guard that started anew counts from one again
        return book

    async def _keep(self, book: GuardBook) -> None:
        if book.entries:
            await self._keeper.keep_calls(book)
        known = self._newest if book.id == self._book else 0
        self._newest = max((entry.number for entry in book.entries), default=known)
        self._book, self.reads = book.id, book.reads

    def _say(self, problem: str) -> None:
        if problem != self.problem:
            log.warning("guard_audit", problem=problem or "it is complete again")
        self.problem = problem
