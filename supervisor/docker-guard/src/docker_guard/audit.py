"""The book of what was done and refused: JSON lines on stdout, the newest also in memory for the supervisor's page.

Written by listener.py. Every change is in it. Reads are counted only, and refusals are written at a bounded rate, so
that nobody can drown the book or fill the disk; how many were left out stands in the next one that is written.
"""

from __future__ import annotations

import json
import secrets
import time
from collections import Counter, deque
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, TextIO

KEPT_ENTRIES = 1000
REFUSALS_AT_ONCE = 50
REFUSALS_PER_SECOND = 2.0
MAX_TEXT_CHARACTERS = 300
SERVICE = "docker-guard"


class Verdict(StrEnum):
    ALLOWED = "allowed"  # and Docker answered; `status` is its answer
    REFUSED = "refused"
    FAILED = "failed"  # allowed, but Docker was not there


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line. `cause` is what the supervisor said it was for (header X-Cause). `kind` is the call's, empty when it is
    on no list; `subject` is what it is about, by name."""

    listener: str
    kind: str = ""
    subject: str = ""
    method: str
    path: str
    verdict: Verdict
    reason: str = ""
    cause: str = ""
    status: int
    duration_seconds: float


class Audit:
    """Counts and entries since the guard started."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._book = secrets.token_hex(8)  # numbers begin again with each guard, so they are its own
        self._entries: deque[dict[str, Any]] = deque(maxlen=KEPT_ENTRIES)
        self._newest = 0
        self._reads: Counter[str] = Counter()
        self._refusals = 0
        self._allowance = float(REFUSALS_AT_ONCE)
        self._refilled_at = time.monotonic()
        self._left_out = 0

    def count_read(self, kind: str) -> None:
        self._reads[kind] += 1

    def add(self, entry: Entry) -> None:
        if entry.verdict is Verdict.REFUSED:
            self._refusals += 1
            if not self._may_write_refusal():
                self._left_out += 1
                return
        self._newest += 1
        line = {key: plain(value) if isinstance(value, str) else value for key, value in asdict(entry).items()}
        line = {"id": self._newest, "timestamp": datetime.now(UTC).isoformat(), **line}
        if self._left_out:
            line["refusals_left_out"], self._left_out = self._left_out, 0
        self._entries.append(line)
        level = "info" if entry.verdict is Verdict.ALLOWED else "warning"
        self.write("call", level=level, **line)

    def write(self, event: str, *, level: str = "info", **fields: Any) -> None:
        """One line on stdout, with or without an entry."""
        line = {
            "timestamp": datetime.now(UTC).isoformat(),
            **fields,
            "event": event,
            "level": level,
            "service": SERVICE,
        }
        print(json.dumps(line, sort_keys=True), file=self._out, flush=True)

    def after(self, entry_id: int) -> dict[str, Any]:
        """What GET /guard/audit answers: entries with a greater id, oldest first, and the counts. `book` is another one
        after a restart, which forgets all entries."""
        return {
            "book": self._book,
            "entries": [entry for entry in self._entries if entry["id"] > entry_id],
            "newest": self._newest,
            "reads": dict(self._reads),
            "refusals": self._refusals,
        }

    def _may_write_refusal(self) -> bool:
        now = time.monotonic()
        self._allowance += (now - self._refilled_at) * REFUSALS_PER_SECOND
        self._allowance = min(self._allowance, float(REFUSALS_AT_ONCE))
        self._refilled_at = now
        if self._allowance < 1:
            return False
        self._allowance -= 1
        return True


def plain(text: str) -> str:
    """Printable and of bounded length: what a client sends must not be able to forge a line, or fill the book."""
    return "".join(sign if sign.isprintable() else "?" for sign in text[:MAX_TEXT_CHARACTERS])
