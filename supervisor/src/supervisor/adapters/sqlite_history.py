"""Keeps what happened, in SQLite: the loop's memory, decisions, incidents, rollouts, the audit, charts and uptime.

Implements the ports History and Archive (its reading half is sqlite_archive.py). Nothing here stops the loop: what
cannot be written is told by `problem`, and tried again. What of a cycle is worth a row is decided by history_notes.py.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import structlog

from supervisor.adapters import memory_codec, sqlite_points, sqlite_rows, sqlite_schema
from supervisor.adapters.history_notes import HistoryNotes
from supervisor.adapters.sqlite_archive import SqliteArchive, open_incidents
from supervisor.adapters.sqlite_writer import SqliteWriter
from supervisor.domain import incidents
from supervisor.domain.incidents import Incidents
from supervisor.domain.memory import Memory
from supervisor.domain.records import IncidentRecord
from supervisor.domain.troubles import Observation
from supervisor.ports import CycleReport, GuardBook, Unavailable

SAVE_SECONDS = 1.5  # a disk that takes longer holds the loop up no further
LOG_TAIL_SECONDS = 5.0
LOG_TAIL_LINES, LOG_TAIL_CHARACTERS = 100, 16_000
UPKEEP_SECONDS = 3_600.0

log = structlog.stdlib.get_logger("history")

LogTail = Callable[[str, int], Awaitable[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What is kept: for so many days, and not more than so many bytes (the oldest goes first)."""

    days: int = 90
    size_bytes: int = 200 * 2**20


def _utc_now() -> datetime:
    return datetime.now(UTC)


