"""Paths in the add-on that Bedrock accepts on every device: Mojang's validator refuses more than 100 characters."""

from __future__ import annotations

import hashlib

_LONGEST = 96
"""Characters below the pack's own folder; a few are left for what a store or a console puts in front."""


def addon_path(folder: str, name: str, suffix: str) -> str:
    """`folder/name.suffix`, with a name that is too long cut and told apart by a hash: "BP/recipes/ns" is a folder."""
    path = f"{folder}/{name}{suffix}"
    excess = len(path.partition("/")[2]) - _LONGEST
    if excess <= 0:
        return path
    digest = hashlib.sha256(name.encode()).hexdigest()[:12]
    kept = name[: max(1, len(name) - excess - len(digest) - 1)]
    return f"{folder}/{kept}.{digest}{suffix}"
