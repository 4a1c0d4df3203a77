"""How an item looks in Java: its definition (1.21.4 and later) or model, with parents followed, down to flat layers.

Called by `items.py`. Bedrock shows one flat picture per item, so that of a look with conditions the base is taken.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from converter.errors import BadFile
from converter.model import VANILLA, Mod, split_id

_MAX_PARENTS = 32
_MAX_LAYERS = 16
_HANDHELD = ("item/handheld", "item/handheld_rod", "item/handheld_mace")
_FLAT = ("item/generated", "builtin/generated", "item/template_music_disc", *_HANDHELD)
_OWN_LOOK = {"textures", "elements", "overrides", "loader", "base", "perspectives"}
"""What makes a model look different from its parent."""
_CONDITIONS = "looks different in some states in Java; Bedrock items have one look"
_FLATTENED = "is a 3D model in Java; a flat picture of its texture is shown instead"


class NoLook(Exception):  # noqa: N818 - a finding about the mod, not a failure
    """The item has no flat picture; `reason` is for the ledger."""

    def __init__(self, reason: str, files: tuple[str, ...] = ()) -> None:
        super().__init__(reason)
        self.reason = reason
        self.files = files


@dataclass(slots=True)
class Look:
    """`layers` are Java textures from back to front; `files` what it was read from; `notes` what is lost."""

    layers: list[str] = field(default_factory=list)
    handheld: bool = False
    files: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def find_look(mod: Mod, java_id: str) -> Look:
    """The look of the item. Raises NoLook when it has no flat one, BadFile when a file of it is broken."""
    namespace, path = split_id(java_id)
    look = Look()
    model = f"{namespace}:item/{path}"
    if definition := mod.asset(namespace, f"items/{path}.json"):
        look.files.append(definition)
        model = _base_model(_object(mod, definition).get("model"), look)
    elif mod.asset_of(model, "models", ".json") is None:
        raise NoLook("The jar holds no model for this item; it is made in Java code.")
    textures = _follow(mod, model, look)
    look.layers = _layers(textures, look)
    return look


def inherited_models(mod: Mod, name: str) -> Iterator[str]:
    """Model files that an item model or definition looks exactly like, the nearest first; up to one that differs."""
    look = Look(files=[name])
    try:
        content = _object(mod, name)
        while len(look.files) <= _MAX_PARENTS:
            parent = _base_model(content["model"], look) if "model" in content else content.get("parent")
            if look.notes or _OWN_LOOK & content.keys() or not isinstance(parent, str):
                return
            if (file := mod.asset_of(parent, "models", ".json")) is None:
                return
            yield file
            look.files.append(file)
            content = _object(mod, file)
    except (NoLook, BadFile):
        return


def _base_model(node: Any, look: Look) -> str:
    """The model that a definition shows when none of its conditions holds."""
    for _ in range(_MAX_PARENTS):
        if not isinstance(node, dict):
            break
        kind = str(node.get("type", "")).removeprefix(f"{VANILLA}:")
        if kind == "model" and isinstance(node.get("model"), str):
            if node.get("tints"):
                look.notes.append("is tinted by Java code")
            return str(node["model"])
        if kind == "special" and isinstance(node.get("base"), str):
            look.notes.append("is partly drawn by Java code")
            return str(node["base"])
        if kind not in ("condition", "select", "range_dispatch", "composite"):
            raise NoLook(f"Its look ({kind[:40] or 'of no type'}) is drawn by Java code.", tuple(look.files))
        look.notes.append("is put together from several models" if kind == "composite" else _CONDITIONS)
        node = _next_node(node)
    raise BadFile(f"{look.files[-1]} names no model")


def _next_node(node: dict[str, Any]) -> Any:
    for name in ("on_false", "fallback"):
        if name in node:
            return node[name]
    for name in ("cases", "entries", "models"):
        choices = node.get(name)
        if isinstance(choices, list) and choices and isinstance(choices[0], dict):
            return choices[0] if name == "models" else choices[0].get("model")
    return None


def _follow(mod: Mod, model: str, look: Look) -> dict[str, str]:
    """Textures by slot along the chain of parents, which has to end at a flat vanilla model."""
    textures: dict[str, str] = {}
    for _ in range(_MAX_PARENTS):
        namespace, path = split_id(model)
        if (file := mod.asset_of(model, "models", ".json")) is None:
            _end_of_chain(mod, namespace, path, textures, look)
            return textures
        look.files.append(file)
        content = _object(mod, file)
        raw = content.get("textures")
        for slot, texture in raw.items() if isinstance(raw, dict) else ():
            if isinstance(texture, str):
                textures.setdefault(slot, texture)
        if content.get("overrides"):
            look.notes.append(_CONDITIONS)
        parent = _parent(content, look)
        if content.get("elements"):
            if "layer0" not in textures:
                raise NoLook("It is a 3D model, which Bedrock cannot show as an icon.", tuple(look.files))
            look.notes.append(_FLATTENED)
        if parent is None:
            return textures
        model = parent
    raise BadFile(f"the parents of the model {model} go round in a circle")


def _parent(content: dict[str, Any], look: Look) -> str | None:
    """The parent; of a Forge model with one look per view, that of the inventory."""
    views = content.get("perspectives")
    for candidate in (views.get("gui") if isinstance(views, dict) else None, content.get("base")):
        if isinstance(candidate, dict) and isinstance(candidate.get("parent"), str):
            look.notes.append("looks different in the hand in Java")
            return str(candidate["parent"])
    parent = content.get("parent")
    return parent if isinstance(parent, str) else None


def _end_of_chain(mod: Mod, namespace: str, path: str, textures: dict[str, str], look: Look) -> None:
    files = tuple(look.files)
    if namespace != VANILLA:
        owner = "not in the jar" if namespace in mod.namespaces else "of another mod"
        raise NoLook(f"It builds on the model {namespace}:{path}, which is {owner}.", files)
    look.handheld = look.handheld or path in _HANDHELD
    if path == "item/template_spawn_egg":
        raise NoLook("A spawn egg: its entity is not converted yet.", files)
    if path == "builtin/entity":
        raise NoLook("Its look is drawn by Java code.", files)
    if path not in _FLAT and "layer0" not in textures:
        raise NoLook(f"It builds on the vanilla model {path}, which is no flat picture.", files)


def _layers(textures: dict[str, str], look: Look) -> list[str]:
    layers = []
    for number in range(_MAX_LAYERS):
        texture: str | None = textures.get(f"layer{number}")
        for _ in range(_MAX_LAYERS):
            if texture is None or not texture.startswith("#"):
                break
            texture = textures.get(texture[1:])
        if texture is None or texture.startswith("#"):
            break
        namespace, path = split_id(texture)
        layers.append(f"{namespace}:{path}")
    if not layers:
        raise NoLook("Its model names no picture; it is a 3D model or drawn by Java code.", tuple(look.files))
    return layers


def _object(mod: Mod, file: str) -> dict[str, Any]:
    try:
        content = mod.files.json(file)
    except BadFile as error:
        raise BadFile(f"{file}: {error.reason}") from None
    if not isinstance(content, dict):
        raise BadFile(f"{file}: the top level is not an object")
    return content
