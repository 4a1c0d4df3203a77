"""What changed between two JSON documents, as an RFC 7396 merge patch: the body of the event stream."""

from __future__ import annotations

from typing import Any

Document = dict[str, Any]


def merge_patch(before: Document, after: Document) -> Document:
    """The patch that turns `before` into `after`; empty when they are equal. Neither may hold null values."""
    patch: Document = {name: None for name in before if name not in after}
    for name, value in after.items():
        old = before.get(name)
        if isinstance(value, dict) and isinstance(old, dict):
            if inner := merge_patch(old, value):
                patch[name] = inner
        elif value != old:
            patch[name] = value
    return patch
