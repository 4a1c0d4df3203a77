"""The one thread that writes the history: takes jobs from a bounded queue, each a transaction, and lives through a
corrupt file, a full disk and a folder that cannot be written. Used by sqlite_history.py.

A job that must not be lost waits until the disk takes it again; others (points of charts) are given up.
"""

from __future__ import annotations

import queue
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import structlog

from supervisor.adapters import sqlite_schema

JOBS_WAITING = 500
JOBS_HELD_BACK = 2_000
NOTICE_SECONDS = 3_600.0  # how long a history that was begun anew is told of

log = structlog.stdlib.get_logger("history")

Job = Callable[[sqlite3.Connection], None]


@dataclass(slots=True)
class _Entry:
    job: Job
    is_durable: bool  # on the disk before it counts as done
    is_kept: bool  # tried again later
    done: Future[bool] = field(default_factory=Future)


class SqliteWriter:
    """Jobs run in the order in which they came; durable ones may overtake those that wait for the disk."""

    def __init__(self, path: Path, *, size_bytes: int, make_room: Job) -> None:
        """`make_room` deletes the oldest rows; it is run when the file has reached its size."""
        self._path = path
        self._size_bytes = size_bytes
        self._make_room = make_room
        self._queue: queue.Queue[_Entry | None] = queue.Queue(JOBS_WAITING)
        self._held_back: deque[_Entry] = deque()
        self._connection: sqlite3.Connection | None = None
        self._problem = ""
        self._notice = ""
        self._notice_until = 0.0
        self._thread = threading.Thread(target=self._run, name="history", daemon=True)
        self._thread.start()

    @property
    def problem(self) -> str:
        """What is wrong, as a sentence; empty when all is well."""
        return self._problem or (self._notice if time.monotonic() < self._notice_until else "")

    def submit(self, job: Job, *, is_durable: bool = False, is_kept: bool = False) -> Future[bool]:
        """Whether it was written. Never blocks: a full queue means that the disk is far too slow, and drops the job."""
        entry = _Entry(job, is_durable, is_kept)
        try:
            self._queue.put_nowait(entry)
        except queue.Full:
            self._say("The history's disk is too slow; some of what happens is not kept.")
            entry.done.set_result(False)
        return entry.done

    def close(self, timeout_seconds: float = 5.0) -> None:
        """Write what waits, and end the thread."""
        self._queue.put(None)
        self._thread.join(timeout_seconds)

    def _run(self) -> None:
        while (entry := self._queue.get()) is not None:
            if entry.done.set_running_or_notify_cancel():
                entry.done.set_result(self._take(entry))
        self._disconnect()

    def _take(self, entry: _Entry) -> bool:
        if self._held_back and entry.is_kept:
            self._hold_back(entry)  # never before what came earlier
            self._catch_up()
            return not self._held_back
        is_written = self._execute(entry)
        if is_written:
            self._catch_up()
        elif entry.is_kept:
            self._hold_back(entry)
        return is_written

    def _hold_back(self, entry: _Entry) -> None:
        if len(self._held_back) >= JOBS_HELD_BACK:
            self._held_back.popleft()
        self._held_back.append(entry)

    def _catch_up(self) -> None:
        while self._held_back and self._execute(self._held_back[0]):
            self._held_back.popleft()

    def _execute(self, entry: _Entry) -> bool:
        """Run the job; once more after a repair. True when it need not be run again."""
        for _ in range(2):
            try:
                self._transact(entry)
                self._problem = ""
                return True
            except Exception as error:
                if not isinstance(error, OSError) and not sqlite_schema.is_of_the_disk(error):
                    # A job that can never be carried out would hold back all that come after it.
                    log.exception("history job failed")
                    self._say(f"Something could not be kept: {error}.")
                    return True
                if not self._is_repaired(error):
                    return False
        return False

    def _transact(self, entry: _Entry) -> None:
        if not self._path.exists():
            self._disconnect()  # somebody deleted it; what is written to it now would be gone
        if self._connection is None:
            self._connection = sqlite_schema.open_writing(self._path, self._size_bytes)
        connection = self._connection
        connection.execute(f"PRAGMA synchronous = {'FULL' if entry.is_durable else 'NORMAL'}")
        connection.execute("BEGIN IMMEDIATE")
        try:
            entry.job(connection)
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise

    def _is_repaired(self, error: Exception) -> bool:
        """Do what can be done about it. True: trying again is worth while."""
        if sqlite_schema.is_broken(error):
            return self._begin_anew(error)
        if sqlite_schema.primary_code(error) == sqlite3.SQLITE_FULL and self._has_made_room():
            return True
        self._disconnect()
        self._say(f"The history cannot be written, and what happens is not kept: {error}.")
        return False

    def _begin_anew(self, error: Exception) -> bool:
        self._disconnect()
        try:
            aside = sqlite_schema.put_aside(self._path, datetime.now(UTC))
        except OSError as failure:
            self._say(f"The history is corrupt ({error}) and cannot be put aside: {failure}.")
            return False
        self._notice = f"The history was corrupt ({error}); a new one was begun, and the old one is {aside.name}."
        self._notice_until = time.monotonic() + NOTICE_SECONDS
        log.error("history corrupt", problem=str(error), aside=str(aside))
        return True

    def _has_made_room(self) -> bool:
        """Whether old rows could go. Not when it is the disk that is full, and not the file."""
        connection = self._connection
        if connection is None:
            return False
        try:
            connection.execute("BEGIN IMMEDIATE")
            self._make_room(connection)
            connection.execute("COMMIT")
        except sqlite3.Error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            return False
        return True

    def _disconnect(self) -> None:
        if self._connection is not None:
            try:
                self._connection.close()
            except sqlite3.Error as error:
                log.warning("history not closed", problem=str(error))
            self._connection = None

    def _say(self, problem: str) -> None:
        if problem != self._problem:
            log.warning("history", problem=problem)
        self._problem = problem
