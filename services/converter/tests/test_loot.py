"""Loot tables of blocks: what they drop in Bedrock, and what the ledger says was lost."""

from __future__ import annotations

from typing import Any

import pytest

from converter.translate.base import Translator
from converter.translate.blocks import translate_blocks
from converter.translate.items import translate_items
from converter.translate.loot import translate_loot
from converter.translate.textures import translate_textures
from tests.fixtures.small_mod import SOLID, Translated, translate

STEPS: tuple[Translator, ...] = (translate_textures, translate_blocks, translate_items, translate_loot)
TABLE = "BP/loot_tables/blocks/toy/ore.json"
SOURCE = "data/toy/loot_table/blocks/ore.json"
FILES: dict[str, Any] = {
    "assets/toy/blockstates/ore.json": {"variants": {"": {"model": "toy:block/ore"}}},
    "assets/toy/models/block/ore.json": {"parent": "block/cube_all", "textures": {"all": "toy:block/ore"}},
    "assets/toy/textures/block/ore.png": SOLID,
    "assets/toy/models/item/gem.json": {"parent": "item/generated", "textures": {"layer0": "toy:item/gem"}},
    "assets/toy/textures/item/gem.png": SOLID,
}
SILK = {
    "condition": "minecraft:match_tool",
    "predicate": {"predicates": {"minecraft:enchantments": [{"enchantments": "minecraft:silk_touch"}]}},
}
SHEARS = {"condition": "minecraft:match_tool", "predicate": {"items": "minecraft:shears"}}
SURVIVES = {"condition": "minecraft:survives_explosion"}


def item(name: str = "toy:gem", **more: Any) -> dict[str, Any]:
    return {"type": "minecraft:item", "name": name, **more}


def pool(*entries: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"rolls": 1, "entries": list(entries), **more}


def table(*pools: Any) -> Translated:
    return translate(FILES | {SOURCE: {"type": "minecraft:block", "pools": list(pools)}}, *STEPS)


def entries(made: Translated) -> list[dict[str, Any]]:
    """The entries of the only pool."""
    [only] = made.json(TABLE)["pools"]
    assert isinstance(only["entries"], list)
    return only["entries"]


def test_a_plain_drop_is_converted_whole() -> None:
    made = table(pool(item()))
    assert made.json(TABLE) == {"pools": [{"rolls": 1, "entries": [{"type": "item", "name": "toy:gem", "weight": 1}]}]}
    row = made.file_row(SOURCE)
    assert (row.outcome, row.outputs) == ("converted", (TABLE,))


@pytest.mark.parametrize(
    ("entry", "note"),
    [
        (item(conditions=[SURVIVES]), "explosions destroy none"),
        (item(functions=[{"function": "minecraft:explosion_decay"}]), "explosions destroy none"),
        (item(functions=[{"function": "minecraft:apply_bonus"}]), "fortune"),
        (item(functions=[{"function": "minecraft:copy_name"}]), "copy_name"),
    ],
)
def test_a_drop_whose_details_are_lost_says_so(entry: dict[str, Any], note: str) -> None:
    made = table(pool(entry))
    assert entries(made) == [{"type": "item", "name": "toy:gem", "weight": 1}]
    assert made.file_row(SOURCE).outcome == "approximated"
    assert note in made.file_row(SOURCE).reason


def test_an_ore_drops_its_gem_and_leaves_silk_touch_to_the_game() -> None:
    children = [item("toy:ore", conditions=[SILK]), item()]
    made = table(pool({"type": "minecraft:alternatives", "children": children}))
    assert [entry["name"] for entry in entries(made)] == ["toy:gem"]
    assert made.file_row(SOURCE).outcome == "converted"


def test_glass_drops_nothing_without_silk_touch() -> None:
    made = table(pool(item("toy:ore", conditions=[SILK])))
    assert made.json(TABLE) == {"pools": []}
    assert made.file_row(SOURCE).outcome == "converted"


def test_silk_touch_for_something_else_is_reported() -> None:
    assert "silk touch drops the block itself" in table(pool(item(conditions=[SILK]))).file_row(SOURCE).reason


def test_leaves_drop_saplings_by_chance() -> None:
    bonus = {"condition": "minecraft:table_bonus", "enchantment": "minecraft:fortune", "chances": [0.05, 0.1]}
    either = {"condition": "minecraft:any_of", "terms": [SHEARS, SILK]}
    children = [item("toy:ore", conditions=[either]), item(conditions=[SURVIVES, bonus])]
    made = table(pool({"type": "minecraft:alternatives", "children": children}))
    assert entries(made) == [
        {"type": "item", "name": "toy:gem", "weight": 50},
        {"type": "empty", "weight": 950},
    ]
    assert "certain tools" in made.file_row(SOURCE).reason


def test_a_chance_and_its_alternative_share_the_weights() -> None:
    lucky = item(conditions=[{"condition": "minecraft:random_chance", "chance": 0.25}])
    made = table(pool({"type": "minecraft:alternatives", "children": [lucky, item("minecraft:coal")]}))
    assert [(entry["name"], entry["weight"]) for entry in entries(made)] == [("toy:gem", 250), ("minecraft:coal", 750)]


