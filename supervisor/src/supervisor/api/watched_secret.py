"""Secrets that take effect when their file changes: the password's hash, the token, the key of the sessions.

A file is looked at each time its secret is needed, and read when it is another one. What is no such secret (half
written, empty, gone) is not taken: the one before stays in force.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import structlog

log = structlog.stdlib.get_logger("secrets")

Secret = Callable[[], str]


class WatchedSecret:
    """Call it for the secret in force."""

    def __init__(self, value: str, path: Path, is_good: Callable[[str], bool]) -> None:
        """`value` is what the settings say. The file counts only when it says the same: else they are from elsewhere,
        such as the environment, and stay."""
        self._value = value.strip()
        self._path = path
        self._is_good = is_good
        self._seen = self._version()
        self._is_watched = self._read() == self._value

    def __call__(self) -> str:
        version = self._version() if self._is_watched else self._seen
        if version != self._seen:
            self._seen = version
            self._take(self._read())
        return self._value

    def _take(self, text: str) -> None:
        if text == self._value:
            return
        if self._is_good(text):
            self._value = text
            log.warning("secret_changed", file=self._path.name)
        else:
            log.warning("secret_not_taken", file=self._path.name, reason="the file holds nothing that could be one")

    def _read(self) -> str:
        try:
            return self._path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError):
            return ""

    def _version(self) -> tuple[int, ...]:
        try:
            found = self._path.stat()
        except OSError:
            return ()
        return found.st_ino, found.st_size, found.st_mtime_ns
