"""Tables and colours for people, JSON for programs. Colours only on a terminal, and never with NO_COLOR."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from collections.abc import Sequence
from typing import Any, TextIO

GREEN, YELLOW, RED, DIM, BOLD = "32", "33", "31", "2", "1"
STATE_COLOURS = {
    "up": GREEN,
    "ready": GREEN,
    "done": GREEN,
    "degraded": YELLOW,
    "starting": YELLOW,
    "restarting": YELLOW,
    "leaving": YELLOW,
    "draining": YELLOW,
    "rolling_back": YELLOW,
    "down": RED,
    "not ready": RED,
    "hung": RED,
    "crashed": RED,
    "quarantined": RED,
    "rolled_back": RED,
    "open": RED,
}
GAP = "  "
LAST_COLUMN_MIN = 20
# Controls of the terminal, and signs that turn the direction of a line.
_CONTROLS = r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]"
_CONTROL = re.compile(_CONTROLS)
_CONTROL_OR_COLOUR = re.compile(rf"(\x1b\[(?:0|{GREEN}|{YELLOW}|{RED}|{DIM}|{BOLD})m)|{_CONTROLS}")


def is_terminal(stream: TextIO) -> bool:
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def painted(text: str, colour: str, stream: TextIO | None = None) -> str:
    """In this colour where the stream (default: stdout) shows colours."""
    stream = stream or sys.stdout
    if not colour or not text or "NO_COLOR" in os.environ or not is_terminal(stream):
        return text
    return f"\033[{colour}m{text}\033[0m"


def state(text: str) -> str:
    return painted(text, STATE_COLOURS.get(text.strip(), ""))


def table(head: Sequence[str], rows: Sequence[Sequence[str]], *, state_column: int | None = None) -> str:
    """Columns as wide as their widest cell; on a terminal the last one is cut at its edge, elsewhere it is whole."""
    rows = [[cell.replace("\n", " ") for cell in row] for row in rows]
    widths = [max(len(line[index]) for line in (head, *rows)) for index in range(len(head) - 1)]
    room = max(LAST_COLUMN_MIN, _columns() - sum(widths) - len(GAP) * len(widths)) if is_terminal(sys.stdout) else None
    lines = [painted(_line(head, widths, room), BOLD)]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, [*widths, 0], strict=True)]
        cells[-1] = _cut(cells[-1], room)
        if state_column is not None:
            cells[state_column] = state(cells[state_column])
        lines.append(GAP.join(cells).rstrip())
    return "\n".join(lines)


def _line(cells: Sequence[str], widths: Sequence[int], room: int | None) -> str:
    padded = [cell.ljust(width) for cell, width in zip(cells, [*widths, 0], strict=True)]
    return GAP.join([*padded[:-1], _cut(padded[-1], room)]).rstrip()


def _cut(text: str, room: int | None) -> str:
    return text if room is None or len(text) <= room else text[: room - 1] + "…"


def _columns() -> int:
    return shutil.get_terminal_size((100, 24)).columns


def say(text: str) -> None:
    print(_harmless(text), flush=True)


def say_json(value: Any, *, is_line: bool = False) -> None:
    """One document, or one line of many."""
    text = json.dumps(value, ensure_ascii=False, indent=None if is_line else 2)
    # Within texts alone: JSON has no controls elsewhere but the line breaks, which stay.
    print(_CONTROL.sub(lambda found: json.dumps(found[0])[1:-1], text), flush=True)


def complain(sentence: str) -> None:
    print(_harmless(f"{painted('supervisor:', RED, sys.stderr)} {sentence}"), file=sys.stderr, flush=True)


def _harmless(text: str) -> str:
    """Without what could steer the terminal, but for our own colours: reasons and titles quote what containers say."""
    return _CONTROL_OR_COLOUR.sub(lambda found: found[1] or "?", text)


def percent(ratio: float | None) -> str:
    return "-" if ratio is None else f"{ratio * 100:.0f} %"


def number(value: float | None, unit: str = "") -> str:
    return "-" if value is None else f"{value:.3g}{unit}"


def moment(text: str | None) -> str:
    """An ISO time as it is shown: 2026-03-01 12:00:05, in UTC as everything else here."""
    return "-" if not text else text[:19].replace("T", " ")
