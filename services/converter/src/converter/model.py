"""The loader-neutral mod: what every translator reads. Built by `inventory.build_mod`, never changed afterwards."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from converter.jar import JarFiles

Loader = Literal["fabric", "forge", "neoforge"]
VANILLA = "minecraft"

_ASSET = re.compile(r"assets/([a-z0-9_.-]+)/(.+)")
_DATA = re.compile(r"data/([a-z0-9_.-]+)/(.+)")


@dataclass(frozen=True, slots=True)
class ModInfo:
    """Who the mod is. Strings are cleaned (no control characters) and bounded; `urls` is name -> http(s) address."""

    id: str
    name: str
    version: str
    loader: Loader
    description: str = ""
    authors: tuple[str, ...] = ()
    license: str = ""
    icon_path: str | None = None
    urls: dict[str, str] = field(default_factory=dict)
    metadata_path: str = ""
    required: tuple[str, ...] = ()
    """Ids of other mods that this one needs; Minecraft, the loader and its API are none."""
    further: tuple[str, ...] = ()
    """Ids of the mods that the same metadata file describes besides this one."""


@dataclass(frozen=True)
class Mod:
    """One mod. `items` and `blocks` are sorted registry ids "ns:path"; an id is in one of the two only: a block's own
    item belongs to the block. `namespaces` are the sorted folders of assets/ and data/ that are not vanilla's."""

    info: ModInfo
    files: JarFiles
    namespaces: tuple[str, ...]
    items: tuple[str, ...]
    blocks: tuple[str, ...]

    def asset(self, namespace: str, path: str) -> str | None:
        """The file name of assets/<namespace>/<path>, None when the jar has none."""
        name = f"assets/{namespace}/{path}"
        return name if name in self.files else None

    def asset_of(self, resource: str, folder: str, suffix: str) -> str | None:
        """The file of a resource location: asset_of("ns:block/x", "models", ".json"); no namespace means minecraft."""
        namespace, path = split_id(resource)
        return self.asset(namespace, f"{folder}/{path}{suffix}")

    def under(self, *folders: str, side: Literal["assets", "data"] = "assets") -> tuple[tuple[str, str, str], ...]:
        """(file name, namespace, path below the folder) of all files in assets/*/<folder>/ (or data/), sorted by name.

        Several folders are alternatives: under("recipe", "recipes", side="data").
        """
        found = []
        for name, namespace, path in self._assets if side == "assets" else self._data:
            for folder in folders:
                if path.startswith(folder + "/"):
                    found.append((name, namespace, path[len(folder) + 1 :]))
                    break
        return tuple(found)

    @cached_property
    def _assets(self) -> tuple[tuple[str, str, str], ...]:
        return tuple((name, m[1], m[2]) for name in self.files.names if (m := _ASSET.fullmatch(name)))

    @cached_property
    def _data(self) -> tuple[tuple[str, str, str], ...]:
        return tuple((name, m[1], m[2]) for name in self.files.names if (m := _DATA.fullmatch(name)))


def split_id(java_id: str) -> tuple[str, str]:
    """("ns", "path") of a resource location; no namespace means minecraft."""
    namespace, separator, path = java_id.partition(":")
    return (namespace or VANILLA, path) if separator else (VANILLA, java_id)
