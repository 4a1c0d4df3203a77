"""Geometry: the mathematics from Java's block space to Bedrock's, and Bedrock's limits."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from converter.bedrock.geometry import (
    Box,
    Part,
    bounds_of,
    box_component,
    geometry,
    is_flat,
    transformation,
)
from converter.java.models import Element, Face, Turn, UntranslatableError, default_uv
from converter.java.templates import DIRECTIONS

Vector = tuple[float, float, float]


def element(start: Vector, end: Vector, turn: Turn | None = None, rotation: int = 0) -> Element:
    faces = tuple((name, Face("side", default_uv(name, start, end), rotation)) for name in DIRECTIONS)
    return Element(start, end, faces, turn)


def only_bone(*parts: Part) -> dict[str, Any]:
    content = geometry("geometry.toy.x", parts)
    [description] = content["minecraft:geometry"]
    assert description["description"]["identifier"] == "geometry.toy.x"
    [bone] = description["bones"]
    return dict(bone)


def test_a_box_moves_into_bedrocks_block_space() -> None:
    [cube] = only_bone(Part((element((1, 2, 3), (5, 12, 9)),)))["cubes"]
    assert cube["origin"] == [3, 2, -5]
    assert cube["size"] == [4, 10, 6]
    assert cube["uv"]["north"] == {"uv": [11, 4], "uv_size": [4, 10], "material_instance": "side"}


def test_up_and_down_are_turned_by_a_half() -> None:
    [cube] = only_bone(Part((element((0, 0, 0), (16, 4, 8)),)))["cubes"]
    assert cube["uv"]["up"] == {"uv": [16, 8], "uv_size": [-16, -8], "material_instance": "side"}
    assert cube["uv"]["down"] == {"uv": [16, 16], "uv_size": [-16, -8], "material_instance": "side"}


def test_a_rotation_keeps_its_pivot_and_turns_the_signs() -> None:
    turn = Turn((4, 0, 12), (22.5, 0, 0))
    [cube] = only_bone(Part((element((0, 0, 8), (8, 4, 16), turn),)))["cubes"]
    assert (cube["pivot"], cube["rotation"]) == ([4, 0, 4], [-22.5, 0, 0])
    turned_around_z = Turn((8, 8, 8), (0, 0, 45))
    [cube] = only_bone(Part((element((4, 4, 4), (12, 12, 12), turned_around_z),)))["cubes"]
    assert cube["rotation"] == [0, 0, 45]


def test_rescale_stretches_across_the_axis() -> None:
    turn = Turn((8, 8, 8), (0, 45, 0), rescale=True)
    [cube] = only_bone(Part((element((0.8, 0, 8), (15.2, 16, 8), turn),)))["cubes"]
    assert cube["size"] == [round(14.4 * math.sqrt(2), 4), 16, 0]


def test_a_turned_face_and_a_slot_named_like_a_face() -> None:
    faces = (("up", Face("up", (0, 0, 16, 16), 90)),)
    [cube] = only_bone(Part((Element((0, 0, 0), (16, 16, 16), faces),)))["cubes"]
    assert cube["uv"]["up"]["uv_rotation"] == 90
    assert cube["uv"]["up"]["material_instance"] == "face_up"


@pytest.mark.parametrize(
    ("x", "y", "north_goes_to"),
    [(0, 0, (0, 8, -8)), (0, 90, (-8, 8, 0)), (0, 180, (0, 8, 8)), (0, 270, (8, 8, 0)), (90, 0, (0, 0, 0))],
)
def test_block_states_turn_clockwise(x: int, y: int, north_goes_to: Vector) -> None:
    """Java's north face is at z=0. y=90 makes it the east face, which is at -x in Bedrock; x=90 the lower one."""
    bounds = bounds_of([Part((element((7, 7, 0), (9, 9, 0)),), x, y)])
    middle = tuple((low + high) / 2 for low, high in zip(bounds.low, bounds.high, strict=True))
    assert middle == north_goes_to


@pytest.mark.parametrize(
    ("x", "y", "rotation"),
    [(0, 0, [0, 0, 0]), (0, 90, [0, -90, 0]), (0, 270, [0, 90, 0]), (90, 0, [-90, 0, 0]), (180, 180, [180, 180, 0])],
)
def test_transformation_of_a_block_state(x: int, y: int, rotation: list[int]) -> None:
    assert transformation(x, y) == rotation


