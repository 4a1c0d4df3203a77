"""Block models with their parents resolved: `load_model` follows the chain through the jar and the known templates.

The result holds plain elements with textures and UVs filled in as the Java game would. Called by `translate.blocks`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from converter.errors import BadFile, ConverterError
from converter.java.templates import CROSS_TEMPLATES, DIRECTIONS, template
from converter.model import VANILLA, Mod, split_id

Vector = tuple[float, float, float]
Uv = tuple[float, float, float, float]

_MAX_PARENTS = 32
_MAX_ELEMENTS = 512
_FULL_UV: Uv = (0, 0, 16, 16)


class UntranslatableError(ConverterError):
    """The model or block state cannot become Bedrock content; `reason` is for the ledger."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Face:
    """One face of an element. `slot` is the name of its texture variable; `rotation` is 0, 90, 180 or 270."""

    slot: str
    uv: Uv
    rotation: int = 0
    tinted: bool = False


@dataclass(frozen=True, slots=True)
class Turn:
    """Rotation of an element around `origin`, in degrees an axis; `rescale` widens it to the size before the turn."""

    origin: Vector
    angles: Vector
    rescale: bool = False


@dataclass(frozen=True, slots=True)
class Element:
    """A box from `start` to `end` in Java's block space (0..16, y up, north at z = 0)."""

    start: Vector
    end: Vector
    faces: tuple[tuple[str, Face], ...]
    turn: Turn | None = None


@dataclass(frozen=True, slots=True)
class BlockModel:
    """A resolved model. `textures` maps slot to Java texture id; `owner` is the model that defines the elements."""

    id: str
    elements: tuple[Element, ...]
    textures: dict[str, str]
    owner: str
    files: tuple[str, ...]
    """The jar's files that it was read from: the model and its parents."""
    notes: tuple[str, ...] = ()

    @property
    def is_full_cube(self) -> bool:
        """One unturned 16x16x16 box with six plain faces: Bedrock has that shape built in."""
        if len(self.elements) != 1:
            return False
        box = self.elements[0]
        plain = all(face.uv == _FULL_UV and not face.rotation for _, face in box.faces)
        return plain and len(box.faces) == 6 and box.turn is None and (box.start, box.end) == ((0, 0, 0), (16, 16, 16))

    @property
    def is_cross(self) -> bool:
        """The two crossed planes of a small plant: Bedrock has that shape built in."""
        return self.owner in CROSS_TEMPLATES


@dataclass(frozen=True, slots=True)
class _Chain:
    links: tuple[tuple[str, dict[str, Any]], ...]
    """(model id, content) from the model itself up to the last parent."""
    files: tuple[str, ...]


def load_model(mod: Mod, model_id: str) -> BlockModel:
    """The model "ns:block/x" with everything inherited filled in.

    Raises UntranslatableError when its shape cannot be known, BadFile when a file of the chain is broken.
    """
    chain = _chain(mod, model_id)
    loader = next((content["loader"] for _, content in chain.links if "loader" in content), None)
    if loader is not None:
        raise UntranslatableError(
            f"the model is made by the mod loader's {str(loader)[:60]!r}, whose shape only its code knows"
        )
    textures: dict[str, str] = {}
    for _, content in reversed(chain.links):
        textures.update(_texture_map(content))
    found = next(((name, content["elements"]) for name, content in chain.links if content.get("elements")), None)
    if found is None:
        raise UntranslatableError(_no_shape_reason(chain))
    owner, raw = found
    if not isinstance(raw, list) or len(raw) > _MAX_ELEMENTS:
        raise UntranslatableError(f"the model {owner} has no list of at most {_MAX_ELEMENTS} elements")
    notes: dict[str, None] = {}
    elements = tuple(_element(each, notes) for each in raw)
    resolved = {slot: texture for slot in textures if (texture := _resolve(slot, textures)) is not None}
    return BlockModel(model_id, elements, resolved, owner, chain.files, tuple(notes))


def _chain(mod: Mod, model_id: str) -> _Chain:
    links: list[tuple[str, dict[str, Any]]] = []
    files: list[str] = []
    current: str | None = model_id
    while current is not None:
        current = _plain_id(current)
        if any(current == name for name, _ in links) or len(links) >= _MAX_PARENTS:
            raise UntranslatableError(f"the parents of the model {model_id} go round in a circle at {current}")
        file = mod.asset_of(current, "models", ".json")
        content = mod.files.json(file) if file else template(current)
        if content is None:
            raise UntranslatableError(_absent_reason(mod, current))
        if not isinstance(content, dict):
            raise BadFile(f"the model {current} is not a JSON object")
        if file:
            files.append(file)
        links.append((current, content))
        parent = content.get("parent")
        current = parent if isinstance(parent, str) else None
    return _Chain(tuple(links), tuple(files))


def _plain_id(model_id: str) -> str:
    return model_id.removeprefix(f"{VANILLA}:")


