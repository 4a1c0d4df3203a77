"""One readable sentence for the ledger from the notes that a translator collected. What a jar says can be endless."""

from __future__ import annotations

from collections.abc import Iterable

_MOST_NOTES = 8
_LONGEST_NOTE = 240


def sentence(start: str, notes: Iterable[str]) -> str:
    """`start` and the notes, the first few in full; empty without any note."""
    listed = [note if len(note) <= _LONGEST_NOTE else f"{note[:_LONGEST_NOTE]}..." for note in notes]
    if len(listed) > _MOST_NOTES:
        listed = [*listed[:_MOST_NOTES], f"and {len(listed) - _MOST_NOTES} more"]
    return f"{start}: {'; '.join(listed)}." if listed else ""
