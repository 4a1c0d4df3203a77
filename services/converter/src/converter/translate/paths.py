"""Paths in the add-on that Bedrock accepts on every device: Mojang's validator refuses more than 100 characters."""

from __future__ import annotations

import hashlib
from collections.abc import Container

from converter.bedrock.names import unused

_LONGEST = 96
"""Characters below the pack's own folder; a few are left for what a store or a console puts in front."""


def addon_path(folder: str, name: str, suffix: str) -> str:
    """`folder/name.suffix`, cut and told apart by a hash where it is too long: "BP/recipes/ns" is a folder.

    Of a path that is too long the end goes first, then folders: their names may be as long as the mod's makers like.
    """
    path = f"{folder}/{name}"
    excess = len(path.partition("/")[2]) + len(suffix) - _LONGEST
    if excess <= 0:
        return f"{path}{suffix}"
    digest = hashlib.sha256(path.encode()).hexdigest()[:12]
    return f"{path[: -excess - len(digest) - 1].rstrip('./')}.{digest}{suffix}"


def texture_place(folder: str, name: str, taken: Container[str]) -> str:
    """Path of a picture in the resource pack without suffix, one that `taken` does not have: "ns/items" is a folder."""
    path = addon_path(f"RP/textures/{folder}", name, ".png")
    return unused(path.removeprefix("RP/").removesuffix(".png"), taken)
