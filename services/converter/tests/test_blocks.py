"""Blocks: from block states, models and textures to block files with materials, permutations and ledger rows."""

from __future__ import annotations

from typing import Any

import pytest

from converter.translate.base import Translator
from converter.translate.blocks import translate_blocks
from converter.translate.items import translate_items
from converter.translate.textures import translate_textures
from tests.fixtures.sample_mod import CLEAR, GOLD, RED, png
from tests.fixtures.small_mod import SOLID, Translated, translate

BLOCK = "BP/blocks/toy/x.json"
STEPS: tuple[Translator, ...] = (translate_textures, translate_blocks)
CUBE = {"parent": "block/cube_all", "textures": {"all": "toy:block/a"}}
SIDES = ("north", "south", "east", "west")


def block(state: Any, textures: dict[str, bytes] | None = None, **models: Any) -> Translated:
    """The block toy:x with this block state, these models, and a solid texture "a" unless others are given."""
    files: dict[str, Any] = {"assets/toy/blockstates/x.json": state}
    files |= {f"assets/toy/textures/block/{name}.png": data for name, data in (textures or {"a": SOLID}).items()}
    files |= {f"assets/toy/models/block/{name}.json": model for name, model in models.items()}
    return translate(files, *STEPS)


def one(model: str = "toy:block/x") -> dict[str, Any]:
    return {"variants": {"": {"model": model}}}


def components(made: Translated) -> dict[str, Any]:
    return dict(made.json(BLOCK)["minecraft:block"]["components"])


def test_a_plain_cube_is_converted_whole() -> None:
    made = block(one(), x=CUBE)
    content = made.json(BLOCK)
    assert content["format_version"] == "1.21.100"
    assert components(made) == {
        "minecraft:display_name": "tile.toy:x.name",
        "minecraft:geometry": "minecraft:geometry.full_block",
        "minecraft:material_instances": {"*": {"texture": "toy:a", "render_method": "opaque"}},
        "minecraft:collision_box": True,
        "minecraft:selection_box": True,
        "minecraft:light_dampening": 15,
    }
    assert "permutations" not in content["minecraft:block"]
    for row in (
        made.id_row("toy:x"),
        made.file_row("assets/toy/blockstates/x.json"),
        made.file_row("assets/toy/models/block/x.json"),
    ):
        assert (row.outcome, row.reason, row.outputs) == ("converted", "", (BLOCK,))


def test_faces_of_other_textures_are_named() -> None:
    textures = {"side": SOLID, "end": SOLID}
    model = {"parent": "block/cube_column", "textures": {"end": "toy:block/end", "side": "toy:block/side"}}
    instances = components(block(one(), textures, x=model))["minecraft:material_instances"]
    assert {name: instance["texture"] for name, instance in instances.items()} == {
        "*": "toy:side",
        "up": "toy:end",
        "down": "toy:end",
    }


@pytest.mark.parametrize(
    ("texture", "method", "dampening"),
    [
        (png(16, 16, RED, GOLD), "opaque", 15),
        (png(16, 16, RED, CLEAR), "alpha_test", 0),
        (png(16, 16, RED, (10, 20, 30, 128)), "blend", 0),
    ],
)
def test_the_real_alpha_of_the_texture_decides_how_it_is_drawn(texture: bytes, method: str, dampening: int) -> None:
    made = components(block(one(), {"a": texture}, x=CUBE))
    assert made["minecraft:material_instances"]["*"]["render_method"] == method
    assert made["minecraft:light_dampening"] == dampening


def test_all_materials_of_a_block_are_drawn_alike() -> None:
    textures = {"side": SOLID, "end": png(16, 16, RED, CLEAR)}
    model = {"parent": "block/cube_column", "textures": {"end": "toy:block/end", "side": "toy:block/side"}}
    instances = components(block(one(), textures, x=model))["minecraft:material_instances"]
    assert {instance["render_method"] for instance in instances.values()} == {"alpha_test"}


def test_a_plant_is_a_cross_that_one_walks_through() -> None:
    model = {"parent": "block/cross", "textures": {"cross": "toy:block/a"}}
    made = components(block(one(), {"a": png(16, 16, RED, CLEAR)}, x=model))
    assert made["minecraft:geometry"] == "minecraft:geometry.cross"
    assert made["minecraft:collision_box"] is False
    assert set(made["minecraft:material_instances"]) == {"*"}


def test_a_model_of_its_own_brings_its_geometry() -> None:
    faces = {"up": {"texture": "#t"}, "north": {"texture": "#t"}}
    model = {"textures": {"t": "toy:block/a"}, "elements": [{"from": [4, 0, 4], "to": [12, 8, 12], "faces": faces}]}
    made = block(one(), x=model)
    path = "RP/models/blocks/toy/x.geo.json"
    assert components(made)["minecraft:geometry"] == "geometry.toy.x"
    assert components(made)["minecraft:collision_box"] == {"origin": [-4, 0, -4], "size": [8, 8, 8]}
    assert set(components(made)["minecraft:material_instances"]) == {"*", "t"}
    assert made.file_row("assets/toy/models/block/x.json").outputs == (path, BLOCK)
    assert made.json(path)["minecraft:geometry"][0]["description"]["identifier"] == "geometry.toy.x"


