"""Decides how the loop's memory is written down, and how it is read after a restart. Used by sqlite_history.py.

Times in a memory are steady seconds, which begin anew when the machine boots. What was saved before a reboot is shifted
as a whole, so that the moment of saving is the moment of reading: the intervals between its times stay what they were.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

from supervisor.adapters.typed_json import coder
from supervisor.domain.memory import Memory

VERSION = 1

_TIME_ENDINGS = ("_at", "_since", "_until", "_times", "_seen")
_TIME_NAMES = frozenset({"at", "since", "pauses", "pending_starts"})
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class BadMemoryError(ValueError):
    """The text is no memory that this version can read."""


def is_time(name: str) -> bool:
    """Whether the numbers in a memory's field of this name are steady seconds (and not an amount)."""
    return name in _TIME_NAMES or name.endswith(_TIME_ENDINGS)


def boot_id() -> str:
    """What changes with every boot of the machine, a container's too; empty where the kernel does not say."""
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return ""


def encode(memory: Memory, boot: str) -> str:
    """The memory as JSON. `boot`: in which its times hold."""
    return json.dumps(
        {"version": VERSION, "boot": boot, "memory": coder(Memory).to_json(memory)}, separators=(",", ":")
    )


def decode(text: str, now: float, boot: str) -> Memory:
    """The memory as of `now`, steady seconds of the boot `boot`. Raises BadMemoryError."""
    try:
        written = json.loads(text)
        if written["version"] > VERSION:
            raise ValueError(f"it is of version {written['version']}, newer than {VERSION}")
        memory: Memory = coder(Memory).from_json(written["memory"])
        saved_in = written.get("boot", "")
    except (ValueError, TypeError, KeyError) as error:
        raise BadMemoryError(f"The saved memory cannot be read: {error}") from error
    is_other_boot = bool(boot and saved_in and boot != saved_in)
    if is_other_boot or memory.saved_at > now:
        shifted: Memory = _shifted(memory, now - memory.saved_at)
        return shifted
    return memory


def _shifted(value: Any, by: float) -> Any:
    """The same value with all times `by` seconds later."""
    if isinstance(value, Mapping):
        return {key: _shifted(item, by) for key, item in value.items()}
    if isinstance(value, tuple):
        return tuple(_shifted(item, by) for item in value)
    if not is_dataclass(value) or isinstance(value, type):
        return value
    changes = {}
    for field in fields(value):
        item = getattr(value, field.name)
        changes[field.name] = _later(item, by) if is_time(field.name) else _shifted(item, by)
    return replace(value, **changes)


def _later(item: Any, by: float) -> Any:
    """A time, or a collection of times, `by` seconds later. A text is a moment of the calendar and stays."""
    if isinstance(item, Mapping):
        return {key: _later(time, by) for key, time in item.items()}
    if isinstance(item, tuple):
        return tuple(_later(time, by) for time in item)
    return item + by if isinstance(item, float | int) else item
