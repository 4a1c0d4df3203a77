"""Manifests of both packs and their icon, from the mod's metadata. A re-conversion of the same mod upgrades in place:
ids are derived (uuid5) from the mod's id, and the version is the mod's.
"""

from __future__ import annotations

import hashlib
import re
import uuid
from typing import Any

from PIL import Image

from converter.errors import BadFile
from converter.ledger import Outcome, Row
from converter.model import Mod, ModInfo
from converter.translate.base import AddonFile, Context, Translation
from converter.translate.notes import sentence
from converter.translate.png import decode, encode
from converter.translate.textures import belongs_to_textures
from converter.version import VERSION

_IDS = uuid.UUID("6f0c9a52-3f57-5c39-9a0e-7d3f1c2b8a41")
_MIN_ENGINE = [1, 21, 100]
_ICON_PIXELS = 256
_CELLS = 5
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
    made.rows.append(metadata_row(mod.info, paths))
    icon = _mods_icon(mod, mod.info.icon_path, context, made) if mod.info.icon_path else None
    content = encode(icon or _drawn_icon(mod.info.id))
    for pack in _PACKS:
        made.files.append(AddonFile(f"{pack}/pack_icon.png", content))
    return made


def metadata_row(info: ModInfo, outputs: tuple[str, ...]) -> Row:
    """The row of the metadata file: an add-on stands alone, so that what names other mods is not in its manifests."""
    notes = []
    if info.required:
        notes.append(f"that it needs the other mods {', '.join(info.required)}")
    if info.further:
        notes.append(f"that the file describes further mods: {', '.join(info.further)}")
    outcome: Outcome = "approximated" if notes else "converted"
    return Row(info.metadata_path, "metadata", outcome, sentence("Not in the manifests", notes), outputs)


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


def _mods_icon(mod: Mod, name: str, context: Context, made: Translation) -> Image.Image | None:
    """The mod's own icon as a square of at most 256 pixels; None, with an `error` row, when it is broken."""
    try:
        picture = decode(mod.files.read(name), context.options.limits)
    except BadFile as error:
        if not belongs_to_textures(name):
            made.rows.append(Row(name, "texture", "error", f"The icon cannot be used: {error.reason}."))
        return None
    if not belongs_to_textures(name):
        outputs = tuple(f"{pack}/pack_icon.png" for pack in _PACKS)
        made.rows.append(Row(name, "texture", "converted", outputs=outputs))
    side = max(picture.size)
    square = Image.new("RGBA", (side, side))
    square.paste(picture, ((side - picture.width) // 2, (side - picture.height) // 2))
    if side <= _ICON_PIXELS:
        return square
    return square.resize((_ICON_PIXELS, _ICON_PIXELS), Image.Resampling.LANCZOS)


def _drawn_icon(mod_id: str) -> Image.Image:
    """For a mod without an icon, which Bedrock demands: a mirrored pattern of cells, different for every mod id."""
    digest = hashlib.sha256(mod_id.encode()).digest()
    colour = tuple(64 + value // 2 for value in digest[:3])
    icon = Image.new("RGBA", (_CELLS + 2, _CELLS + 2), (240, 240, 240, 255))
    for y in range(_CELLS):
        for x in range(_CELLS):
            if digest[3 + y * _CELLS + min(x, _CELLS - 1 - x)] % 2:
                icon.putpixel((x + 1, y + 1), (*colour, 255))
    return icon.resize((_ICON_PIXELS, _ICON_PIXELS), Image.Resampling.NEAREST)
