"""Limits and options of one conversion: plain frozen values that the caller builds once and passes in."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

MEBIBYTE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """What the reader accepts; checked on declared sizes before anything is unpacked, and again while reading."""

    jar_bytes: int = 100 * MEBIBYTE
    entries: int = 100_000
    directory_bytes: int = 32 * MEBIBYTE
    """Central directory: zipfile reads it whole, whatever count the end record claims."""
    unpacked_bytes: int = 1024 * MEBIBYTE
    """Sum of the declared sizes of all entries."""
    ratio: int = 200
    """Unpacked to packed size, of an entry of more than `ratio_from_bytes` and of the whole jar."""
    ratio_from_bytes: int = 4 * MEBIBYTE
    file_bytes: int = 64 * MEBIBYTE
    """One entry read into memory."""
    json_bytes: int = 8 * MEBIBYTE
    json_depth: int = 64
    name_characters: int = 512
    texture_pixels: int = 4096
    """Longer side of a texture frame; the width of an animation strip and the height of one of its frames."""


@dataclass(frozen=True, slots=True)
class Options:
    """How to convert. `creator_tools` is a directory that holds node_modules; None looks in the usual places."""

    limits: Limits = field(default_factory=Limits)
    mojang_gate: bool = True
    creator_tools: Path | None = None
    vanilla_tables: Path | None = None
    previews: int = 600
    """At most this many preview pictures."""