class SqliteHistory(SqliteArchive):
    """One process writes (the one that holds the lease); any may read."""

    def __init__(
        self,
        path: Path,
        *,
        log_tail: LogTail | None = None,
        now: Callable[[], float] = time.monotonic,
        wall: Callable[[], datetime] = _utc_now,
        limits: Limits | None = None,
    ) -> None:
        """`log_tail` reads a replica's last lines when an incident opens; `now` is steady, `wall` the time of day."""
        super().__init__(path, wall)
        self._log_tail = log_tail
        self._now = now
        self._limits = limits or Limits()
        self._incidents: Incidents | None = None
        self._notes = HistoryNotes()
        self._memory_problem = ""
        self._upkeep_at = 0.0
        self._late: Future[bool] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._writer = SqliteWriter(path, size_bytes=self._limits.size_bytes, make_room=self._make_room)
        self._writer.submit(lambda _connection: None)  # so that there is a file to read

    @property
    def problem(self) -> str:
        return self._writer.problem or self._memory_problem

    @property
    def open_incidents(self) -> Mapping[str, int]:
        """How many are open, by kind."""
        return Counter(item.record.kind for item in self._incidents.open) if self._incidents else {}

    async def close(self) -> None:
        """Write what waits. The last call."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        rest = sqlite_rows.Rows(uptime=self._notes.uptime_so_far())
        self._writer.submit(lambda connection: sqlite_rows.write(connection, rest))
        await asyncio.to_thread(self._writer.close)

    async def load_memory(self) -> Memory | None:
        """The memory as of now; None when there is none, or none that can be read (`problem` says so)."""
        found: list[str] = []

        def read(connection: sqlite3.Connection) -> None:
            found.extend(text for (text,) in connection.execute("SELECT text FROM memory"))

        await self._written(self._writer.submit(read))
        if not found:
            return None
        try:
            return memory_codec.decode(found[0], self._now(), memory_codec.boot_id())
        except memory_codec.BadMemoryError as error:
            self._memory_problem = f"{error}; the loop begins without it."
            log.error("memory lost", problem=str(error))
            return None

    async def save_memory(self, memory: Memory) -> bool:
        if self._is_stuck:
            return False
        saved_at, wall, boot = self._now(), sqlite_schema.milliseconds(self._wall()), memory_codec.boot_id()

        def write(connection: sqlite3.Connection) -> None:
            text = memory_codec.encode(replace(memory, saved_at=saved_at), boot)
            connection.execute("INSERT OR REPLACE INTO memory VALUES (1, ?, ?)", (wall, text))

        is_saved = await self._written(self._writer.submit(write, is_durable=True))
        if is_saved:
            self._memory_problem = ""
        return is_saved

    async def record(self, report: CycleReport) -> None:
        """Hands the writer what is worth keeping of the cycle; does not wait for the disk."""
        if report.is_standby:
            self._incidents = None  # another process writes; when this one takes over it reads where that one was
            return
        if self._incidents is None and not await self._has_loaded():
            return
        opened, changed = self._followed(report)
        rows = replace(self._notes.rows(report), incidents=opened + changed, uptime=self._uptime(report))
        if not rows.is_empty:
            self._writer.submit(lambda connection: sqlite_rows.write(connection, rows), is_kept=True)
        points = self._notes.points(report)
        if points:
            at = int(report.snapshot.wall.timestamp())
            self._writer.submit(lambda connection: sqlite_points.write(connection, at, points))
        for record in opened:
            self._fetch_log_tail(record, report)
        if self._now() >= self._upkeep_at:
            self._upkeep_at = self._now() + UPKEEP_SECONDS
            self._writer.submit(self._upkeep)

    async def add_audit(self, *, by: str, what: str, service: str, detail: str, is_accepted: bool) -> None:
        """Raises Unavailable when it is not written (it will be, as soon as the disk takes it)."""
        row = (sqlite_schema.milliseconds(self._wall()), by, what, service, detail, is_accepted)

        def write(connection: sqlite3.Connection) -> None:
            connection.execute(
                "INSERT INTO audit (at, by, what, service, detail, is_accepted) VALUES (?, ?, ?, ?, ?, ?)", row
            )

        if not await self._written(self._writer.submit(write, is_kept=True)):
            raise Unavailable(self.problem or "The history's disk is too slow.")

    async def keep_calls(self, book: GuardBook) -> None:
        """Of each entry one row. Raises as add_audit; what was not written is to be handed in again."""
        rows = sqlite_rows.call_rows(book)
        if rows and not await self._written(self._writer.submit(lambda link: sqlite_rows.write_calls(link, rows))):
            raise Unavailable(self.problem or "The history's disk is too slow.")

    def _followed(self, report: CycleReport) -> tuple[tuple[IncidentRecord, ...], tuple[IncidentRecord, ...]]:
        """The incidents that opened, and those that changed."""
        cycle = Observation(snapshot=report.snapshot, memory=report.memory, plan=report.plan, outcomes=report.outcomes)
        changes = incidents.follow(self._incidents or Incidents(), cycle)
        self._incidents = changes.incidents
        return changes.opened, changes.changed

    def _uptime(self, report: CycleReport) -> sqlite_rows.Seconds:
        items = self._incidents.open if self._incidents else ()
        return self._notes.uptime(report, {item.record.service for item in items if item.good_since is None})

    async def _has_loaded(self) -> bool:
        """Goes on with the incidents and rollouts that the history knows. While it cannot be read nothing is kept,
        rather than give new incidents the numbers of old ones; the next cycle tries again."""
        if self._is_stuck:
            return False
        found: list[Incidents] = []
        known: dict[str, str] = {}

        def read(connection: sqlite3.Connection) -> None:
            (newest,) = connection.execute("SELECT coalesce(max(id), 0) FROM incidents").fetchone()
            found.append(incidents.resumed(open_incidents(connection), newest + 1))
            known.update(sqlite_rows.last_steps(connection))

        if not await self._written(self._writer.submit(read)) or not found:
            return False
        self._incidents = found[-1]
        self._notes.resume(known)
        return True

    def _fetch_log_tail(self, record: IncidentRecord, report: CycleReport) -> None:
        service = report.snapshot.services.get(record.service)
        ids = [replica.id for replica in service.replicas if replica.name == record.replica] if service else []
        if self._log_tail is None or not ids:
            return
        task = asyncio.create_task(self._keep_log_tail(record.id, ids[0], self._log_tail))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _keep_log_tail(self, incident_id: int, replica_id: str, log_tail: LogTail) -> None:
        try:
            text = await asyncio.wait_for(log_tail(replica_id, LOG_TAIL_LINES), LOG_TAIL_SECONDS)
        except Exception as error:  # whatever it is, the incident is told without it
            text = f"The log could not be read: {error or type(error).__name__}"
        text = text[-LOG_TAIL_CHARACTERS:]
        update = "UPDATE incidents SET log_tail = ? WHERE id = ?"
        self._writer.submit(lambda connection: _run(connection, update, (text, incident_id)), is_kept=True)

    @property
    def _is_stuck(self) -> bool:
        """Whether a write that was waited for in vain has not ended yet."""
        return self._late is not None and not self._late.done()

    async def _written(self, done: Future[bool]) -> bool:
        """Whether it was written in time. While one write is late nobody waits for another."""
        if self._is_stuck:
            return False
        try:
            return await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(done)), SAVE_SECONDS)
        except TimeoutError:
            self._late = done
            return False

    def _upkeep(self, connection: sqlite3.Connection) -> None:
        """Delete what is too old, and more while the file is too large."""
        now = self._wall()
        for factor in (1.0, 0.75, 0.5, 0.25, 0.1):
            sqlite_rows.forget(connection, now, self._limits.days, factor)
            if sqlite_rows.used_bytes(connection) <= self._limits.size_bytes:
                break
        sqlite_rows.give_back(connection)

    def _make_room(self, connection: sqlite3.Connection) -> None:
        for factor in (0.5, 0.25, 0.1):
            sqlite_rows.forget(connection, self._wall(), self._limits.days, factor)

    def _on_unreadable(self, error: Exception) -> None:
        """A reader met a damaged page: the writer looks at the whole file, and begins anew if it is so."""
        if isinstance(error, sqlite3.Error) and sqlite_schema.is_broken(error):
            self._writer.submit(sqlite_schema.check)


def _run(connection: sqlite3.Connection, statement: str, values: tuple[str | int, ...]) -> None:
    connection.execute(statement, values)
