"""Items: one behaviour-pack file each, with its icon and name. A block's own item belongs to the block.

Rows of all items, of models/item/** and of items/**. Runs after textures (icons) and blocks (block items).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from PIL import Image

from converter.bedrock.names import atlas_key, bedrock_name, unused
from converter.errors import BadFile
from converter.ledger import Outcome, Row
from converter.model import VANILLA, Mod, split_id
from converter.translate.base import AddonFile, Context, Translation
from converter.translate.item_looks import Look, NoLook, find_look, inherited_models
from converter.translate.paths import addon_path, texture_place
from converter.translate.png import decode, dimensions, encode, first_frame

FORMAT_VERSION = "1.21.100"
_HANDHELD_NOTE = "is held like a tool, but what it does as one (damage, durability, digging) is Java code"
_GUESSED = "has no flat model in the jar; the texture of its name is taken for its icon"
_BLOCK_SHOWN = "The block itself is shown in the inventory, not this picture."


@dataclass
class _Work:
    """What is known while the items are translated: fate of each look file, and textures by plain name."""

    mod: Mod
    context: Context
    made: Translation = field(default_factory=Translation)
    fates: dict[str, Row] = field(default_factory=dict)
    flipbooks: set[str] = field(default_factory=set)
    keys: dict[str, str] = field(default_factory=dict)
    """Path of a texture in the resource pack -> its key in item_texture.json."""
    places: set[str] = field(default_factory=set)
    """Paths of textures that are taken."""
    by_name: dict[str, list[str]] = field(default_factory=dict)
    block_models: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Model file that blocks show -> what was made of it, those blocks' files among them."""


def translate_items(mod: Mod, context: Context) -> Translation:
    """BP/items/**, icons made of several layers; rows as the module says."""
    work = _Work(mod, context)
    work.flipbooks = {entry["flipbook_texture"] for entry in context.produced.flipbooks}
    work.keys = {place: key for key, place in context.produced.item_textures.items()}
    work.places = set(context.produced.textures.values())
    for texture in context.produced.textures:
        namespace, path = split_id(texture)
        if path.startswith(("item/", "items/")):
            work.by_name.setdefault(f"{namespace}:{path.rpartition('/')[2]}", []).append(texture)
    work.block_models = {row.source: row.outputs for row in context.produced.rows if row.kind == "model"}
    for java_id in mod.items:
        row, files = _translate_item(work, java_id)
        work.made.rows.append(row)
        for file in files:
            known = work.fates.get(file)
            if known is None or (row.outputs and not known.outputs):
                work.fates[file] = row
    for name, namespace, path in mod.under("models/item", "items"):
        if namespace != VANILLA and path.endswith(".json"):
            work.made.rows.append(_file_row(work, name, namespace, path))
    return work.made


def _translate_item(work: _Work, java_id: str) -> tuple[Row, tuple[str, ...]]:
    """The item's row, and the files that its look was read from."""
    try:
        look = find_look(work.mod, java_id)
    except NoLook as none:
        same_name = work.by_name.get(java_id, [])
        if len(same_name) != 1:
            return Row(java_id, "item", "unsupported", none.reason), none.files
        look = Look(layers=same_name, files=list(none.files), notes=[_GUESSED])
    except BadFile as error:
        return Row(java_id, "item", "error", f"Its look cannot be read: {error.reason}."), ()
    for layer in look.layers:
        if layer not in work.context.produced.textures:
            outcome, reason = _missing_texture(work.mod, layer)
            return Row(java_id, "item", outcome, reason), tuple(look.files)
    try:
        key = _icon(work, java_id, look.layers)
    except BadFile as error:
        return Row(java_id, "item", "error", f"Its icon cannot be made: {error.reason}."), tuple(look.files)
    path = _write(work, java_id, key, look)
    notes = list(dict.fromkeys(look.notes)) + ([_HANDHELD_NOTE] if look.handheld else [])
    outcome = "approximated" if notes else "converted"
    reason = f"The item {'; '.join(notes)}." if notes else ""
    return Row(java_id, "item", outcome, reason, (path,)), tuple(look.files)