def test_blocks_of_one_shape_share_its_geometry() -> None:
    slab = {"parent": "block/slab", "textures": dict.fromkeys(("top", "bottom", "side"), "toy:block/a")}
    made = block(one(), x=slab)
    files = {"assets/toy/blockstates/y.json": one("toy:block/y"), "assets/toy/models/block/y.json": slab}
    files |= {name: made.mod.files.read(name) for name in made.mod.files.names if name.startswith("assets")}
    both = translate(files, *STEPS)
    assert both.paths("RP/models/") == ["RP/models/blocks/toy/slab.geo.json"]
    assert len(both.paths("BP/blocks/")) == 2


def test_a_furnace_turns_by_direction_and_changes_by_state_without_multiplying() -> None:
    state = {
        "variants": {
            f"facing={side},lit={lit}": {"model": f"toy:block/{'on' if lit == 'true' else 'off'}", "y": 90 * turn}
            for turn, side in enumerate(("north", "east", "south", "west"))
            for lit in ("false", "true")
        }
    }
    textures = {"a": SOLID, "b": SOLID}
    made = block(state, textures, off=CUBE, on={"parent": "block/cube_all", "textures": {"all": "toy:block/b"}})
    body = made.json(BLOCK)["minecraft:block"]
    assert body["description"]["states"] == {"toy:lit": [False, True]}
    by_condition = {each["condition"]: each["components"] for each in body["permutations"]}
    assert len(by_condition) == 4
    east = by_condition["q.block_state('minecraft:cardinal_direction') == 'east'"]
    assert east == {"minecraft:transformation": {"rotation": [0, -90, 0]}}
    lit = by_condition["q.block_state('toy:lit')"]
    assert lit["minecraft:material_instances"]["*"]["texture"] == "toy:b"
    assert made.id_row("toy:x").outcome == "approximated"
    assert "its state lit stays false" in made.id_row("toy:x").reason


def test_stairs_are_approximated_and_say_what_is_lost() -> None:
    state = {
        "variants": {
            f"facing={side},half={half},shape={shape}": {"model": f"toy:block/{shape}", "x": x, "y": y, "uvlock": True}
            for side, y in (("east", 0), ("south", 90), ("west", 180), ("north", 270))
            for half, x in (("bottom", 0), ("top", 180))
            for shape in ("straight", "inner_left")
        }
    }
    textures = dict.fromkeys(("top", "bottom", "side"), "toy:block/a")
    straight = {"parent": "block/stairs", "textures": textures}
    made = block(state, straight=straight, inner_left={"parent": "block/inner_stairs", "textures": textures})
    row = made.id_row("toy:x")
    assert row.outcome == "approximated"
    assert "corners" in row.reason
    assert "one box" in row.reason
    assert made.paths("RP/models/") == ["RP/models/blocks/toy/stairs.geo.json"]


def test_a_fence_stands_alone_and_says_so() -> None:
    sides = [{"when": {side: "true"}, "apply": {"model": "toy:block/side"}} for side in SIDES]
    state = {"multipart": [{"apply": {"model": "toy:block/post"}}, *sides]}
    fence = {"textures": {"texture": "toy:block/a"}}
    made = block(state, post={"parent": "block/fence_post", **fence}, side={"parent": "block/fence_side", **fence})
    assert "without connections" in made.id_row("toy:x").reason
    assert components(made)["minecraft:collision_box"] == {"origin": [-2, 0, -2], "size": [4, 16, 4]}


@pytest.mark.parametrize(
    ("state", "models", "outcome", "reason"),
    [
        (one("toy:block/none"), {}, "unsupported", "toy:block/none is not in the jar"),
        (one(), {"x": {"parent": "block/lectern"}}, "unsupported", "vanilla model block/lectern"),
        (
            one(),
            {"x": {"parent": "block/cube_all", "textures": {"all": "block/iron_block"}}},
            "unsupported",
            "vanilla's",
        ),
        (
            one(),
            {"x": {"parent": "block/cube_all", "textures": {"all": "toy:block/no"}}},
            "unsupported",
            "toy:block/no",
        ),
        (one(), {"x": {"parent": "block/cube_all"}}, "unsupported", "names no texture"),
        (one(), {"x": b"{"}, "error", "not valid JSON"),
        ({"variants": {"": {}}}, {"x": CUBE}, "error", "names no model"),
        (b"{", {"x": CUBE}, "error", "not valid JSON"),
    ],
)
def test_a_block_that_cannot_be_made_says_why(state: Any, models: dict[str, Any], outcome: str, reason: str) -> None:
    made = block(state, **models)
    for row in (made.id_row("toy:x"), made.file_row("assets/toy/blockstates/x.json")):
        assert row.outcome == outcome
        assert reason in row.reason
    assert made.produced.blocks == {}
    assert made.paths("BP/") == []


