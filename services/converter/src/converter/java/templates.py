"""The well-known vanilla model templates by name, since vanilla's own files are in no mod jar.

Each has the shape and the texture slots that mods build on; `models.load_model` reads them as if they were files. Face
UVs are left to the defaults from the bounds. A vanilla parent that is not here makes its block `unsupported`, by name.
"""

from __future__ import annotations

from typing import Any

Model = dict[str, Any]
Box = tuple[float, float, float, float, float, float]

DIRECTIONS = ("down", "up", "north", "south", "west", "east")
CROSS_TEMPLATES = frozenset({"block/cross", "block/tinted_cross"})


def _box(box: Box, sides: str, *, up: str | None = None, down: str | None = None, **extra: str) -> Model:
    """An element with all six faces; `extra` gives the slots of single faces."""
    slots = {"up": up or sides, "down": down or up or sides} | extra
    faces = {face: {"texture": "#" + slots.get(face, sides)} for face in DIRECTIONS}
    return {"from": list(box[:3]), "to": list(box[3:]), "faces": faces}


def _plane(box: Box, slot: str, *faces: str, turned: bool = False) -> Model:
    """A flat element that shows its whole texture on the two named faces; `turned` is the 45 degrees of a cross."""
    element: Model = {
        "from": list(box[:3]),
        "to": list(box[3:]),
        "faces": {face: {"texture": "#" + slot, "uv": [0, 0, 16, 16]} for face in faces},
    }
    if turned:
        element["rotation"] = {"origin": [8, 8, 8], "axis": "y", "angle": 45, "rescale": True}
    return element


def _shape(*elements: Model, **textures: str) -> Model:
    return {"elements": list(elements), "textures": {slot: "#" + of for slot, of in textures.items()}}


def _cube(sides: str, **faces: str) -> Model:
    """A child of block/cube: the slot of its sides, and of single faces, e.g. up="top"."""
    slots = dict.fromkeys((*DIRECTIONS, "particle"), sides) | faces
    return {"parent": "block/cube", "textures": {face: "#" + slot for face, slot in slots.items()}}


_FULL: Box = (0, 0, 0, 16, 16, 16)
_LOWER: Box = (0, 0, 0, 16, 8, 16)
_UPPER: Box = (0, 8, 0, 16, 16, 16)
_CUBE = _box(_FULL, "north", up="up", down="down", south="south", west="west", east="east")
_CROSS = (
    _plane((0.8, 0, 8, 15.2, 16, 8), "cross", "north", "south", turned=True),
    _plane((8, 0, 0.8, 8, 16, 15.2), "cross", "west", "east", turned=True),
)
_CROP = (
    _plane((4, -1, 0, 4, 15, 16), "crop", "west", "east"),
    _plane((12, -1, 0, 12, 15, 16), "crop", "west", "east"),
    _plane((0, -1, 4, 16, 15, 4), "crop", "north", "south"),
    _plane((0, -1, 12, 16, 15, 12), "crop", "north", "south"),
)
_TORCH = (
    {
        "from": [7, 0, 7],
        "to": [9, 10, 9],
        "faces": {
            "down": {"texture": "#torch", "uv": [7, 13, 9, 15]},
            "up": {"texture": "#torch", "uv": [7, 6, 9, 8]},
        },
    },
    _plane((7, 0, 0, 7, 16, 16), "torch", "west"),
    _plane((9, 0, 0, 9, 16, 16), "torch", "east"),
    _plane((0, 0, 7, 16, 16, 7), "torch", "north"),
    _plane((0, 0, 9, 16, 16, 9), "torch", "south"),
)
_STEP = {"up": "top", "down": "bottom"}


def _gate(y: float, *, is_open: bool) -> Model:
    """A fence gate whose posts begin at height y (5, or 2 in a wall)."""
    posts: list[Box] = [(0, y, 7, 2, y + 11, 9), (14, y, 7, 16, y + 11, 9)]
    low, high = y + 1, y + 7
    bars: list[Box]
    if is_open:
        bars = [(x, low, 13, x + 2, y + 10, 15) for x in (0, 14)]
        bars += [(x, height, 9, x + 2, height + 3, 13) for x in (0, 14) for height in (low, high)]
    else:
        bars = [(6, low, 7, 8, y + 10, 9), (8, low, 7, 10, y + 10, 9)]
        bars += [(x, height, 7, x + 4, height + 3, 9) for x in (2, 10) for height in (low, high)]
    return _shape(*(_box(box, "texture") for box in posts + bars), particle="texture")


