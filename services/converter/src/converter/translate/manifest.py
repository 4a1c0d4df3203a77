"""Manifests of both packs and their icon, from the mod's metadata. A re-conversion of the same mod upgrades in place:
ids are derived (uuid5) from the mod's id, and the version is the mod's.
"""

from __future__ import annotations

import re
import uuid
from typing import Any

from PIL import Image

from converter.errors import BadFile
from converter.ledger import Row
from converter.model import Mod, ModInfo
from converter.translate.base import AddonFile, Context, Translation
from converter.translate.png import decode, encode
from converter.translate.textures import belongs_to_textures
from converter.version import VERSION

_IDS = uuid.UUID("6f0c9a52-3f57-5c39-9a0e-7d3f1c2b8a41")
_MIN_ENGINE = [1, 21, 100]
_ICON_PIXELS = 256
_LARGEST_NUMBER = 2**31 - 1
_GAME_VERSION = re.compile(r"(?:mc|minecraft|forge|neoforge|fabric)[-_]?\d+(?:\.\d+)*", re.IGNORECASE)
_NUMBERS = re.compile(r"\d+(?:\.\d+)*")
_PACKS = {"BP": ("data", "Behaviour"), "RP": ("resources", "Resource")}


def translate_manifest(mod: Mod, context: Context) -> Translation:
    """BP/manifest.json, RP/manifest.json and both pack_icon.png; rows of the metadata file and of the icon."""
    made = Translation()
    for pack in _PACKS:
        made.files.append(AddonFile(f"{pack}/manifest.json", manifest(mod.info, pack)))
    paths = tuple(file.path for file in made.files)
    made.rows.append(Row(mod.info.metadata_path, "metadata", "converted", outputs=paths))
    if mod.info.icon_path:
        _add_icon(mod, mod.info.icon_path, context, made)
    return made


def manifest(info: ModInfo, pack: str) -> dict[str, Any]:
    """The manifest of `pack` ("BP" or "RP"); BP depends on RP."""
    version = bedrock_version(info.version)
    module, word = _PACKS[pack]
    described = f"{info.description} " if info.description else ""
    made: dict[str, Any] = {
        "format_version": 2,
        "header": {
            "name": info.name,
            "description": f"{described}({word} pack of {info.name} {info.version}, made by ModPorter)",
            "uuid": _uuid(info.id, pack, "header"),
            "version": version,
            "min_engine_version": _MIN_ENGINE,
        },
        "modules": [{"type": module, "uuid": _uuid(info.id, pack, module), "version": version}],
        "metadata": {"generated_with": {"modporter": [VERSION]}},
    }
    if info.authors:
        made["metadata"]["authors"] = list(info.authors)
    if info.license:
        made["metadata"]["license"] = info.license
    if address := info.urls.get("homepage") or info.urls.get("sources"):
        made["metadata"]["url"] = address
    if pack == "BP":
        made["dependencies"] = [{"uuid": _uuid(info.id, "RP", "header"), "version": version}]
    return made


def bedrock_version(version: str) -> list[int]:
    """Three whole numbers of a free-form version: "1.20.1-2.3" -> [1, 20, 1], "mc1.20-v4.5+x" -> [4, 5, 0]."""
    found = _NUMBERS.search(_GAME_VERSION.sub("", version)) or _NUMBERS.search(version)
    numbers = [min(int(part[:12]), _LARGEST_NUMBER) for part in found[0].split(".")[:3]] if found else []
    return numbers + [0] * (3 - len(numbers))


def _uuid(mod_id: str, pack: str, part: str) -> str:
    return str(uuid.uuid5(_IDS, f"{mod_id}/{pack}/{part}"))


def _add_icon(mod: Mod, name: str, context: Context, made: Translation) -> None:
    try:
        picture = decode(mod.files.read(name), context.options.limits)
    except BadFile as error:
        if not belongs_to_textures(name):
            made.rows.append(Row(name, "texture", "error", f"The icon cannot be used: {error.reason}."))
        return
    side = max(picture.size)
    square = Image.new("RGBA", (side, side))
    square.paste(picture, ((side - picture.width) // 2, (side - picture.height) // 2))
    if side > _ICON_PIXELS:
        square = square.resize((_ICON_PIXELS, _ICON_PIXELS), Image.Resampling.LANCZOS)
    content = encode(square)
    for pack in _PACKS:
        made.files.append(AddonFile(f"{pack}/pack_icon.png", content))
    if not belongs_to_textures(name):
        outputs = tuple(f"{pack}/pack_icon.png" for pack in _PACKS)
        made.rows.append(Row(name, "texture", "converted", outputs=outputs))
