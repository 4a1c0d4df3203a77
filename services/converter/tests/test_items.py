"""Items: which ids a mod has, how each looks, and what is told of those that Bedrock cannot show."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from converter import Limits, Options, Result
from converter.bedrock.names import assign_bedrock_ids
from converter.gates.addon import open_addon
from converter.inventory import build_mod
from converter.jar import open_jar
from converter.ledger import Row
from converter.metadata import read_metadata
from converter.translate.base import Context, Translation
from converter.translate.items import translate_items
from converter.translate.textures import translate_textures
from converter.vanilla import VanillaTables
from tests.fixtures.bad_jars import RawEntry, raw_zip
from tests.fixtures.sample_mod import CLEAR, GREEN, RED, png

NO_VANILLA = VanillaTables({}, {}, frozenset(), frozenset())
PICTURE = png(16, 16, RED)
FLAT = {"parent": "item/generated", "textures": {"layer0": "x:item/gem"}}


def translated(files: Mapping[str, Any]) -> tuple[dict[str, Row], Translation]:
    """Rows by source and everything made, of a mod `x` of these files (below assets/x/) after textures and items."""
    content = {f"assets/x/{name}": value for name, value in files.items()}
    content["fabric.mod.json"] = {"id": "x", "version": "1.0.0"}
    entries = [
        RawEntry(name.encode(), value if isinstance(value, bytes) else json.dumps(value).encode())
        for name, value in content.items()
    ]
    with open_jar(io.BytesIO(raw_zip(entries)), Limits()) as jar:
        mod = build_mod(jar, read_metadata(jar))
        ids = assign_bedrock_ids(mod.blocks + mod.items)
        produced = Translation()
        for translate in (translate_textures, translate_items):
            produced.merge(translate(mod, Context(Options(), NO_VANILLA, produced, ids)), by="test")
    return {row.source: row for row in produced.rows}, produced


def item_of(made: Translation, name: str) -> dict[str, Any]:
    content = next(file.content for file in made.files if file.path == f"BP/items/x/{name}.json")
    assert isinstance(content, dict)
    return dict(content["minecraft:item"]["components"])


def definition(model: Any) -> dict[str, Any]:
    return {"model": model}


MODEL = {"type": "minecraft:model", "model": "x:item/gem"}


@pytest.mark.parametrize(
    ("files", "outcome", "reason"),
    [
        ({"models/item/gem.json": FLAT}, "converted", ""),
        ({"models/item/gem.json": FLAT | {"parent": "minecraft:item/handheld"}}, "approximated", "held like a tool"),
        ({"models/item/gem.json": FLAT | {"overrides": [{"model": "x:item/b"}]}}, "approximated", "in some states"),
        ({"models/item/gem.json": FLAT | {"elements": [{}]}}, "approximated", "3D model in Java"),
        (
            {"models/item/gem.json": {"textures": FLAT["textures"], "elements": [{}]}},
            *("approximated", "3D model in Java"),
        ),
        ({"models/item/gem.json": {"parent": "x:item/base"}, "models/item/base.json": FLAT}, "converted", ""),
        ({"models/item/gem.json": FLAT, "items/gem.json": definition(MODEL)}, "converted", ""),
        (
            {
                "models/item/gem.json": FLAT,
                "items/gem.json": definition({"type": "select", "cases": [], "fallback": MODEL}),
            },
            *("approximated", "in some states"),
        ),
        (
            {
                "models/item/gem.json": FLAT,
                "items/gem.json": definition({"type": "range_dispatch", "entries": [{"model": MODEL}]}),
            },
            *("approximated", "in some states"),
        ),
        ({"items/gem.json": definition({"type": "minecraft:bundle/selected_item"})}, "approximated", "no flat model"),
        ({"models/item/gem.json": {"parent": "item/template_spawn_egg"}}, "approximated", "no flat model"),
        ({"lang/en_us.json": {"item.x.gem": "Gem"}}, "approximated", "no flat model"),
        ({"lang/en_us.json": {"item.x.other": "?"}, "models/item/gem.json": FLAT}, "converted", ""),
        ({"models/item/gem.json": b"{"}, "error", "not valid JSON"),
        ({"models/item/gem.json": []}, "error", "not an object"),
        ({"items/gem.json": {"model": 7}}, "error", "names no model"),
        ({"models/item/gem.json": {"parent": "x:item/gem"}}, "error", "in a circle"),
    ],
)
def test_the_look_of_an_item(files: dict[str, Any], outcome: str, reason: str) -> None:
    rows, made = translated(files | {"textures/item/gem.png": PICTURE})
    assert (rows["x:gem"].outcome, made.items.get("x:gem") is not None) == (outcome, outcome != "error")
    assert reason in rows["x:gem"].reason
    if outcome != "error":
        assert item_of(made, "gem")["minecraft:icon"] == "x:gem"


@pytest.mark.parametrize(
    ("model", "outcome", "reason"),
    [
        ({"parent": "item/template_spawn_egg"}, "unsupported", "spawn egg"),
        ({"parent": "builtin/entity"}, "unsupported", "drawn by Java code"),
        ({"parent": "other:item/y"}, "unsupported", "of another mod"),
        ({"parent": "x:item/absent"}, "unsupported", "not in the jar"),
        ({"parent": "item/shield"}, "unsupported", "no flat picture"),
        ({"elements": [{}], "parent": "block/block"}, "unsupported", "3D model"),
        ({"textures": {"layer0": "#a", "a": "#layer0"}, "parent": "item/generated"}, "unsupported", "names no picture"),
        ({"textures": {"layer0": "item/stick"}, "parent": "item/generated"}, "unsupported", "vanilla's texture"),
        ({"textures": {"layer0": "x:item/no"}, "parent": "item/generated"}, "unsupported", "not in the jar"),
        ({"textures": {"layer0": "x:gui/a"}, "parent": "item/generated"}, "unsupported", "outside of textures/item"),
        ({"textures": {"layer0": "x:item/bad"}, "parent": "item/generated"}, "error", "cannot be used"),
    ],
)
def test_an_item_that_has_no_flat_look(model: dict[str, Any], outcome: str, reason: str) -> None:
    pictures = {"textures/item/bad.png": b"", "textures/gui/a.png": PICTURE}
    rows, made = translated({"models/item/gem.json": model, "lang/en_us.json": {"item.x.gem": "Gem"}} | pictures)
    assert rows["x:gem"].outcome == outcome
    assert reason in rows["x:gem"].reason
    assert rows["assets/x/models/item/gem.json"].outcome == outcome
    assert made.items == {}


def test_looks_that_others_use_are_no_items() -> None:
    files = {
        "models/item/bow.json": FLAT | {"overrides": [{"predicate": {"pulling": 1}, "model": "x:item/bow_pulled"}]},
        "models/item/bow_pulled.json": {"parent": "x:item/bow"},
        "models/item/sub/template.json": FLAT,
        "models/item/template.json": {"parent": "item/generated"},
        "models/item/staff.json": {"parent": "x:item/template", "base": {"parent": "x:item/staff_3d"}},
        "models/item/staff_3d.json": FLAT,
    }
    rows, _ = translated(files | {"textures/item/gem.png": PICTURE})
    assert {source for source in rows if source.startswith("x:")} == {"x:bow", "x:staff"}
    assert rows["assets/x/models/item/bow_pulled.json"].outcome == "unsupported"


def test_a_blocks_own_item_is_no_item() -> None:
    rows, made = translated(
        {"models/item/ore.json": {"parent": "x:block/ore"}, "blockstates/ore.json": {"variants": {}}}
    )
    assert "x:ore" not in rows
    assert made.items == {}
    assert rows["assets/x/models/item/ore.json"].reason == "The block that it belongs to is not converted."


def test_an_item_may_show_a_blocks_texture() -> None:
    model = {"parent": "item/generated", "textures": {"layer0": "x:block/door"}}
    rows, made = translated({"models/item/gem.json": model, "textures/block/door.png": PICTURE})
    assert rows["x:gem"].outcome == "converted"
    assert made.item_textures[item_of(made, "gem")["minecraft:icon"]] == "textures/x/blocks/door"


def test_layers_are_put_on_top_of_each_other() -> None:
    model = {"parent": "item/generated", "textures": {"layer0": "x:item/under", "layer1": "x:item/over"}}
    pictures = {
        "textures/item/under.png": png(16, 16, RED, RED),
        "textures/item/over.png": png(32, 32, GREEN, CLEAR, cell=16),
    }
    _, made = translated({"models/item/gem.json": model, **pictures})
    icon = next(file.content for file in made.files if file.path == "RP/textures/x/items/icons/gem.png")
    assert isinstance(icon, bytes)
    picture = Image.open(io.BytesIO(icon))
    assert (picture.size, picture.getpixel((0, 0)), picture.getpixel((20, 0))) == ((32, 32), GREEN, RED)


def test_names_that_bedrock_cannot_hold_are_changed_and_stay_different() -> None:
    ids = assign_bedrock_ids(("x:a/b", "x:a_b", "x:a_b_2", "y-z:c"))
    assert ids == {"x:a/b": "x:a_b", "x:a_b": "x:a_b_2", "x:a_b_2": "x:a_b_2_2", "y-z:c": "y-z:c"}


def test_the_sample_in_the_addon(converted: Result) -> None:
    with open_addon(converted.addon) as addon:
        sword = addon.json("BP/items/gemcraft/ruby_sword.json")
    assert sword == {
        "format_version": "1.21.100",
        "minecraft:item": {
            "description": {"identifier": "gemcraft:ruby_sword", "menu_category": {"category": "items"}},
            "components": {
                "minecraft:icon": "gemcraft:ruby_sword",
                "minecraft:display_name": {"value": "item.gemcraft:ruby_sword"},
                "minecraft:hand_equipped": True,
            },
        },
    }
    assert Path(converted.addon).name == "addon.mcaddon"
