"""Which blocks and items does the mod add? Read from its resources, since the registry itself is Java code.

A block is a blockstate file (but for leftovers of Minecraft 1.12) or a translation of one; an item an item definition,
a translation, or an item model that no other model is built on. Called by the pipeline. A file that cannot be read says
nothing here: its own translator reports it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from converter.errors import BadFile
from converter.jar import JarFiles
from converter.model import VANILLA, Mod, ModInfo, split_id

_NAMESPACE = re.compile(r"(?:assets|data)/([a-z0-9_.-]+)/.+")
_PATH = re.compile(r"[a-z0-9_./-]+")
_NAMED = re.compile(r"(item|block)\.([a-z0-9_-]+)\.([a-z0-9_/-]+)")


def build_mod(files: JarFiles, info: ModInfo) -> Mod:
    """The loader-neutral mod with its registry ids."""
    namespaces = {found[1] for name in files.names if (found := _NAMESPACE.fullmatch(name))} - {VANILLA}
    bare = Mod(info, files, tuple(sorted(namespaces)), (), ())
    named = _named(bare)
    states = {each for each in _ids(bare, "blockstates") if not _is_left_over(bare, each)}
    blocks = states | named["block"]
    definitions = set(_ids(bare, "items"))
    # A mod that ships item definitions (1.21.4 and later) lists its items there; models are then only looks.
    models = set() if definitions else _item_models(bare)
    items = (definitions | models | named["item"]) - blocks
    return Mod(info, files, bare.namespaces, tuple(sorted(items)), tuple(sorted(blocks)))


def _ids(mod: Mod, folder: str) -> Iterator[str]:
    for _, namespace, path in mod.under(folder):
        if namespace != VANILLA and path.endswith(".json") and _PATH.fullmatch(path):
            yield f"{namespace}:{path.removesuffix('.json')}"


def _is_left_over(mod: Mod, java_id: str) -> bool:
    """Whether the block state file is one of Minecraft 1.12 for the inventory, which no later version loads."""
    variants = _read(mod, mod.asset_of(java_id, "blockstates", ".json") or "").get("variants")
    return isinstance(variants, dict) and "inventory" in variants and variants.keys() <= {"inventory", "normal"}


def _named(mod: Mod) -> dict[str, set[str]]:
    """Ids with a name in English, or where a namespace has no English file, in its first language.

    `item.ns.x.tooltip` and the like are not names: the last part of a name has no dot.
    """
    found: dict[str, set[str]] = {"item": set(), "block": set()}
    namespaces = {namespace for _, namespace, _ in mod.under("blockstates", "items", "models", "textures")}
    for namespace in sorted(namespaces - {VANILLA}):
        languages = [name for name, owner, path in mod.under("lang") if owner == namespace and path.endswith(".json")]
        english = f"assets/{namespace}/lang/en_us.json"
        for key in _read(mod, english if english in languages else next(iter(languages), "")):
            if (name := _NAMED.fullmatch(key)) and name[2] == namespace:
                found[name[1]].add(f"{namespace}:{name[3]}")
    return found


def _item_models(mod: Mod) -> set[str]:
    """models/item/*.json that stand for an item themselves: not a look of another item, and not a bare template.

    A pulled bow is a look of the bow (named in its overrides), although the bow is its parent.
    """
    models: set[str] = set()
    bare: set[str] = set()
    looks: set[str] = set()
    parents: set[str] = set()
    for name, namespace, path in mod.under("models/item"):
        if namespace == VANILLA or not path.endswith(".json") or not _PATH.fullmatch(path):
            continue
        java_id = f"{namespace}:{path.removesuffix('.json')}"
        content = _read(mod, name)
        if "/" not in path:
            models.add(java_id)
        if not content.get("textures"):
            bare.add(java_id)
        parents.update(set(_references({"parent": content.pop("parent", None)})) - {java_id})
        looks.update(each for each in _references(content) if each != java_id)
    return models - looks - (parents & bare)


def _references(value: Any) -> Iterator[str]:
    """Ids of the item models named anywhere in a model: parent, overrides, a loader's own fields."""
    stack = [value]
    while stack:
        each = stack.pop()
        if isinstance(each, dict):
            for key, inner in each.items():
                if key in ("parent", "model") and isinstance(inner, str):
                    namespace, path = split_id(inner)
                    if path.startswith("item/"):
                        yield f"{namespace}:{path.removeprefix('item/')}"
                else:
                    stack.append(inner)
        elif isinstance(each, list):
            stack.extend(each)


def _read(mod: Mod, name: str) -> dict[str, Any]:
    """A JSON object of the jar; empty when absent, broken or of another type."""
    if name not in mod.files:
        return {}
    try:
        value = mod.files.json(name)
    except BadFile:
        return {}
    return value if isinstance(value, dict) else {}
