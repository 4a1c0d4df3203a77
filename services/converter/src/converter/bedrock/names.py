"""What things are called in Bedrock: identifiers, parts of file paths, and keys of the texture atlases. Pure."""

from __future__ import annotations

import re
from collections.abc import Container

from converter.model import split_id

_NOT_BEDROCK = re.compile(r"[^a-z0-9_.-]+")


def assign_bedrock_ids(java_ids: tuple[str, ...]) -> dict[str, str]:
    """One Bedrock identifier for each Java id. Bedrock allows no "/" in it; a name that then clashes gets a number."""
    taken: set[str] = set()
    assigned: dict[str, str] = {}
    for java_id in sorted(java_ids):
        namespace, path = split_id(java_id)
        unique = unused(f"{bedrock_name(namespace)}:{bedrock_name(path)}", taken)
        taken.add(unique)
        assigned[java_id] = unique
    return assigned


def unused(name: str, *taken: Container[str]) -> str:
    """`name`, with the first number from 2 on that makes it one that none of `taken` has."""
    unique, number = name, 2
    while any(unique in each for each in taken):
        unique, number = f"{name}_{number}", number + 1
    return unique


def bedrock_name(name: str) -> str:
    """`name` with everything that a Bedrock identifier or file path cannot hold turned into "_"."""
    return _NOT_BEDROCK.sub("_", name.lower()).strip("_") or "_"


def texture_key(texture: str) -> str:
    """Key of a Java texture in item_texture.json or terrain_texture.json: "ns:item/x/y" -> "ns:x-y".

    Mojang's schema for flipbooks allows a-z, 0-9, "_", ":" and "-" in a key, and no dot.
    """
    namespace, path = split_id(texture)
    folder, _, rest = path.partition("/")
    if folder in ("item", "items", "block", "blocks") and rest:
        path = rest
    return atlas_key(namespace, path)


def atlas_key(namespace: str, path: str) -> str:
    """A key that both atlases and flipbooks accept."""
    return f"{_key_part(namespace)}:{_key_part(path.replace('/', '-'))}"


def _key_part(name: str) -> str:
    return bedrock_name(name).replace(".", "_")
