"""Item and block textures: verified, copied under Bedrock's paths, entered under a key. Animations become flipbooks of
blocks; an item's animation stops at its first frame.

Other folders (gui, entity, particle) are left to `leftovers.py`: nothing in an add-on of blocks and items shows them.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

from converter.bedrock.names import bedrock_name, texture_key, unused
from converter.errors import BadFile
from converter.ledger import Row
from converter.model import VANILLA, Mod
from converter.translate.base import AddonFile, Context, FromJar, Translation
from converter.translate.paths import texture_place
from converter.translate.png import check, decode, dimensions, encode, first_frame

FLIPBOOKS = "RP/textures/flipbook_textures.json"
_FOLDERS = {"item": "items", "items": "items", "block": "blocks", "blocks": "blocks"}
_JAVA_PATH = re.compile(r"[a-z0-9_./-]+")
_LONGEST_ANIMATION = 1024


@dataclass(frozen=True, slots=True)
class Animation:
    """`frames` are the indices as shown, each `ticks` long; empty means every frame of the strip in turn."""

    ticks: int
    frames: tuple[int, ...]
    blended: bool
    square: bool


def translate_textures(mod: Mod, context: Context) -> Translation:
    """Files, keys, flipbooks; rows of textures/item/**, textures/block/** and of the animations beside them."""
    made = Translation()
    taken: set[str] = set()
    for name, namespace, path in mod.under(*(f"textures/{folder}" for folder in _FOLDERS)):
        if namespace == VANILLA or not name.endswith((".png", ".png.mcmeta")):
            continue
        folder = name.split("/")[3]
        if not _JAVA_PATH.fullmatch(path):
            made.rows.append(Row(name, mod.files.kind(name), "ignored", _INVALID_NAME))
        elif name.endswith(".png"):
            _translate_texture(mod, context, made, taken, name, f"{namespace}:{folder}/{path.removesuffix('.png')}")
        elif name.removesuffix(".mcmeta") not in mod.files:
            made.rows.append(Row(name, "texture_animation", "ignored", "It animates a texture that is not in the jar."))
    return made


_INVALID_NAME = "Minecraft does not load it: the name holds more than a-z, 0-9, _, -, . and /."


def belongs_to_textures(name: str) -> bool:
    """Whether the file's row is written here: a mod may use an item's texture as its icon, too."""
    parts = name.split("/")
    return parts[0] == "assets" and parts[2:3] == ["textures"] and len(parts) > 4 and parts[3] in _FOLDERS


def _translate_texture(mod: Mod, context: Context, made: Translation, taken: set[str], name: str, texture: str) -> None:
    animation_name = f"{name}.mcmeta"
    if animation_name not in mod.files:
        animation_name = ""
    try:
        data = mod.files.read(name)
        check(data, context.options.limits)
    except BadFile as error:
        made.rows.append(Row(name, "texture", "error", f"The texture cannot be used: {error.reason}."))
        if animation_name:
            reason = "The texture that it animates cannot be used."
            made.rows.append(Row(animation_name, "texture_animation", "unsupported", reason))
        return
    namespace, _, path = texture.partition(":")
    folder, _, rest = path.partition("/")
    kept = "/".join(bedrock_name(part) for part in rest.split("/"))
    is_item = _FOLDERS[folder] == "items"
    keys: dict[str, Any] = made.item_textures if is_item else made.terrain_textures
    place = texture_place(f"{bedrock_name(namespace)}/{_FOLDERS[folder]}", kept, taken)
    key = unused(texture_key(texture), keys)
    taken.add(place)
    made.textures[texture] = place
    keys[key] = place
    if animation_name:
        _translate_animated(mod, context, made, data, _Texture(name, animation_name, place, key, is_item))
    else:
        made.files.append(AddonFile(f"RP/{place}.png", FromJar(name)))
        made.rows.append(Row(name, "texture", "converted", outputs=(f"RP/{place}.png",)))


@dataclass(frozen=True, slots=True)
class _Texture:
    """One texture with an mcmeta file: names in the jar, path without suffix in the pack, key in the atlas."""

    name: str
    animation_name: str
    place: str
    key: str
    is_item: bool

    @property
    def output(self) -> str:
        return f"RP/{self.place}.png"


def _translate_animated(mod: Mod, context: Context, made: Translation, data: bytes, texture: _Texture) -> None:
    width, height = dimensions(data)
    try:
        animation = read_animation(mod.files.json(texture.animation_name), width, height)
    except BadFile as error:
        reason = f"The animation cannot be used: {error.reason}."
        made.rows.append(Row(texture.animation_name, "texture_animation", "error", reason))
        animation = Animation(1, (), blended=False, square=False) if height > width else None
    else:
        if animation is None:
            reason = "It holds settings other than an animation; Bedrock has no place for them."
            made.rows.append(Row(texture.animation_name, "texture_animation", "ignored", reason))
        elif texture.is_item or not animation.square:
            why = "item icons are not animated" if texture.is_item else "frames are square"
            reason = f"In Bedrock {why}; the first frame is shown."
            made.rows.append(Row(texture.animation_name, "texture_animation", "unsupported", reason))
    if animation is None or height <= width:
        made.files.append(AddonFile(texture.output, FromJar(texture.name)))
        made.rows.append(Row(texture.name, "texture", "converted", outputs=(texture.output,)))
        if animation is not None and not texture.is_item and animation.square:
            reason = "The texture has one frame only; there is nothing to animate."
            made.rows.append(Row(texture.animation_name, "texture_animation", "ignored", reason))
    elif texture.is_item or not animation.square:
        frame = first_frame(decode(data, context.options.limits))
        made.files.append(AddonFile(texture.output, encode(frame)))
        reason = "The animation is not carried over; its first frame is used."
        made.rows.append(Row(texture.name, "texture", "approximated", reason, (texture.output,)))
    else:
        made.files.append(AddonFile(texture.output, FromJar(texture.name)))
        made.flipbooks.append(_flipbook(texture, animation))
        made.rows.append(Row(texture.name, "texture", "converted", outputs=(texture.output,)))
        made.rows.append(Row(texture.animation_name, "texture_animation", "converted", outputs=(FLIPBOOKS,)))


def _flipbook(texture: _Texture, animation: Animation) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "flipbook_texture": texture.place,
        "atlas_tile": texture.key,
        "ticks_per_frame": animation.ticks,
        "blend_frames": animation.blended,
    }
    if animation.frames:
        entry["frames"] = list(animation.frames)
    return entry


def read_animation(meta: Any, width: int, height: int) -> Animation | None:
    """The animation of a strip of `width` x `height` pixels; None when the file describes none. BadFile when malformed.

    Java gives each frame a time of its own; Bedrock one time for all, so that a longer frame is repeated.
    """
    if not isinstance(meta, dict):
        raise BadFile("the top level is not an object")
    if "animation" not in meta:
        return None
    animation = meta["animation"]
    if not isinstance(animation, dict):
        raise BadFile("`animation` is not an object")
    usual = _whole(animation.get("frametime", 1), "frametime")
    frame_width = _whole(animation.get("width", min(width, height)), "width")
    frame_height = _whole(animation.get("height", min(width, height)), "height")
    square = frame_width == frame_height == width and height % width == 0
    frames = animation.get("frames", [])
    if not isinstance(frames, list) or len(frames) > _LONGEST_ANIMATION:
        raise BadFile(f"`frames` is not a list of at most {_LONGEST_ANIMATION}")
    timed = [_frame(each, usual) for each in frames]
    if square and any(index >= height // width for index, _ in timed):
        raise BadFile("a frame lies outside of the texture")
    ticks = math.gcd(*(time for _, time in timed)) if timed else usual
    shown = [index for index, time in timed for _ in range(min(time // ticks, _LONGEST_ANIMATION))]
    return Animation(ticks, tuple(shown[:_LONGEST_ANIMATION]), animation.get("interpolate") is True, square)


def _frame(raw: Any, usual: int) -> tuple[int, int]:
    if isinstance(raw, dict):
        return _whole(raw.get("index"), "index", least=0), _whole(raw.get("time", usual), "time")
    return _whole(raw, "frame", least=0), usual


def _whole(raw: Any, what: str, *, least: int = 1) -> int:
    if isinstance(raw, bool) or not isinstance(raw, int) or not least <= raw <= 100_000:
        raise BadFile(f"`{what}` is not a whole number of at least {least}")
    return raw
