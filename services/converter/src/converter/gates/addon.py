"""Reads a finished add-on from its zip, as a game would: packs by manifest, JSON by path. Used by gate 1 and previews.

It knows nothing of the translators: what they meant to write does not matter here.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Pack:
    """One pack: its folder with a trailing slash, its manifest, its module types."""

    folder: str
    manifest: dict[str, Any]

    @property
    def uuid(self) -> str:
        """Of the header; "" when there is none."""
        return str(as_object(self.manifest.get("header")).get("uuid", ""))

    @property
    def types(self) -> set[str]:
        """Types of its modules, e.g. {"data"}."""
        return {str(as_object(module).get("type")) for module in as_list(self.manifest.get("modules"))}


class Addon:
    """The open add-on. Malformed JSON is noted in `broken`, not raised: a gate reports all that is wrong at once."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self.names = frozenset(archive.namelist())
        self.broken: list[str] = []
        self.packs = tuple(
            Pack(name.removesuffix("manifest.json"), as_object(self.json(name)))
            for name in sorted(self.names)
            if name.endswith("manifest.json") and name.count("/") <= 1
        )

    def read(self, name: str) -> bytes:
        """The bytes of a file."""
        return self._archive.read(name)

    def json(self, name: str) -> Any:
        """A JSON file, or None: absent, or broken (noted in `broken`)."""
        if name not in self.names:
            return None
        try:
            return json.loads(self._archive.read(name))
        except (ValueError, RecursionError):
            self.broken.append(name)
            return None

    def folder(self, module: str) -> str | None:
        """The folder of the first pack with a module of this type ("data" or "resources"); None when there is none."""
        return next((pack.folder for pack in self.packs if module in pack.types), None)

    def all_json(self, module: str, path: str) -> Iterator[tuple[str, Any]]:
        """(name, content) of all JSON files below `path` in the pack with that module, sorted; broken ones left out."""
        folder = self.folder(module)
        if folder is None:
            return
        for name in sorted(self.names):
            if name.startswith(folder + path) and name.endswith(".json"):
                content = self.json(name)
                if content is not None:
                    yield name, content

    @cached_property
    def item_textures(self) -> dict[str, list[str]]:
        """Key -> paths without suffix, of item_texture.json."""
        return self._atlas("item_texture.json")

    @cached_property
    def terrain_textures(self) -> dict[str, list[str]]:
        """Key -> paths without suffix, of terrain_texture.json."""
        return self._atlas("terrain_texture.json")

    def _atlas(self, name: str) -> dict[str, list[str]]:
        atlas = as_object(self.json(f"{self.folder('resources')}textures/{name}"))
        entries = as_object(atlas.get("texture_data"))
        return {key: list(_paths(as_object(entry).get("textures"))) for key, entry in entries.items()}

    def has_texture(self, path: str) -> bool:
        """Whether the resource pack holds the picture `path` (without suffix)."""
        return f"{self.folder('resources')}{path}.png" in self.names


def _paths(textures: Any) -> Iterator[str]:
    """The paths in an atlas entry: a path, an object with one, variations, or a list of those."""
    if isinstance(textures, str):
        yield textures
    elif isinstance(textures, list):
        for each in textures:
            yield from _paths(each)
    elif isinstance(textures, dict):
        yield from _paths(textures.get("path"))
        yield from _paths(textures.get("variations"))


def icon_key(icon: Any) -> str | None:
    """The texture key of a minecraft:icon component, in either of the two ways to write it."""
    if isinstance(icon, dict):
        icon = as_object(icon.get("textures")).get("default")
    return icon if isinstance(icon, str) else None


def as_object(value: Any) -> dict[str, Any]:
    """The value when it is a JSON object, else an empty one."""
    return value if isinstance(value, dict) else {}


def as_list(value: Any) -> list[Any]:
    """The value when it is a JSON array, else an empty one."""
    return value if isinstance(value, list) else []


@contextmanager
def open_addon(path: Path) -> Iterator[Addon]:
    """The add-on at `path`."""
    with zipfile.ZipFile(path) as archive:
        yield Addon(archive)