def test_parts_of_a_multipart_are_bones_with_a_turn_each() -> None:
    box = element((6, 6, 0), (10, 10, 6))
    content = geometry("geometry.toy.x", [Part((box,)), Part((box,), y=90), Part((box,), x=270)])
    bones = content["minecraft:geometry"][0]["bones"]
    assert [bone.get("rotation") for bone in bones] == [None, [0, 90, 0], [-90, 0, 0]]
    assert {tuple(bone["pivot"]) for bone in bones} == {(0, 8, 0)}


@pytest.mark.parametrize(
    ("start", "end", "reason"),
    [
        ((-8, 0, 0), (24, 16, 16), "larger than 30"),
        ((0, 20, 0), (16, 28, 16), "outside of its block"),
        ((0, 12, 0), (16, 32, 16), "more than 30"),
    ],
)
def test_a_model_beyond_bedrocks_limits_is_refused(start: Vector, end: Vector, reason: str) -> None:
    with pytest.raises(UntranslatableError, match=reason):
        geometry("geometry.toy.x", [Part((element(start, end),))])


def test_boxes_are_cut_to_the_block_and_thin_ones_can_be_aimed_at() -> None:
    assert box_component(Box((-10, -1, -8), (8, 15, 8))) == {"origin": [-8, 0, -8], "size": [16, 15, 16]}
    assert box_component(Box((8, 0, 0), (8, 16, 4)), thinnest=1) == {"origin": [7, 0, 0], "size": [1, 16, 4]}
    assert box_component(Box((9, 0, 0), (12, 16, 4))) is None


def test_planes_are_flat_and_boxes_are_not() -> None:
    plane, box = element((0, 0, 8), (16, 16, 8)), element((0, 0, 0), (16, 1, 16))
    assert is_flat([Part((plane,))])
    assert not is_flat([Part((plane, box))])


_COORDINATE = st.floats(-16, 32, allow_nan=False).map(lambda number: round(number, 2))
_INSIDE = st.floats(0, 16, allow_nan=False).map(lambda number: round(number, 2))
_TURNS = st.none() | st.builds(
    Turn,
    st.tuples(_COORDINATE, _COORDINATE, _COORDINATE),
    st.sampled_from([(0, 22.5, 0), (45, 0, 0), (0, 0, -45), (-22.5, 0, 0), (0, 45, 0)]),
    st.booleans(),
)
_FACES = st.dictionaries(
    st.sampled_from(DIRECTIONS),
    st.builds(
        Face, st.sampled_from(["a", "up"]), st.tuples(_INSIDE, _INSIDE, _INSIDE, _INSIDE), st.sampled_from([0, 90])
    ),
)


def _sorted_element(one: Vector, other: Vector, turn: Turn | None, faces: dict[str, Face]) -> Element:
    pairs = [sorted(pair) for pair in zip(one, other, strict=True)]
    start, end = ((pairs[0][n], pairs[1][n], pairs[2][n]) for n in (0, 1))
    return Element(start, end, tuple(faces.items()), turn)


_POINT = st.tuples(_COORDINATE, _COORDINATE, _COORDINATE)
_ELEMENTS = st.lists(st.builds(_sorted_element, _POINT, _POINT, _TURNS, _FACES), min_size=1, max_size=4)


@given(_ELEMENTS, st.sampled_from([0, 90, 180, 270]), st.sampled_from([0, 90, 180, 270]))
@settings(max_examples=150, deadline=None)
def test_whatever_is_made_keeps_bedrocks_limits(elements: list[Element], x: int, y: int) -> None:
    part = Part(tuple(elements), x, y)
    try:
        content = geometry("geometry.toy.x", [part])
    except UntranslatableError:
        return
    bounds = bounds_of([part])
    assert max(bounds.size) <= 30.001
    assert all(abs(number) <= 30.001 for corner in (bounds.low, bounds.high) for number in corner)
    for cube in content["minecraft:geometry"][0]["bones"][0]["cubes"]:
        assert min(cube["size"]) >= 0
        for face in cube["uv"].values():
            for at, size in zip(face["uv"], face["uv_size"], strict=True):
                assert 0 <= at <= 16
                assert -0.001 <= at + size <= 16.001
    box = box_component(bounds, thinnest=1)
    assert box is not None
    ends = [low + side for low, side in zip(box["origin"], box["size"], strict=True)]
    assert all(low >= least for low, least in zip(box["origin"], (-8, 0, -8), strict=True))
    assert all(end <= most + 0.001 for end, most in zip(ends, (8, 16, 8), strict=True))
