"""Writes what history_notes.py found worth keeping, and deletes what is too old. Runs in the writer's transactions."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from supervisor.adapters import sqlite_points
from supervisor.adapters.sqlite_archive import CALL, OUTCOMES, REASONS, TIMELINE
from supervisor.adapters.sqlite_schema import PAGE_BYTES, milliseconds
from supervisor.domain.records import DecisionRecord, IncidentRecord, RolloutRecord
from supervisor.ports import GuardBook

Seconds = Mapping[tuple[str, str, str], float]  # (service, day, state) -> seconds more


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Of one cycle. A rollout's steps are the new ones only; a decision's id is given by the table."""

    decisions: tuple[DecisionRecord, ...] = ()
    incidents: tuple[IncidentRecord, ...] = ()
    rollouts: tuple[RolloutRecord, ...] = ()
    uptime: Seconds = field(default_factory=dict)

    @property
    def is_empty(self) -> bool:
        return not (self.decisions or self.incidents or self.rollouts or self.uptime)


def write(connection: sqlite3.Connection, rows: Rows) -> None:
    for decision in rows.decisions:
        _write_decision(connection, decision)
    for incident in rows.incidents:
        _write_incident(connection, incident)
    for rollout in rows.rollouts:
        _write_rollout(connection, rollout)
    connection.executemany(
        "INSERT INTO uptime VALUES (?, ?, ?, ?)"
        " ON CONFLICT (service, day, state) DO UPDATE SET seconds = seconds + excluded.seconds",
        [(*key, seconds) for key, seconds in rows.uptime.items()],
    )


def _write_decision(connection: sqlite3.Connection, decision: DecisionRecord) -> None:
    connection.execute(
        "INSERT INTO decisions (at, cycle, service, sentence, desired, running, ready, is_acted, reasons, outcomes)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            milliseconds(decision.at),
            decision.cycle,
            decision.service,
            decision.sentence,
            decision.desired,
            decision.running,
            decision.ready,
            bool(decision.outcomes),
            _json(REASONS.to_json(decision.reasons)),
            _json(OUTCOMES.to_json(decision.outcomes)),
        ),
    )


def _write_incident(connection: sqlite3.Connection, incident: IncidentRecord) -> None:
    """All of it each time, so that a write that was lost is made good by the next; the log comes by itself."""
    connection.execute(
        "INSERT INTO incidents (id, service, replica, kind, title, opened_at, closed_at, exit_code, is_oom_killed,"
        " probe_output, timeline) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET"
        " replica = excluded.replica, kind = excluded.kind, title = excluded.title, closed_at = excluded.closed_at,"
        " exit_code = excluded.exit_code, is_oom_killed = excluded.is_oom_killed,"
        " probe_output = excluded.probe_output, timeline = excluded.timeline",
        (
            incident.id,
            incident.service,
            incident.replica,
            str(incident.kind),
            incident.title,
            milliseconds(incident.opened_at),
            None if incident.closed_at is None else milliseconds(incident.closed_at),
            incident.exit_code,
            incident.is_oom_killed,
            incident.probe_output,
            _json(TIMELINE.to_json(incident.timeline)),
        ),
    )


def _write_rollout(connection: sqlite3.Connection, rollout: RolloutRecord) -> None:
    connection.execute(
        "INSERT INTO rollouts VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET"
        " phase = excluded.phase, verdict = excluded.verdict, finished_at = excluded.finished_at",
        (
            rollout.id,
            rollout.service,
            rollout.image,
            rollout.previous_image,
            rollout.by,
            rollout.phase,
            rollout.verdict,
            milliseconds(rollout.started_at),
            None if rollout.finished_at is None else milliseconds(rollout.finished_at),
        ),
    )
    connection.executemany(
        "INSERT INTO rollout_steps VALUES (?, ?, ?)",
        [(rollout.id, milliseconds(step.at), step.text) for step in rollout.steps],
    )


def call_rows(book: GuardBook) -> list[tuple[object, ...]]:
    """docker-guard's entries as rows of the audit."""
    return [
        (
            milliseconds(entry.at),
            "reader" if entry.call.listener == "read" else "supervisor",
            entry.kind,
            entry.service,
            entry.cause,
            entry.call.verdict != "refused",
            book.id,
            entry.number,
            _json(CALL.to_json(entry.call)),
        )
        for entry in book.entries
    ]


def write_calls(connection: sqlite3.Connection, rows: Sequence[tuple[object, ...]]) -> None:
    """Those that are there already stay as they are."""
    connection.executemany(
        "INSERT INTO audit (at, by, what, service, detail, is_accepted, book, number, call)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        rows,
    )


def last_steps(connection: sqlite3.Connection) -> dict[str, str]:
    """The newest step of each rollout."""
    return dict(connection.execute("SELECT rollout, text FROM rollout_steps ORDER BY rowid").fetchall())


def forget(connection: sqlite3.Connection, now: datetime, days: int, factor: float) -> None:
    """Delete what is older than `days` times `factor`. What is open stays."""
    sqlite_points.forget(connection, int(now.timestamp()), factor)
    oldest = now - timedelta(days=days * factor)
    limit = milliseconds(oldest)
    connection.execute("DELETE FROM decisions WHERE at < ?", (limit,))
    connection.execute("DELETE FROM incidents WHERE closed_at < ?", (limit,))
    connection.execute("DELETE FROM rollouts WHERE finished_at < ?", (limit,))
    connection.execute("DELETE FROM rollout_steps WHERE rollout NOT IN (SELECT id FROM rollouts)")
    connection.execute("DELETE FROM audit WHERE at < ?", (limit,))
    connection.execute("DELETE FROM uptime WHERE day < ?", ((now - timedelta(days=days)).date().isoformat(),))


def give_back(connection: sqlite3.Connection) -> None:
    """Let the file shrink by its free pages. Each call of the pragma frees one: sqlite3 takes only its first step."""
    (free,) = connection.execute("PRAGMA freelist_count").fetchone()
    for _ in range(free):
        connection.execute("PRAGMA incremental_vacuum")


def used_bytes(connection: sqlite3.Connection) -> int:
    """Of the file, without the pages that are free again."""
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    (free,) = connection.execute("PRAGMA freelist_count").fetchone()
    return int(pages - free) * PAGE_BYTES


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))
