"""Reads and extends .env files without ever rewriting a line that a person wrote. Used by env.py and project.py.

The format is the part of Compose's that .env.example uses: `NAME=value` lines, full-line comments, optional quotes.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_ASSIGNMENT = re.compile(r"^(?:export\s+)?(?P<key>[A-Za-z_][A-Za-z0-9_]*)\s*=\s*(?P<value>.*)$")


class BadLineError(ValueError):
    """A line that is neither empty, a comment, nor NAME=value."""

    def __init__(self, line: int, text: str) -> None:
        self.line = line
        super().__init__(f"line {line} is not NAME=value: {text!r}")


@dataclass(frozen=True, slots=True)
class Entry:
    """One setting and the line (counted from 1) that sets it."""

    key: str
    value: str
    line: int


def parse(text: str) -> dict[str, Entry]:
    """All settings by name; a later line wins over an earlier one. Raises BadLineError."""
    entries: dict[str, Entry] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        match = _ASSIGNMENT.match(stripped)
        if match is None:
            raise BadLineError(number, stripped)
        entries[match["key"]] = Entry(match["key"], _unquote(match["value"]), number)
    return entries


def values(text: str) -> dict[str, str]:
    """The settings as plain strings. Raises BadLineError."""
    return {key: entry.value for key, entry in parse(text).items()}


def assign(text: str, key: str, value: str) -> str:
    """The text with `key` set to `value`: in its own line where there is one, else in a new last line."""
    entry = parse(text).get(key)
    if entry is None:
        return f"{_ended(text)}{key}={value}\n"
    lines = text.splitlines()
    lines[entry.line - 1] = f"{key}={value}"
    return "\n".join(lines) + "\n"


def with_missing(text: str, example: str, chosen: Mapping[str, str]) -> tuple[str, list[str]]:
    """Add the settings that `example` has and `text` lacks, each with its comment.

    `chosen` holds values for new settings that differ from the example's. Returns the new text and the added names.
    """
    present = parse(text)
    added = [key for key in parse(example) if key not in present]
    if not added:
        return text, []
    if not present and not text.strip():
        result = example
    else:
        result = _ended(text) + "".join(f"\n{block}" for block in _blocks(example, set(added)))
    for key in added:
        if key in chosen:
            result = assign(result, key, chosen[key])
    return result, added


def write_atomically(path: Path, text: str, mode: int) -> None:
    """Replace the file in one step, so that a Ctrl-C leaves the old or the new one, never half of one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        temporary.chmod(mode)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _blocks(example: str, wanted: set[str]) -> list[str]:
    """The paragraphs of the example (comment plus assignments), cut down to the wanted settings."""
    blocks: list[str] = []
    for paragraph in re.split(r"\n\s*\n", example):
        comments: list[str] = []
        assignments: list[str] = []
        for line in paragraph.splitlines():
            match = _ASSIGNMENT.match(line.strip())
            if match is not None and match["key"] in wanted:
                assignments.append(line)
            elif line.startswith("#"):
                comments.append(line)
        if assignments:
            blocks.append("\n".join([*comments, *assignments]) + "\n")
    return blocks


def _ended(text: str) -> str:
    return text if not text or text.endswith("\n") else f"{text}\n"


def _unquote(value: str) -> str:
    value = value.strip()
    if len(value) >= 2 and value[0] in "\"'":
        closing = value.find(value[0], 1)
        if closing > 0:
            return value[1:closing]
    return re.split(r"\s+#", value, maxsplit=1)[0].strip()