def _trapdoors() -> dict[str, Model]:
    boxes: dict[str, Box] = {
        "bottom": (0, 0, 0, 16, 3, 16),
        "top": (0, 13, 0, 16, 16, 16),
        "open": (0, 0, 13, 16, 16, 16),
    }
    return {
        f"block/template_{orientable}trapdoor_{name}": _shape(_box(box, "texture"), particle="texture")
        for name, box in boxes.items()
        for orientable in ("", "orientable_")
    }


TEMPLATES: dict[str, Model] = {
    "block/block": {},
    "block/thin_block": {"parent": "block/block"},
    "block/cube": {"parent": "block/block", "elements": [_CUBE]},
    "block/cube_all": _cube("all"),
    "block/cube_mirrored_all": _cube("all"),
    "block/leaves": {
        "elements": [
            {
                "from": [0, 0, 0],
                "to": [16, 16, 16],
                "faces": {face: {"texture": "#all", "tintindex": 0} for face in DIRECTIONS},
            }
        ],
        "textures": {"particle": "#all"},
    },
    "block/cube_column": _cube("side", up="end", down="end"),
    "block/cube_column_horizontal": _cube("side", up="end", down="end"),
    "block/cube_column_mirrored": _cube("side", up="end", down="end"),
    "block/cube_bottom_top": _cube("side", up="top", down="bottom"),
    "block/cube_top": _cube("side", up="top"),
    "block/orientable": _cube("side", up="top", down="top", north="front", particle="front"),
    "block/orientable_with_bottom": _cube("side", up="top", down="bottom", north="front", particle="front"),
    "block/orientable_vertical": _cube("side", up="front", particle="front"),
    "block/cube_directional": {"parent": "block/cube"},
    "block/cross": _shape(*_CROSS, particle="cross"),
    "block/tinted_cross": _shape(
        *(el | {"faces": {f: face | {"tintindex": 0} for f, face in el["faces"].items()}} for el in _CROSS),
        particle="cross",
    ),
    "block/crop": _shape(*_CROP, particle="crop"),
    "block/carpet": _shape(_box((0, 0, 0, 16, 1, 16), "wool"), particle="wool"),
    "block/slab": _shape(_box(_LOWER, "side", up="top", down="bottom"), particle="side"),
    "block/slab_top": _shape(_box(_UPPER, "side", up="top", down="bottom"), particle="side"),
    "block/stairs": _shape(
        _box(_LOWER, "side", **_STEP), _box((8, 8, 0, 16, 16, 16), "side", **_STEP), particle="side"
    ),
    "block/inner_stairs": _shape(
        _box(_LOWER, "side", **_STEP),
        _box((8, 8, 0, 16, 16, 16), "side", **_STEP),
        _box((0, 8, 8, 8, 16, 16), "side", **_STEP),
        particle="side",
    ),
    "block/outer_stairs": _shape(
        _box(_LOWER, "side", **_STEP), _box((8, 8, 8, 16, 16, 16), "side", **_STEP), particle="side"
    ),
    "block/fence_post": _shape(_box((6, 0, 6, 10, 16, 10), "texture"), particle="texture"),
    "block/fence_side": _shape(
        _box((7, 12, 0, 9, 15, 9), "texture"), _box((7, 6, 0, 9, 9, 9), "texture"), particle="texture"
    ),
    "block/template_fence_gate": _gate(5, is_open=False),
    "block/template_fence_gate_open": _gate(5, is_open=True),
    "block/template_fence_gate_wall": _gate(2, is_open=False),
    "block/template_fence_gate_wall_open": _gate(2, is_open=True),
    "block/template_wall_post": _shape(_box((4, 0, 4, 12, 16, 12), "wall"), particle="wall"),
    "block/template_wall_side": _shape(_box((5, 0, 0, 11, 14, 8), "wall"), particle="wall"),
    "block/template_wall_side_tall": _shape(_box((5, 0, 0, 11, 16, 8), "wall"), particle="wall"),
    "block/template_glass_pane_post": _shape(_box((7, 0, 7, 9, 16, 9), "pane", up="edge"), particle="pane"),
    "block/button": _shape(_box((5, 0, 6, 11, 2, 10), "texture"), particle="texture"),
    "block/button_pressed": _shape(_box((5, 0, 6, 11, 1, 10), "texture"), particle="texture"),
    "block/pressure_plate_up": _shape(_box((1, 0, 1, 15, 1, 15), "texture"), particle="texture"),
    "block/pressure_plate_down": _shape(_box((1, 0, 1, 15, 0.5, 15), "texture"), particle="texture"),
    "block/template_torch": _shape(*_TORCH, particle="torch"),
    **_trapdoors(),
}


def template(model_id: str) -> Model | None:
    """The template of a vanilla model ("minecraft:block/cube", "block/cube"), None when it is not known here."""
    return TEMPLATES.get(model_id.removeprefix("minecraft:"))