def test_a_broken_look_of_one_state_falls_back_to_the_usual_one() -> None:
    state = {"variants": {"lit=false": {"model": "toy:block/x"}, "lit=true": {"model": "toy:block/gone"}}}
    made = block(state, x=CUBE)
    assert made.id_row("toy:x").outcome == "approximated"
    assert "lit=true: the model toy:block/gone is not in the jar" in made.id_row("toy:x").reason


def test_tint_is_reported() -> None:
    model = {"parent": "block/tinted_cross", "textures": {"cross": "toy:block/a"}}
    assert "tint" in block(one(), x=model).id_row("toy:x").reason


def test_an_item_texture_on_a_block_gets_a_key_of_its_own() -> None:
    files = {
        "assets/toy/blockstates/x.json": one(),
        "assets/toy/models/block/x.json": {"parent": "block/cube_all", "textures": {"all": "toy:item/a"}},
        "assets/toy/textures/item/a.png": SOLID,
        "assets/toy/textures/block/a.png": SOLID,
    }
    made = translate(files, *STEPS)
    key = components(made)["minecraft:material_instances"]["*"]["texture"]
    assert made.produced.terrain_textures[key] == "textures/toy/items/a"
    assert made.produced.terrain_textures["toy:a"] == "textures/toy/blocks/a"


@pytest.mark.parametrize(("folder", "named"), [("loot_table", True), ("loot_tables", True), ("other", False)])
def test_a_block_names_a_loot_table_only_if_there_will_be_one(folder: str, named: bool) -> None:
    files = {
        "assets/toy/blockstates/x.json": one(),
        "assets/toy/models/block/x.json": CUBE,
        "assets/toy/textures/block/a.png": SOLID,
        f"data/toy/{folder}/blocks/x.json": {"pools": []},
    }
    made = components(translate(files, *STEPS))
    assert (made.get("minecraft:loot") == "loot_tables/blocks/toy/x.json") is named


def test_long_names_stay_below_what_every_device_can_open() -> None:
    name = "machine_" * 14
    files = {
        f"assets/toy/blockstates/{name}.json": one(),
        "assets/toy/models/block/x.json": CUBE,
        "assets/toy/textures/block/a.png": SOLID,
    }
    [path] = translate(files, *STEPS).paths("BP/blocks/")
    assert len(path) <= 100


@pytest.mark.parametrize("keys", [("inventory",), ("normal", "inventory")])
def test_a_block_state_left_over_from_1_12_is_no_block(keys: tuple[str, ...]) -> None:
    made = block({"variants": {key: {"model": "toy:absent"} for key in keys}})
    assert made.mod.blocks == ()
    assert made.rows.keys() == {("assets/toy/textures/block/a.png", False)}  # the file is left to leftovers.py
    named = {"assets/toy/lang/en_us.json": {"block.toy.x": "X"}}
    state = {"assets/toy/blockstates/x.json": {"variants": {"inventory": {"model": "toy:absent"}}}}
    assert translate(named | state, *STEPS).id_row("toy:x").outcome == "unsupported"


@pytest.mark.parametrize(
    ("name", "content", "outcome"),
    [
        ("models/item/x", {"parent": "toy:block/x"}, "converted"),
        ("models/item/x", {"parent": "item/generated", "textures": {"layer0": "toy:block/a"}}, "approximated"),
        ("models/item/x", {"parent": "toy:block/x", "textures": {"all": "toy:block/b"}}, "approximated"),
        ("models/item/x", {"parent": "toy:block/x_inventory"}, "approximated"),
        ("models/item/x", {"parent": "toy:block/absent"}, "approximated"),
        ("models/item/x", {"parent": "toy:item/x"}, "approximated"),
        ("items/x", {"model": {"type": "model", "model": "toy:block/x"}}, "converted"),
        (
            "items/x",
            {"model": {"type": "select", "fallback": {"type": "model", "model": "toy:block/x"}}},
            "approximated",
        ),
        ("items/x", {"model": {"type": "model", "model": "toy:item/x"}}, "approximated"),
        ("items/x", {"model": 5}, "approximated"),
    ],
)
def test_a_blocks_item_is_the_block_and_another_picture_is_reported_lost(
    name: str, content: dict[str, Any], outcome: str
) -> None:
    source = f"assets/toy/{name}.json"
    files = {
        "assets/toy/blockstates/x.json": one(),
        "assets/toy/models/block/x.json": CUBE,
        "assets/toy/models/block/x_inventory.json": CUBE,
        "assets/toy/textures/block/a.png": SOLID,
        source: content,
    }
    row = translate(files, *STEPS, translate_items).file_row(source)
    assert (row.outcome, row.outputs) == (outcome, (BLOCK,))
    assert ("not this picture" in row.reason) == (outcome == "approximated")
