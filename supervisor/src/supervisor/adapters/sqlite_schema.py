"""The history's tables, how an older file is brought up to date, and how a broken one is put aside.

Used by sqlite_writer.py (which alone writes) and sqlite_archive.py (which reads). Times are whole milliseconds since
1970, in points whole seconds.
"""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime
from pathlib import Path

BUSY_SECONDS = 5.0
BROKEN_FILES_KEPT = 2
PAGE_BYTES = 4096
HARD_LIMIT_FACTOR = 1.25  # of the size at which old rows go: until then rows are still written
WAL_BYTES = 16 * 2**20  # what the log is cut down to after a large transaction

_POINTS = """(
    subject INTEGER NOT NULL, at INTEGER NOT NULL,
    cpu_ratio INTEGER, memory_ratio INTEGER, requests_per_second INTEGER, p95_seconds INTEGER,
    ready INTEGER, running INTEGER, desired INTEGER,
    PRIMARY KEY (subject, at)
) WITHOUT ROWID"""

# One entry a version of the schema; the first makes an empty file version 1. Only ever append.
MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        "CREATE TABLE memory (id INTEGER PRIMARY KEY CHECK (id = 1), at INTEGER NOT NULL, text TEXT NOT NULL)",
        """CREATE TABLE decisions (
            id INTEGER PRIMARY KEY, at INTEGER NOT NULL, cycle INTEGER NOT NULL, service TEXT NOT NULL,
            sentence TEXT NOT NULL, desired INTEGER NOT NULL, running INTEGER NOT NULL, ready INTEGER NOT NULL,
            is_acted INTEGER NOT NULL, reasons TEXT NOT NULL, outcomes TEXT NOT NULL)""",
        "CREATE INDEX decisions_service ON decisions (service, id)",
        "CREATE INDEX decisions_acted ON decisions (id) WHERE is_acted",
        "CREATE INDEX decisions_at ON decisions (at)",
        """CREATE TABLE incidents (
            id INTEGER PRIMARY KEY, service TEXT NOT NULL, replica TEXT NOT NULL, kind TEXT NOT NULL,
            title TEXT NOT NULL, opened_at INTEGER NOT NULL, closed_at INTEGER, exit_code INTEGER,
            is_oom_killed INTEGER NOT NULL, probe_output TEXT NOT NULL, log_tail TEXT NOT NULL DEFAULT '',
            timeline TEXT NOT NULL)""",
        "CREATE INDEX incidents_service ON incidents (service, id)",
        "CREATE INDEX incidents_open ON incidents (id) WHERE closed_at IS NULL",
        """CREATE TABLE rollouts (
            id TEXT PRIMARY KEY, service TEXT NOT NULL, image TEXT NOT NULL, previous_image TEXT NOT NULL,
            by TEXT NOT NULL, phase TEXT NOT NULL, verdict TEXT NOT NULL, started_at INTEGER NOT NULL,
            finished_at INTEGER) WITHOUT ROWID""",
        "CREATE INDEX rollouts_started ON rollouts (started_at)",
        "CREATE TABLE rollout_steps (rollout TEXT NOT NULL, at INTEGER NOT NULL, text TEXT NOT NULL)",
        "CREATE INDEX rollout_steps_rollout ON rollout_steps (rollout, at)",
        """CREATE TABLE audit (
            id INTEGER PRIMARY KEY, at INTEGER NOT NULL, by TEXT NOT NULL, what TEXT NOT NULL, service TEXT NOT NULL,
            detail TEXT NOT NULL, is_accepted INTEGER NOT NULL)""",
        "CREATE TABLE subjects (id INTEGER PRIMARY KEY, service TEXT NOT NULL, replica TEXT NOT NULL,"
        " UNIQUE (service, replica))",
        f"CREATE TABLE points_10s {_POINTS}",
        f"CREATE TABLE points_1min {_POINTS}",
        f"CREATE TABLE points_10min {_POINTS}",
        "CREATE TABLE rolled_up (tier TEXT PRIMARY KEY, until INTEGER NOT NULL) WITHOUT ROWID",
        """CREATE TABLE uptime (
            service TEXT NOT NULL, day TEXT NOT NULL, state TEXT NOT NULL, seconds REAL NOT NULL,
            PRIMARY KEY (service, day, state)) WITHOUT ROWID""",
    ),
    (
        # docker-guard's calls stand among what operators asked for: `number` counts within the guard's `book`.
        "ALTER TABLE audit ADD COLUMN book TEXT",
        "ALTER TABLE audit ADD COLUMN number INTEGER",
        "ALTER TABLE audit ADD COLUMN call TEXT",
        "CREATE UNIQUE INDEX audit_calls ON audit (book, number) WHERE book IS NOT NULL",
        "CREATE INDEX audit_at ON audit (at)",
        "CREATE INDEX audit_refused ON audit (at) WHERE NOT is_accepted",
    ),
)
VERSION = len(MIGRATIONS)

