"""Decides how the numbers behind the charts are kept, and for how long: every 10 s for six hours, then by minute for a
week, then by ten minutes. Used by sqlite_history.py (writing) and sqlite_archive.py (reading).

A row is a service or a replica at one time, with all its numbers as whole numbers of small units: about 20 bytes, so
100 containers for 90 days are about 60 MB.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from supervisor.ports import Series

HOUR, DAY = 3_600, 86_400


class Column(NamedTuple):
    """How a number is stored (value * scale, rounded) and how many of them become one."""

    scale: int
    together: str


# What a chart must not lose: the slowest answers, the fewest ready, the most wanted.
COLUMNS = {
    "cpu_ratio": Column(10_000, "avg"),
    "memory_ratio": Column(10_000, "avg"),
    "requests_per_second": Column(100, "avg"),
    "p95_seconds": Column(10_000, "max"),
    "ready": Column(1, "min"),
    "running": Column(1, "max"),
    "desired": Column(1, "max"),
}


class Tier(NamedTuple):
    table: str
    seconds: int  # between two points
    kept_seconds: int


TIERS = (
    Tier("points_10s", 10, 6 * HOUR),
    Tier("points_1min", 60, 7 * DAY),
    Tier("points_10min", 600, 90 * DAY),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A service (replica empty) or a replica by name, now. None: not known."""

    service: str
    replica: str = ""
    cpu_ratio: float | None = None
    memory_ratio: float | None = None
    requests_per_second: float | None = None
    p95_seconds: float | None = None
    ready: int | None = None
    running: int | None = None
    desired: int | None = None


def write(connection: sqlite3.Connection, at: int, points: tuple[Point, ...]) -> None:
    """`at`: unix seconds. Part of a transaction of the writer."""
    known = _subjects(connection)
    rows = []
    for point in points:
        subject = known.get((point.service, point.replica))
        if subject is None:
            insert = "INSERT INTO subjects (service, replica) VALUES (?, ?)"
            subject = connection.execute(insert, (point.service, point.replica)).lastrowid
        rows.append((subject, at, *(_stored(getattr(point, name), column) for name, column in COLUMNS.items())))
    connection.executemany(f"INSERT OR REPLACE INTO points_10s VALUES (?, ?{', ?' * len(COLUMNS)})", rows)  # noqa: S608
    roll_up(connection, at)


def roll_up(connection: sqlite3.Connection, now: int) -> None:
    """Sum up the minutes (and tens of minutes) that have ended and were not yet."""
    until = dict(connection.execute("SELECT tier, until FROM rolled_up").fetchall())
    together = ", ".join(f"CAST(round({column.together}({name})) AS INTEGER)" for name, column in COLUMNS.items())
    for fine, coarse in pairwise(TIERS):
        end = now - now % coarse.seconds
        if until.get(coarse.table) == end:
            continue
        start = min(until.get(coarse.table, 0), end)  # the clock may have been set back
        connection.execute(
            # The tables' names are constants of this module.
            f"INSERT OR REPLACE INTO {coarse.table} SELECT subject, at - at % ?1, {together} FROM {fine.table}"  # noqa: S608
            " WHERE subject IN (SELECT id FROM subjects) AND at >= ?2 AND at < ?3 GROUP BY subject, at - at % ?1",
            (coarse.seconds, start, end),
        )
        connection.execute("INSERT OR REPLACE INTO rolled_up VALUES (?, ?)", (coarse.table, end))


def forget(connection: sqlite3.Connection, now: int, factor: float) -> None:
    """Delete what is older than its tier keeps (times `factor`: less when space is short), and who has no points."""
    for tier in TIERS:
        connection.execute(
            f"DELETE FROM {tier.table} WHERE subject IN (SELECT id FROM subjects) AND at < ?",  # noqa: S608
            (now - round(tier.kept_seconds * factor),),
        )
    without = " AND ".join(
        f"NOT EXISTS (SELECT 1 FROM {tier.table} WHERE subject = subjects.id)"  # noqa: S608
        for tier in TIERS
    )
    connection.execute(f"DELETE FROM subjects WHERE {without}")  # noqa: S608


def read(connection: sqlite3.Connection, subject: tuple[str, str], name: str, span: tuple[int, int]) -> Series:
    """One number of (service, replica) since span[0], as of span[1] (unix seconds), oldest first.

    It comes from the finest tier that reaches back so far, and what that has not summed up yet from finer ones.
    Raises KeyError when there is no such name.
    """
    column, (since, now) = COLUMNS[name], span
    number = _subjects(connection).get(subject)
    if number is None:
        return ()
    # "Six hours ago" was said a moment ago.
    reach = now - since - TIERS[1].seconds
    depth = next((index for index, tier in enumerate(TIERS) if reach <= tier.kept_seconds), len(TIERS) - 1)
    found: list[tuple[float, float]] = []
    for tier in reversed(TIERS[: depth + 1]):
        rows = connection.execute(
            f"SELECT at, {name} FROM {tier.table} WHERE subject = ? AND at >= ? ORDER BY at",  # noqa: S608
            (number, since),
        ).fetchall()
        found += [(float(at), value / column.scale) for at, value in rows if value is not None]
        if rows:
            since = rows[-1][0] + tier.seconds
    return tuple(found)


def _subjects(connection: sqlite3.Connection) -> Mapping[tuple[str, str], int]:
    rows = connection.execute("SELECT service, replica, id FROM subjects")
    return {(service, replica): subject for service, replica, subject in rows}


def _stored(value: float | None, column: Column) -> int | None:
    return None if value is None else round(value * column.scale)