def test_the_chance_of_a_pool_is_a_condition_of_it() -> None:
    made = table(pool(item(), conditions=[{"condition": "minecraft:random_chance", "chance": 0.5}]))
    assert made.json(TABLE)["pools"][0]["conditions"] == [{"condition": "random_chance", "chance": 0.5}]


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (3, 3),
        (2.0, 2),
        ({"min": 1, "max": 4}, {"min": 1, "max": 4}),
        ({"type": "minecraft:uniform", "min": 2.0, "max": 5.0}, {"min": 2, "max": 5}),
        ({"type": "minecraft:constant", "value": 2}, 2),
        ({"type": "minecraft:binomial", "n": 4, "p": 0.5}, {"min": 0, "max": 4}),
        (
            {"type": "minecraft:uniform", "min": {"type": "minecraft:constant", "value": 1}, "max": 3},
            {"min": 1, "max": 3},
        ),
    ],
)
def test_every_notation_of_a_number(count: Any, expected: Any) -> None:
    made = table(pool(item(functions=[{"function": "minecraft:set_count", "count": count}])))
    assert entries(made)[0]["functions"] == [{"function": "set_count", "count": expected}]


def test_functions_of_the_table_and_the_pool_reach_every_drop() -> None:
    two = {"function": "set_count", "count": 2}
    content = {"pools": [pool(item(), item("minecraft:coal"), functions=[two])], "functions": []}
    made = translate(FILES | {SOURCE: content}, *STEPS)
    assert [entry["functions"] for entry in entries(made)] == [[two], [two]]


def test_drops_of_states_that_are_never_reached_are_left_out() -> None:
    def in_state(**properties: str) -> dict[str, Any]:
        return {"condition": "minecraft:block_state_property", "block": "toy:ore", "properties": properties}

    made = table(pool(item(conditions=[in_state(half="lower")])), pool(item(conditions=[in_state(age="7")])))
    assert len(made.json(TABLE)["pools"]) == 1
    assert "age=7" in made.file_row(SOURCE).reason
    assert "half" not in made.file_row(SOURCE).reason


@pytest.mark.parametrize(
    ("entry", "note"),
    [
        (item("toy:gone"), "toy:gone"),
        (item("other:thing"), "other:thing"),
        (item("minecraft:white_bed"), "white_bed"),
        ({"type": "minecraft:dynamic", "name": "minecraft:contents"}, "dynamic"),
        (item(conditions=[{"condition": "minecraft:weather_check"}]), "weather_check"),
    ],
)
def test_what_cannot_be_dropped_is_named(entry: dict[str, Any], note: str) -> None:
    made = table(pool(entry))
    assert made.json(TABLE) == {"pools": []}
    assert made.file_row(SOURCE).outcome == "approximated"
    assert note in made.file_row(SOURCE).reason


def test_vanilla_items_get_their_bedrock_name() -> None:
    assert entries(table(pool(item("minecraft:bricks"))))[0]["name"] == "minecraft:brick_block"


@pytest.mark.parametrize("content", [b"{", [], {"pools": {}}, {"pools": [{"entries": ["x"]}]}])
def test_a_broken_table_is_an_error_and_the_block_does_not_name_it(content: Any) -> None:
    made = translate(FILES | {SOURCE: content}, *STEPS)
    assert made.file_row(SOURCE).outcome == "error"
    assert "minecraft:loot" not in made.json("BP/blocks/toy/ore.json")["minecraft:block"]["components"]
    assert made.paths("BP/loot_tables/") == []


def test_the_table_of_a_block_that_is_not_converted_is_unsupported() -> None:
    made = translate({k: v for k, v in FILES.items() if "textures/block" not in k} | {SOURCE: {"pools": []}}, *STEPS)
    assert made.file_row(SOURCE).outcome == "unsupported"


def test_of_two_folders_the_newer_one_counts() -> None:
    old = SOURCE.replace("loot_table/", "loot_tables/")
    made = translate(FILES | {SOURCE: {"pools": [pool(item())]}, old: {"pools": []}}, *STEPS)
    assert made.file_row(old).outcome == "ignored"
    assert entries(made)[0]["name"] == "toy:gem"


def test_blocks_whose_names_clash_in_bedrock_have_a_table_each() -> None:
    files = dict(FILES)
    for name in ("a/b", "a.b"):
        files[f"assets/toy/blockstates/{name}.json"] = FILES["assets/toy/blockstates/ore.json"]
        files[f"data/toy/loot_table/blocks/{name}.json"] = {"pools": [pool(item())]}
    made = translate(files, *STEPS)
    assert len(made.paths("BP/loot_tables/")) == 2
    named = {
        made.json(path)["minecraft:block"]["components"].get("minecraft:loot") for path in made.paths("BP/blocks/")
    }
    assert {f"BP/{table}" for table in named - {None}} == set(made.paths("BP/loot_tables/"))
