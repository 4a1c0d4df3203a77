"""Block models: parents, texture slots, default UVs, and a reason for every model that has no shape."""

from __future__ import annotations

from typing import Any

import pytest

from converter.errors import BadFile
from converter.java.models import UntranslatableError, default_uv, load_model
from converter.java.templates import TEMPLATES
from tests.fixtures.small_mod import small_mod

BOX = {"from": [0, 0, 0], "to": [16, 8, 16], "faces": {"up": {"texture": "#top"}, "north": {"texture": "#side"}}}


def model(**files: Any) -> dict[str, Any]:
    return {f"assets/toy/models/block/{name}.json": content for name, content in files.items()}


def test_slots_and_elements_come_from_the_nearest_that_has_them() -> None:
    mod = small_mod(
        model(
            child={"parent": "toy:block/middle", "textures": {"top": "toy:block/gold"}},
            middle={"parent": "toy:block/base", "textures": {"top": "toy:block/iron", "side": "#top"}},
            base={"textures": {"side": "stone"}, "elements": [BOX]},
        )
    )
    loaded = load_model(mod, "toy:block/child")
    assert loaded.textures == {"top": "toy:block/gold", "side": "toy:block/gold"}
    assert loaded.owner == "toy:block/base"
    assert [file.rpartition("/")[2] for file in loaded.files] == ["child.json", "middle.json", "base.json"]
    assert loaded.elements[0].faces[0][1].uv == (0, 0, 16, 16)


@pytest.mark.parametrize(
    ("parent", "textures", "slots"),
    [
        ("minecraft:block/cube_all", {"all": "a"}, {"up": "a", "north": "a"}),
        ("block/cube_column", {"end": "e", "side": "s"}, {"up": "e", "down": "e", "west": "s"}),
        ("block/cube_bottom_top", {"top": "t", "bottom": "b", "side": "s"}, {"up": "t", "down": "b", "east": "s"}),
        ("block/orientable", {"top": "t", "front": "f", "side": "s"}, {"up": "t", "north": "f", "south": "s"}),
        ("block/leaves", {"all": "a"}, {"up": "a"}),
    ],
)
def test_vanilla_cubes_are_known_by_name(parent: str, textures: dict[str, str], slots: dict[str, str]) -> None:
    named = {slot: f"toy:block/{name}" for slot, name in textures.items()}
    loaded = load_model(small_mod(model(x={"parent": parent, "textures": named})), "toy:block/x")
    assert loaded.is_full_cube
    shown = {name: loaded.textures[face.slot] for name, face in loaded.elements[0].faces}
    assert {face: shown[face] for face in slots} == {face: f"toy:block/{name}" for face, name in slots.items()}


@pytest.mark.parametrize("name", sorted(TEMPLATES))
def test_every_template_resolves_its_own_faces(name: str) -> None:
    slots = _slots(name)
    mod = small_mod(model(x={"parent": name, "textures": dict.fromkeys(slots, "toy:block/a")}))
    if not slots:
        with pytest.raises(UntranslatableError):
            load_model(mod, "toy:block/x")
        return
    loaded = load_model(mod, "toy:block/x")
    assert all(loaded.textures.get(face.slot) == "toy:block/a" for each in loaded.elements for _, face in each.faces)


def _slots(name: str) -> set[str]:
    """The texture slots that a child of the template has to fill."""
    slots: set[str] = set()
    given: set[str] = set()
    while name:
        content = TEMPLATES[name]
        values = content.get("textures", {})
        given |= values.keys()
        slots |= {value[1:] for value in values.values()}
        slots |= {face["texture"][1:] for each in content.get("elements", []) for face in each["faces"].values()}
        name = content.get("parent", "")
    return slots - given


def test_a_box_that_is_not_full_is_no_full_cube() -> None:
    elements = [{"from": [0, 0, 0], "to": [16, 16, 16], "faces": {"up": {"texture": "#a"}}}]
    assert not load_model(small_mod(model(x={"elements": elements})), "toy:block/x").is_full_cube


@pytest.mark.parametrize(
    ("face", "uv"),
    [
        ("up", (1, 3, 9, 15)),
        ("down", (1, 1, 9, 13)),
        ("north", (7, 6, 15, 14)),
        ("south", (1, 6, 9, 14)),
        ("west", (3, 6, 15, 14)),
        ("east", (1, 6, 13, 14)),
    ],
)
def test_a_face_without_uv_takes_it_from_the_bounds(face: str, uv: tuple[int, ...]) -> None:
    assert default_uv(face, (1, 2, 3), (9, 10, 15)) == uv


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({}, "the model toy:block/x is not in the jar"),
        ({"x": {"parent": "toy:block/x"}}, "round in a circle"),
        ({"x": {"parent": "minecraft:block/lectern"}}, "vanilla model block/lectern"),
        ({"x": {"parent": "other:block/a"}}, "of another mod"),
        ({"x": {"loader": "forge:obj", "model": "a.obj"}}, "forge:obj"),
        ({"x": {"parent": "builtin/entity"}}, "builtin/entity"),
        ({"x": {"textures": {"particle": "toy:block/a"}}}, "no elements"),
        ({"x": {"parent": "block/block"}}, "no elements"),
    ],
)
def test_a_model_without_a_known_shape_says_why(files: dict[str, Any], reason: str) -> None:
    with pytest.raises(UntranslatableError, match=reason):
        load_model(small_mod(model(**files, unrelated={})), "toy:block/x")


@pytest.mark.parametrize(
    "element",
    [
        {"from": [0, 0], "to": [16, 16, 16], "faces": {}},
        {"from": [0, 0, "a"], "to": [16, 16, 16], "faces": {}},
        {"from": [0, 0, 1e9], "to": [16, 16, 16], "faces": {}},
        {"from": [0, 0, 0], "to": [16, 16, 16]},
        {"from": [0, 0, 0], "to": [16, 16, 16], "faces": {"up": {}}},
        {"from": [0, 0, 0], "to": [16, 16, 16], "faces": {"up": {"texture": "#a", "rotation": 45}}},
        {"from": [0, 0, 0], "to": [16, 16, 16], "faces": {"up": {"texture": "#a", "uv": [0, 0, 16]}}},
        "box",
    ],
)
def test_a_malformed_element_is_a_broken_file(element: Any) -> None:
    with pytest.raises(BadFile):
        load_model(small_mod(model(x={"elements": [element]})), "toy:block/x")


@pytest.mark.parametrize(
    ("rotation", "angles"),
    [
        ({"origin": [8, 8, 8], "axis": "y", "angle": 22.5}, (0, 22.5, 0)),
        ({"origin": [8, 8, 8], "x": 10, "z": -30}, (10, 0, -30)),
    ],
)
def test_both_forms_of_rotation_are_read(rotation: dict[str, Any], angles: tuple[float, ...]) -> None:
    loaded = load_model(small_mod(model(x={"elements": [BOX | {"rotation": rotation}]})), "toy:block/x")
    turn = loaded.elements[0].turn
    assert turn is not None
    assert turn.angles == angles
