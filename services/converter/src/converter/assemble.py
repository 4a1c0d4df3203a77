"""Puts the add-on together: the files that list others (atlases, languages), and a zip that is the same every time.

One .mcaddon with the two pack folders BP/ and RP/. Entries are sorted, their times and rights fixed. Called by the
pipeline.
"""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from converter.jar import JarFiles
from converter.translate.base import AddonFile, FromJar, JsonValue, Translation
from converter.translate.lang import lang_file
from converter.translate.textures import FLIPBOOKS

_TIME = (1980, 1, 1, 0, 0, 0)
_RIGHTS = 0o100644 << 16
_UNIX = 3
_SOUNDS_FORMAT = "1.21.40"
_COPY_BYTES = 256 * 1024


def addon_files(produced: Translation, pack_name: str) -> list[AddonFile]:
    """All files of the add-on, sorted by path: those of the translators, and those that list what they made."""
    listed: dict[str, JsonValue | bytes] = {}
    if produced.item_textures:
        listed["RP/textures/item_texture.json"] = _atlas(pack_name, "atlas.items", produced.item_textures)
    if produced.terrain_textures:
        atlas = _atlas(pack_name, "atlas.terrain", produced.terrain_textures)
        listed["RP/textures/terrain_texture.json"] = atlas | {"padding": 8, "num_mip_levels": 4}
    if produced.flipbooks:
        listed[FLIPBOOKS] = sorted(produced.flipbooks, key=lambda entry: str(entry["atlas_tile"]))
    if produced.block_sounds:
        listed["RP/blocks.json"] = {"format_version": _SOUNDS_FORMAT, **produced.block_sounds}
    if produced.texts:
        listed["RP/texts/languages.json"] = sorted(produced.texts)
        for locale, texts in produced.texts.items():
            listed[f"RP/texts/{locale}.lang"] = lang_file(texts)
    made = [AddonFile(path, content) for path, content in listed.items()]
    return sorted(produced.files + made, key=lambda file: file.path)


def _atlas(pack_name: str, atlas: str, textures: dict[str, Any]) -> dict[str, Any]:
    return {
        "resource_pack_name": pack_name,
        "texture_name": atlas,
        "texture_data": {
            # Mojang's schema wants a list where the game takes a plain path as well.
            key: {"textures": [value]} if isinstance(value, str) else value
            for key, value in textures.items()
        },
    }


def write_addon(files: Iterable[AddonFile], jar: JarFiles, path: Path) -> None:
    """Write the .mcaddon. `files` are sorted by path; textures are copied out of the jar one at a time."""
    with zipfile.ZipFile(path, "w") as addon:
        for file in files:
            entry = zipfile.ZipInfo(file.path, _TIME)
            entry.create_system = _UNIX
            entry.external_attr = _RIGHTS
            # A PNG is compressed already.
            entry.compress_type = zipfile.ZIP_STORED if file.path.endswith(".png") else zipfile.ZIP_DEFLATED
            if isinstance(file.content, FromJar):
                with jar.open(file.content.name) as source, addon.open(entry, "w") as target:
                    shutil.copyfileobj(source, target, _COPY_BYTES)
            else:
                addon.writestr(entry, serialise(file.content))


def serialise(content: bytes | JsonValue) -> bytes:
    """JSON as text with sorted keys, readable by people; bytes as they are."""
    if isinstance(content, bytes):
        return content
    return (json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n").encode()
