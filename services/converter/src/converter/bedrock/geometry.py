"""Java elements to a Bedrock geometry file, with Bedrock's limits. The mathematics of `translate.blocks`.

Bedrock's block space has its origin in the middle of the floor and x pointing west: x' = 8 - x, y' = y, z' = z - 8.
Java's UVs always span 0..16, so every geometry declares a texture of 16x16 and real texture sizes do not matter.

Signs: a bone or cube turns by [-x, -y, +z] of the mathematical angle in Java's space, minecraft:transformation by the
angle itself. A block state's x and y are clockwise, that is the negative mathematical angle.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from converter.java.models import Element, Face, Turn, UntranslatableError, Vector
from converter.java.templates import DIRECTIONS

FORMAT_VERSION = "1.21.0"
FULL_BLOCK = "minecraft:geometry.full_block"
CROSS = "minecraft:geometry.cross"
_LARGEST = 30.0
"""Pixels a side that a block's geometry may have, and how far from the origin it may reach."""
_CENTRE: Vector = (8, 8, 8)


@dataclass(frozen=True, slots=True)
class Part:
    """Elements that are turned together by a block state: `x` and `y` are Java's clockwise quarter turns in degrees."""

    elements: tuple[Element, ...]
    x: int = 0
    y: int = 0


@dataclass(frozen=True, slots=True)
class Box:
    """Bounds in Bedrock's block space."""

    low: Vector
    high: Vector

    @property
    def size(self) -> Vector:
        """Length of the three sides in pixels."""
        return tuple(high - low for low, high in zip(self.low, self.high, strict=True))  # type: ignore[return-value]


def transformation(x: int, y: int) -> list[int]:
    """Rotation of minecraft:transformation for a block state's x and y. Both games turn around x first."""
    return [_signed(-x), _signed(-y), 0]


def _signed(degrees: int) -> int:
    turned = degrees % 360
    return turned - 360 if turned > 180 else turned


def geometry(identifier: str, parts: Iterable[Part]) -> dict[str, Any]:
    """The content of a .geo.json. Raises UntranslatableError when the parts leave Bedrock's limits."""
    listed = tuple(parts)
    bounds = bounds_of(listed)
    check_limits(bounds)
    bones = []
    for number, part in enumerate(listed):
        bone: dict[str, Any] = {"name": f"part{number}", "pivot": [0, 8, 0]}
        if part.x or part.y:
            bone["rotation"] = [_signed(part.x), _signed(part.y), 0]
        bone["cubes"] = [_cube(element) for element in part.elements if element.faces]
        bones.append(bone)
    reach = max(abs(number) for corner in (bounds.low, bounds.high) for number in (corner[0], corner[2]))
    description = {
        "identifier": identifier,
        "texture_width": 16,
        "texture_height": 16,
        "visible_bounds_width": math.ceil(max(reach, 8.0) / 8),
        "visible_bounds_height": math.ceil(max(bounds.high[1], 16.0) / 16 + 1),
        "visible_bounds_offset": [0, 0.5, 0],
    }
    return {"format_version": FORMAT_VERSION, "minecraft:geometry": [{"description": description, "bones": bones}]}


def check_limits(bounds: Box) -> None:
    """At most 30 pixels a side and from the origin, and at least one pixel inside the block itself."""
    if any(side > _LARGEST + 1e-6 for side in bounds.size):
        raise UntranslatableError("the model is larger than 30 pixels, the most that Bedrock allows")
    if any(abs(number) > _LARGEST + 1e-6 for corner in (bounds.low, bounds.high) for number in corner):
        raise UntranslatableError(
            "the model reaches more than 30 pixels from the block's middle, the most that Bedrock allows"
        )
    block = ((-8.0, 8.0), (0.0, 16.0), (-8.0, 8.0))
    for (low, high), (start, end) in zip(zip(bounds.low, bounds.high, strict=True), block, strict=True):
        if low > end or high < start:
            raise UntranslatableError("the model lies outside of its block, which Bedrock does not allow")


def bounds_of(parts: Iterable[Part]) -> Box:
    """Bounds of all parts with every turn applied."""
    corners = [
        _to_bedrock(_rotate(_turned(corner, element.turn), (-part.x, -part.y, 0), _CENTRE))
        for part in parts
        for element in part.elements
        for corner in _corners(element)
    ]
    if not corners:
        raise UntranslatableError("the model has no elements")
    xs, ys, zs = zip(*corners, strict=True)
    return Box((_round(min(xs)), _round(min(ys)), _round(min(zs))), (_round(max(xs)), _round(max(ys)), _round(max(zs))))


def is_flat(parts: Iterable[Part]) -> bool:
    """Whether every element is a plane without thickness: a plant, which one walks through."""
    return all(
        any(start == end for start, end in zip(element.start, element.end, strict=True))
        for part in parts
        for element in part.elements
    )