_OF_THE_DISK = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_PERM,
    }
)


class BrokenError(sqlite3.DatabaseError):
    """The file is no history that this version can go on with; it must be put aside."""


def open_writing(path: Path, size_bytes: int) -> sqlite3.Connection:
    """The one connection that writes; makes or migrates the file. Raises sqlite3.Error, OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Transactions are begun and ended in words; only the writer's thread uses it.
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # heeded while the file is empty
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA journal_size_limit = {WAL_BYTES}")
        connection.execute(f"PRAGMA max_page_count = {int(size_bytes * HARD_LIMIT_FACTOR) // PAGE_BYTES}")
        migrate(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def open_reading(path: Path) -> sqlite3.Connection:
    """A connection that cannot write, for one question. Raises sqlite3.Error."""
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=BUSY_SECONDS)


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the tables to VERSION, each step in a transaction of its own. BrokenError when they are newer."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > VERSION:
        raise BrokenError(f"it was written by a newer version of the supervisor ({version}, not {VERSION})")
    for number in range(version, VERSION):
        connection.execute("BEGIN IMMEDIATE")
        try:
            for statement in MIGRATIONS[number]:
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {number + 1}")
            connection.execute("COMMIT")
        except BaseException:
            connection.execute("ROLLBACK")
            raise


def check(connection: sqlite3.Connection) -> None:
    """Raises BrokenError when the file's structure is damaged. Reads the whole file."""
    found = connection.execute("PRAGMA quick_check(1)").fetchone()
    if found is not None and found[0] != "ok":
        raise BrokenError(str(found[0]).splitlines()[0])


def primary_code(error: Exception) -> int | None:
    """SQLite's primary result code; None for errors that are not SQLite's own."""
    code = getattr(error, "sqlite_errorcode", None)
    return None if code is None else int(code) & 0xFF


def is_broken(error: Exception) -> bool:
    """Whether the file must be put aside (and not: the disk is full, or somebody else is writing)."""
    return isinstance(error, BrokenError) or primary_code(error) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def is_of_the_disk(error: Exception) -> bool:
    """Whether the file or its disk is to blame, and not the statement."""
    return is_broken(error) or primary_code(error) in _OF_THE_DISK


def put_aside(path: Path, now: datetime) -> Path:
    """Rename a broken history, so that a new one can begin and a person can look at the old. Keeps the newest few."""
    aside = path.with_name(f"{path.stem}.corrupt-{now.astimezone(UTC):%Y%m%dT%H%M%S}Z{path.suffix}")
    path.replace(aside)
    for ending in ("-wal", "-shm"):  # a new file must not find the old one's log
        path.with_name(path.name + ending).unlink(missing_ok=True)
    kept = sorted(path.parent.glob(f"{path.stem}.corrupt-*{path.suffix}"))
    for old in kept[:-BROKEN_FILES_KEPT]:
        old.unlink(missing_ok=True)
    return aside


def milliseconds(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


def moment(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
