"""Small pictures of what was converted, drawn from the finished add-on: one per item and block, 64 pixels wide.

Called by the pipeline after the gates. A picture that cannot be drawn is left out; that an item has one is no promise.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image

from converter.errors import BadFile
from converter.gates.addon import Addon, as_object, icon_key, open_addon
from converter.options import Options
from converter.translate.png import decode, encode, first_frame

PIXELS = 64
_KINDS = (("item", "items/", "minecraft:item"), ("block", "blocks/", "minecraft:block"))


def write_previews(addon: Path, ids: dict[str, str], out_dir: Path, options: Options) -> list[dict[str, Any]]:
    """Write previews/NNN.png and previews.json; returns the latter's records {java_id, kind, file, width, height}.

    `ids` maps Java registry ids to Bedrock identifiers. At most `options.previews` pictures.
    """
    java_ids = {bedrock_id: java_id for java_id, bedrock_id in ids.items()}
    folder = out_dir / "previews"
    folder.mkdir(exist_ok=True)
    records: list[dict[str, Any]] = []
    with open_addon(addon) as content:
        for kind, bedrock_id, texture in _chosen(content, options.previews):
            if bedrock_id not in java_ids:
                continue
            try:
                data = content.read(f"{content.folder('resources')}{texture}.png")
                picture = draw(decode(data, options.limits))
            except (BadFile, KeyError):
                continue
            file = f"{len(records):04}.png"
            (folder / file).write_bytes(encode(picture))
            size = {"width": picture.width, "height": picture.height}
            records.append({"java_id": java_ids[bedrock_id], "kind": kind, "file": file, **size})
    (out_dir / "previews.json").write_text(json.dumps(records, ensure_ascii=False) + "\n", encoding="utf-8")
    return records


def draw(picture: Image.Image) -> Image.Image:
    """The first frame on a square of 64 pixels, enlarged by whole pixels' worth of nearest neighbours."""
    frame = first_frame(picture)
    scale = PIXELS / max(frame.size)
    size = (max(1, round(frame.width * scale)), max(1, round(frame.height * scale)))
    square = Image.new("RGBA", (PIXELS, PIXELS))
    square.paste(frame.resize(size, Image.Resampling.NEAREST), ((PIXELS - size[0]) // 2, (PIXELS - size[1]) // 2))
    return square


def _chosen(addon: Addon, most: int) -> list[tuple[str, str, str]]:
    """At most `most` of what has a picture: where that is too little for all, items and blocks share it evenly."""
    found = list(_pictured(addon))
    items = [each for each in found if each[0] == "item"]
    blocks = [each for each in found if each[0] == "block"]
    share = max(most // 2, most - len(blocks))
    return (items[:share] + blocks)[:most]


def _pictured(addon: Addon) -> Iterator[tuple[str, str, str]]:
    """(kind, Bedrock id, texture path without suffix) of every item and block with a texture of its own."""
    for kind, path, root in _KINDS:
        for _, content in addon.all_json("data", path):
            body = as_object(as_object(content).get(root))
            identifier = str(as_object(body.get("description")).get("identifier"))
            components = as_object(body.get("components"))
            if kind == "item":
                paths = addon.item_textures.get(icon_key(components.get("minecraft:icon")) or "", [])
            else:
                faces = as_object(components.get("minecraft:material_instances"))
                face = faces.get("*") or next(iter(faces.values()), None)
                paths = addon.terrain_textures.get(str(as_object(face).get("texture")), [])
            if paths:
                yield kind, identifier, paths[0]