def _missing_texture(mod: Mod, texture: str) -> tuple[Outcome, str]:
    namespace, path = split_id(texture)
    if namespace == VANILLA:
        return "unsupported", f"Its icon is vanilla's texture {path}, which is not in the jar."
    if mod.asset_of(texture, "textures", ".png") is None:
        return "unsupported", f"Its texture {texture} is not in the jar."
    if path.startswith(("item/", "items/", "block/", "blocks/")):
        return "error", f"Its texture {texture} cannot be used."
    return "unsupported", f"Its texture {texture} lies outside of textures/item and textures/block."


def _icon(work: _Work, java_id: str, layers: list[str]) -> str:
    """The key of the item's icon; makes a picture where one of the jar does not do as it is."""
    produced, layer = work.context.produced, layers[0]
    place = produced.textures[layer]
    if len(layers) == 1 and place in work.keys:
        return work.keys[place]
    namespace, path = split_id(java_id)
    key = unused(atlas_key(namespace, f"icon/{path}"), produced.item_textures, work.made.item_textures)
    if len(layers) > 1 or place in work.flipbooks:
        name = f"icons/{key.partition(':icon-')[2]}"
        place = texture_place(f"{bedrock_name(namespace)}/items", name, work.places)
        work.places.add(place)
        work.made.files.append(AddonFile(f"RP/{place}.png", _composite(work, layers)))
    work.made.item_textures[key] = place
    return key


def _composite(work: _Work, layers: list[str]) -> bytes:
    """The layers on top of each other, each stretched to the largest without smoothing.

    One layer is in memory at a time: a large one takes 64 MB.
    """
    names = [name for layer in layers if (name := work.mod.asset_of(layer, "textures", ".png"))]
    sizes = [dimensions(work.mod.files.read(name)) for name in names]
    size = max((width, min(width, height)) for width, height in sizes)
    whole = Image.new("RGBA", size)
    for name in names:
        picture = first_frame(decode(work.mod.files.read(name), work.context.options.limits))
        if picture.size != size:
            picture = picture.resize(size, Image.Resampling.NEAREST)
        whole.alpha_composite(picture)
    return encode(whole)


def _write(work: _Work, java_id: str, key: str, look: Look) -> str:
    identifier = work.context.bedrock_ids[java_id]
    components: dict[str, Any] = {
        "minecraft:icon": key,
        "minecraft:display_name": {"value": f"item.{identifier}"},
    }
    if look.handheld:
        components["minecraft:hand_equipped"] = True
    namespace, _, name = identifier.partition(":")
    path = addon_path(f"BP/items/{namespace}", name, ".json")
    item = {
        "description": {"identifier": identifier, "menu_category": {"category": "items"}},
        "components": components,
    }
    work.made.files.append(AddonFile(path, {"format_version": FORMAT_VERSION, "minecraft:item": item}))
    work.made.items[java_id] = path
    return path


def _file_row(work: _Work, name: str, namespace: str, path: str) -> Row:
    """The row of an item model or item definition: the fate of what it is the look of."""
    kind = work.mod.files.kind(name)
    try:
        work.mod.files.json(name)
    except BadFile as error:
        return Row(name, kind, "error", f"It cannot be read: {error.reason}.")
    if fate := work.fates.get(name):
        return Row(name, kind, fate.outcome, fate.reason, fate.outputs)
    java_id = f"{namespace}:{path.removesuffix('.json')}"
    if java_id in work.context.produced.blocks:
        output = work.context.produced.blocks[java_id]
        own = any(output in work.block_models.get(model, ()) for model in inherited_models(work.mod, name))
        return Row(name, kind, "converted" if own else "approximated", "" if own else _BLOCK_SHOWN, (output,))
    if java_id in work.mod.blocks:
        return Row(name, kind, "unsupported", "The block that it belongs to is not converted.")
    return Row(name, kind, "unsupported", "A look for certain states of an item; Bedrock items have one look.")
