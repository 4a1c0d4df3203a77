"""Reads the history: the Archive port but for what it writes. Extended by SqliteHistory; used through it by the API.

Each question has a connection of its own in a thread of the pool, so that a long answer neither waits for the writer
nor holds it up (WAL). A history that cannot be read is Unavailable.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections import defaultdict
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any, TypeVar

from supervisor.adapters import sqlite_points
from supervisor.adapters.sqlite_schema import moment, open_reading
from supervisor.adapters.typed_json import coder
from supervisor.domain.plan import Reason
from supervisor.domain.records import (
    AuditRecord,
    CallRecord,
    DecisionRecord,
    IncidentEntry,
    IncidentRecord,
    OutcomeRecord,
    RolloutRecord,
    UptimeDay,
)
from supervisor.ports import AuditSource, Series, Unavailable

T = TypeVar("T")

REASONS = coder(tuple[Reason, ...])
OUTCOMES = coder(tuple[OutcomeRecord, ...])
CALL = coder(CallRecord)
TIMELINE = coder(tuple[IncidentEntry, ...])

_DECISIONS = "SELECT id, at, cycle, service, sentence, desired, running, ready, reasons, outcomes FROM decisions"
_INCIDENTS = (
    "SELECT id, service, replica, kind, title, opened_at, closed_at, exit_code, is_oom_killed, probe_output, log_tail,"
    " timeline FROM incidents"
)
_AUDIT = "SELECT id, at, by, what, service, detail, is_accepted, call FROM audit"
_ROLLOUTS = "SELECT id, service, image, previous_image, by, phase, verdict, started_at, finished_at FROM rollouts"


class SqliteArchive:
    def __init__(self, path: Path, wall: Callable[[], datetime]) -> None:
        self._path = path
        self._wall = wall

    async def decisions(
        self, *, service: str = "", limit: int = 50, before: int | None = None, only_actions: bool = False
    ) -> list[DecisionRecord]:
        where = _Where().also("service = ?", service).also("id < ?", before).also("is_acted", only_actions or None)
        return await self._ask(lambda connection: [_decision(row) for row in where.rows(connection, _DECISIONS, limit)])

    async def incidents(
        self, *, service: str = "", limit: int = 50, before: int | None = None, only_open: bool = False
    ) -> list[IncidentRecord]:
        where = _Where().also("service = ?", service).also("id < ?", before)
        where.also("closed_at IS NULL", only_open or None)
        return await self._ask(lambda connection: [_incident(row) for row in where.rows(connection, _INCIDENTS, limit)])

    async def incident(self, incident_id: int) -> IncidentRecord | None:
        where = _Where().also("id = ?", incident_id)
        found = await self._ask(lambda connection: [_incident(row) for row in where.rows(connection, _INCIDENTS, 1)])
        return found[0] if found else None

    async def rollouts(self, *, service: str = "", limit: int = 50) -> list[RolloutRecord]:
        where = _Where().also("service = ?", service)
        return await self._ask(
            lambda connection: [
                _rollout(row, _steps(connection, row[0]))
                for row in where.rows(connection, _ROLLOUTS, limit, order="started_at")
            ]
        )

    async def audit(
        self, *, limit: int = 50, before: int | None = None, source: AuditSource = "", only_refused: bool = False
    ) -> list[AuditRecord]:
        # docker-guard's calls are written some seconds after they happened: the time orders, not the id.
        where = _Where().also("(at, id) < (SELECT at, id FROM audit WHERE id = ?)", before)
        where.also("book IS NULL", source == "operators" or None).also("book IS NOT NULL", source == "docker" or None)
        where.also("NOT is_accepted", only_refused or None)
        return await self._ask(
            lambda connection: [_audit(row) for row in where.rows(connection, _AUDIT, limit, order="at DESC, id")]
        )

    async def series(self, service: str, name: str, *, since: datetime, replica: str = "") -> Series:
        """Oldest first. A name that is not recorded has no points."""
        if name not in sqlite_points.COLUMNS:
            return ()
        span = int(since.timestamp()), int(self._wall().timestamp())
        return await self._ask(lambda connection: sqlite_points.read(connection, (service, replica), name, span)) or ()

    async def uptime(self, service: str, days: int = 90) -> list[UptimeDay]:
        """So many days (UTC), today first; the seconds of today until now."""
        now = self._wall().astimezone(UTC)
        first = (now - timedelta(days=days - 1)).date()
        rows = await self._ask(
            lambda connection: connection.execute(
                "SELECT day, state, seconds FROM uptime WHERE service = ? AND day >= ?", (service, first.isoformat())
            ).fetchall()
        )
        seconds: dict[str, dict[str, float]] = defaultdict(dict)
        for day, state, amount in rows:
            seconds[day][state] = amount
        return [_uptime(day, seconds[day.isoformat()], now) for day in (now.date() - timedelta(n) for n in range(days))]

    async def _ask(self, question: Callable[[sqlite3.Connection], T]) -> T:
        return await asyncio.to_thread(self._answer, question)

    def _answer(self, question: Callable[[sqlite3.Connection], T]) -> T:
        try:
            with closing(open_reading(self._path)) as connection:
                return question(connection)
        except (sqlite3.Error, ValueError) as error:
            self._on_unreadable(error)
            raise Unavailable(f"The history cannot be read: {error}.") from error

    def _on_unreadable(self, error: Exception) -> None:
        """For who can do something about it."""


class _Where:
    """Conditions of a question, each with its value; one whose value is None or empty is left out."""

    def __init__(self) -> None:
        self._conditions: list[str] = []
        self._values: list[Any] = []

    def also(self, condition: str, value: Any) -> _Where:
        if value is not None and value != "":
            self._conditions.append(condition)
            self._values += [value] if "?" in condition else []
        return self

    def rows(self, connection: sqlite3.Connection, select: str, limit: int, order: str = "id") -> list[tuple[Any, ...]]:
        """Newest first."""
        where = f" WHERE {' AND '.join(self._conditions)}" if self._conditions else ""
        return connection.execute(f"{select}{where} ORDER BY {order} DESC LIMIT ?", (*self._values, limit)).fetchall()


def open_incidents(connection: sqlite3.Connection) -> list[IncidentRecord]:
    """Oldest first; for the writer, to go on with them after a restart."""
    rows = connection.execute(f"{_INCIDENTS} WHERE closed_at IS NULL ORDER BY id").fetchall()
    return [_incident(row) for row in rows]


def _decision(row: tuple[Any, ...]) -> DecisionRecord:
    number, at, cycle, service, sentence, desired, running, ready, reasons, outcomes = row
    return DecisionRecord(
        id=number,
        at=moment(at),
        cycle=cycle,
        service=service,
        sentence=sentence,
        desired=desired,
        running=running,
        ready=ready,
        reasons=REASONS.from_json(json.loads(reasons)),
        outcomes=OUTCOMES.from_json(json.loads(outcomes)),
    )


def _incident(row: tuple[Any, ...]) -> IncidentRecord:
    number, service, replica, kind, title, opened_at, closed_at, exit_code, is_oom, probe_output, log_tail, timeline = (
        row
    )
    return IncidentRecord(
        id=number,
        service=service,
        replica=replica,
        kind=kind,
        title=title,
        opened_at=moment(opened_at),
        closed_at=None if closed_at is None else moment(closed_at),
        exit_code=exit_code,
        is_oom_killed=bool(is_oom),
        probe_output=probe_output,
        log_tail=log_tail,
        timeline=TIMELINE.from_json(json.loads(timeline)),
    )


def _steps(connection: sqlite3.Connection, rollout: str) -> tuple[IncidentEntry, ...]:
    rows = connection.execute("SELECT at, text FROM rollout_steps WHERE rollout = ? ORDER BY at, rowid", (rollout,))
    return tuple(IncidentEntry(at=moment(at), text=text) for at, text in rows)


def _rollout(row: tuple[Any, ...], steps: tuple[IncidentEntry, ...]) -> RolloutRecord:
    number, service, image, previous_image, by, phase, verdict, started_at, finished_at = row
    return RolloutRecord(
        id=number,
        service=service,
        image=image,
        previous_image=previous_image,
        by=by,
        phase=phase,
        verdict=verdict,
        started_at=moment(started_at),
        finished_at=None if finished_at is None else moment(finished_at),
        steps=steps,
    )


def _audit(row: tuple[Any, ...]) -> AuditRecord:
    number, at, by, what, service, detail, is_accepted, call = row
    return AuditRecord(
        id=number,
        at=moment(at),
        by=by,
        what=what,
        service=service,
        detail=detail,
        is_accepted=bool(is_accepted),
        call=None if call is None else CALL.from_json(json.loads(call)),
    )


def _uptime(day: date, seconds: dict[str, float], now: datetime) -> UptimeDay:
    """What is missing from the day's length (today: until now) was not observed."""
    start = datetime.combine(day, time(), UTC)
    length = min((now - start).total_seconds(), 86_400.0)
    observed = sum(seconds.values())
    return UptimeDay(
        day=day,
        up_seconds=seconds.get("up", 0.0),
        degraded_seconds=seconds.get("degraded", 0.0),
        down_seconds=seconds.get("down", 0.0),
        unknown_seconds=max(0.0, length - observed),
    )