def _absent_reason(mod: Mod, model_id: str) -> str:
    namespace, path = split_id(model_id)
    if namespace == VANILLA:
        return f"it builds on the vanilla model {path}, whose shape is not in the jar and not known to the converter"
    if namespace in mod.namespaces:
        return f"the model {model_id} is not in the jar"
    return f"it builds on the model {model_id} of another mod"


def _no_shape_reason(chain: _Chain) -> str:
    last = chain.links[-1][0]
    if last.startswith("builtin/"):
        return f"the model is drawn by code ({last})"
    return f"the model {chain.links[0][0]} has no elements: it is drawn by code, or invisible"


def _texture_map(content: dict[str, Any]) -> dict[str, str]:
    raw = content.get("textures")
    if not isinstance(raw, dict):
        return {}
    named = ((slot, value.get("sprite") if isinstance(value, dict) else value) for slot, value in raw.items())
    return {slot: value for slot, value in named if isinstance(value, str)}


def _resolve(slot: str, textures: dict[str, str]) -> str | None:
    """The texture of a slot, following "#other" references; None when they lead nowhere or in a circle."""
    seen = set()
    value = "#" + slot
    while value.startswith("#"):
        name = value[1:]
        if name in seen or name not in textures:
            return None
        seen.add(name)
        value = textures[name]
    namespace, path = split_id(value)
    return f"{namespace}:{path}"


def _element(raw: Any, notes: dict[str, None]) -> Element:
    if not isinstance(raw, dict):
        raise BadFile("an element of the model is not a JSON object")
    start, end = _vector(raw.get("from"), "from"), _vector(raw.get("to"), "to")
    faces = raw.get("faces")
    if not isinstance(faces, dict):
        raise BadFile("an element of the model has no faces")
    if raw.get("light_emission"):
        notes["the light of single elements has no counterpart"] = None
    read = ((name, _face(faces[name], name, start, end)) for name in DIRECTIONS if name in faces)
    return Element(start, end, tuple(read), _turn(raw.get("rotation")))


def _face(raw: Any, name: str, start: Vector, end: Vector) -> Face:
    if not isinstance(raw, dict) or not isinstance(raw.get("texture"), str):
        raise BadFile(f"the face {name} of an element has no texture")
    uv = raw.get("uv")
    rotation = raw.get("rotation", 0)
    if rotation not in (0, 90, 180, 270):
        raise BadFile(f"the face {name} of an element is rotated by {rotation!r}")
    return Face(
        slot=raw["texture"].removeprefix("#"),
        uv=default_uv(name, start, end) if uv is None else _uv(uv, name),
        rotation=int(rotation),
        tinted=isinstance(raw.get("tintindex"), int) and raw["tintindex"] >= 0,
    )


def default_uv(face: str, start: Vector, end: Vector) -> Uv:
    """The UV rectangle that Java takes from the bounds of the element when a face names none."""
    (x1, y1, z1), (x2, y2, z2) = start, end
    by_face: dict[str, Callable[[], Uv]] = {
        "down": lambda: (x1, 16 - z2, x2, 16 - z1),
        "up": lambda: (x1, z1, x2, z2),
        "north": lambda: (16 - x2, 16 - y2, 16 - x1, 16 - y1),
        "south": lambda: (x1, 16 - y2, x2, 16 - y1),
        "west": lambda: (z1, 16 - y2, z2, 16 - y1),
        "east": lambda: (16 - z2, 16 - y2, 16 - z1, 16 - y1),
    }
    return by_face[face]()


def _turn(raw: Any) -> Turn | None:
    """Both forms: {origin, axis, angle} and, from 1.21.11 on, {origin, x, y, z}."""
    if raw is None:
        return None
    if not isinstance(raw, dict):
        raise BadFile("the rotation of an element is not a JSON object")
    angles = [_number(raw.get(axis, 0), "rotation") for axis in "xyz"]
    if raw.get("axis") in ("x", "y", "z"):
        angles["xyz".index(raw["axis"])] = _number(raw.get("angle", 0), "rotation angle")
    if not any(angles):
        return None
    origin = _vector(raw.get("origin", [8, 8, 8]), "rotation origin")
    return Turn(origin, (angles[0], angles[1], angles[2]), raw.get("rescale") is True)


def _uv(raw: Any, face: str) -> Uv:
    if not isinstance(raw, list) or len(raw) != 4:
        raise BadFile(f"the uv of the face {face} is not a list of four numbers")
    u1, v1, u2, v2 = (_number(each, "uv") for each in raw)
    return u1, v1, u2, v2


def _vector(raw: Any, what: str) -> Vector:
    if not isinstance(raw, list) or len(raw) != 3:
        raise BadFile(f"{what} of an element is not a list of three numbers")
    x, y, z = (_number(each, what) for each in raw)
    return x, y, z


def _number(raw: Any, what: str) -> float:
    if isinstance(raw, bool) or not isinstance(raw, int | float) or not math.isfinite(raw) or abs(raw) > 4096:
        raise BadFile(f"{what} of an element is not a sensible number")
    return float(raw)