def box_component(bounds: Box, *, thinnest: float = 0) -> dict[str, list[float]] | None:
    """A box for minecraft:collision_box or selection_box: the bounds cut to the block. None where nothing is left.

    Sides shorter than `thinnest` are widened inside the block, so that a flat thing can still be aimed at.
    """
    origin, size = [], []
    for low, high, least, most in zip(bounds.low, bounds.high, (-8, 0, -8), (8, 16, 8), strict=True):
        start, end = max(low, least), min(high, most)
        if start > end:
            return None
        if end - start < thinnest:
            start = min(max((start + end - thinnest) / 2, least), most - thinnest)
            end = start + thinnest
        origin.append(_round(start))
        size.append(_round(end - start))
    return {"origin": origin, "size": size}


def _cube(element: Element) -> dict[str, Any]:
    start, end = _rescaled(element)
    (x1, y1, z1), (x2, y2, z2) = _ordered(start, end)
    cube: dict[str, Any] = {
        "origin": [_round(8 - x2), _round(y1), _round(z1 - 8)],
        "size": [_round(x2 - x1), _round(y2 - y1), _round(z2 - z1)],
    }
    if element.turn:
        x, y, z = element.turn.angles
        cube["pivot"] = [_round(each) for each in _to_bedrock(element.turn.origin)]
        cube["rotation"] = [_round(-x), _round(-y), _round(z)]
    cube["uv"] = {name: _face_uv(name, face) for name, face in element.faces}
    return cube


def _face_uv(name: str, face: Face) -> dict[str, Any]:
    u1, v1, u2, v2 = (min(max(number, 0.0), 16.0) for number in face.uv)
    if name in ("up", "down"):
        u1, v1, u2, v2 = u2, v2, u1, v1
    uv: dict[str, Any] = {
        "uv": [_round(u1), _round(v1)],
        "uv_size": [_round(u2 - u1), _round(v2 - v1)],
        "material_instance": instance_name(face.slot),
    }
    if face.rotation:
        uv["uv_rotation"] = face.rotation
    return uv


def instance_name(slot: str) -> str:
    """Material instance of a texture slot. Names of faces and "*" are Bedrock's own, so a slot called so is renamed."""
    return f"face_{slot}" if slot in (*DIRECTIONS, "*") else slot


def _rescaled(element: Element) -> tuple[Vector, Vector]:
    """`rescale` stretches the element across the axis of its turn, so that it ends where it ended before the turn."""
    turn = element.turn
    if turn is None or not turn.rescale:
        return element.start, element.end
    axes = [axis for axis in range(3) if turn.angles[axis]]
    if len(axes) != 1:
        return element.start, element.end
    angle = math.radians(abs(turn.angles[axes[0]]) % 90)
    factor = 1 / max(math.cos(angle), math.sin(angle))

    def stretch(point: Vector) -> Vector:
        scaled = [
            each if axis == axes[0] else turn.origin[axis] + (each - turn.origin[axis]) * factor
            for axis, each in enumerate(point)
        ]
        return scaled[0], scaled[1], scaled[2]

    return stretch(element.start), stretch(element.end)


def _corners(element: Element) -> list[Vector]:
    (x1, y1, z1), (x2, y2, z2) = _rescaled(element)
    return [(x, y, z) for x in (x1, x2) for y in (y1, y2) for z in (z1, z2)]


def _turned(point: Vector, turn: Turn | None) -> Vector:
    return _rotate(point, turn.angles, turn.origin) if turn else point


def _rotate(point: Vector, degrees: Vector, origin: Vector) -> Vector:
    """Turn a point around x, then y, then z through `origin`; positive is counter-clockwise seen from the axis' tip."""
    x, y, z = (each - middle for each, middle in zip(point, origin, strict=True))
    for axis, angle in enumerate(degrees):
        sine, cosine = math.sin(math.radians(angle)), math.cos(math.radians(angle))
        if axis == 0:
            y, z = y * cosine - z * sine, y * sine + z * cosine
        elif axis == 1:
            x, z = x * cosine + z * sine, z * cosine - x * sine
        else:
            x, y = x * cosine - y * sine, x * sine + y * cosine
    return x + origin[0], y + origin[1], z + origin[2]


def _to_bedrock(point: Vector) -> Vector:
    return 8 - point[0], point[1], point[2] - 8


def _ordered(start: Vector, end: Vector) -> tuple[Vector, Vector]:
    low = tuple(min(a, b) for a, b in zip(start, end, strict=True))
    high = tuple(max(a, b) for a, b in zip(start, end, strict=True))
    return low, high  # type: ignore[return-value]


def _round(number: float) -> float:
    rounded = round(number, 4)
    return int(rounded) if rounded == int(rounded) else rounded
