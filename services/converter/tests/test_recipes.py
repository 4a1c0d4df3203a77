"""Recipes in all notations: what they become, and why some become nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from converter.translate.base import Translator
from converter.translate.items import translate_items
from converter.translate.recipes import MAX_RECIPES_OF_ONE, translate_recipes
from converter.translate.textures import translate_textures
from tests.fixtures.small_mod import SMALL_TABLES, SOLID, Translated, translate

STEPS: tuple[Translator, ...] = (translate_textures, translate_items, translate_recipes)
ITEMS = ("gem", "tin_ingot", "tin_dust")
FILES: dict[str, Any] = {
    f"assets/toy/models/item/{name}.json": {"parent": "item/generated", "textures": {"layer0": f"toy:item/{name}"}}
    for name in ITEMS
} | {f"assets/toy/textures/item/{name}.png": SOLID for name in ITEMS}
SOURCE = "data/toy/recipe/r.json"


def recipes(extra: dict[str, Any] | None = None, **by_name: Any) -> Translated:
    files = {f"data/toy/recipe/{name}.json": content for name, content in by_name.items()}
    return translate(FILES | files | (extra or {}), *STEPS)


def shaped(pattern: list[str], result: Any = None, **key: Any) -> dict[str, Any]:
    return {
        "type": "minecraft:crafting_shaped",
        "pattern": pattern,
        "key": key,
        "result": result or {"id": "toy:gem", "count": 1},
    }


def shapeless(*ingredients: Any, result: Any = "toy:gem") -> dict[str, Any]:
    return {"type": "crafting_shapeless", "ingredients": list(ingredients), "result": {"id": result}}


def smelting(ingredient: Any, kind: str = "smelting", **more: Any) -> dict[str, Any]:
    return {"type": f"minecraft:{kind}", "ingredient": ingredient, "result": {"id": "toy:gem"}, **more}


def test_a_shaped_recipe() -> None:
    made = recipes(r=shaped(["#", "#", "/"], **{"#": "toy:tin_ingot", "/": {"item": "minecraft:stick"}}))
    assert made.json("BP/recipes/toy/r.json") == {
        "format_version": "1.20.10",
        "minecraft:recipe_shaped": {
            "description": {"identifier": "toy:r"},
            "tags": ["crafting_table"],
            "pattern": ["#", "#", "/"],
            "key": {"#": {"item": "toy:tin_ingot"}, "/": {"item": "minecraft:stick"}},
            "unlock": [{"item": "toy:tin_ingot"}, {"item": "minecraft:stick"}],
            "result": {"item": "toy:gem"},
        },
    }
    row = made.file_row(SOURCE)
    assert (row.outcome, row.reason, row.outputs) == ("converted", "", ("BP/recipes/toy/r.json",))


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        (["A", "AAA"], ["A  ", "AAA"]),
        (["   ", " A ", " A "], ["A", "A"]),
        (["A A"], ["A A"]),
        (["    ", " AA "], ["AA"]),
    ],
)
def test_patterns_are_trimmed_and_get_rows_of_one_length(pattern: list[str], expected: list[str]) -> None:
    made = recipes(r=shaped(pattern, A="minecraft:stone"))
    assert made.json("BP/recipes/toy/r.json")["minecraft:recipe_shaped"]["pattern"] == expected


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        ({"item": "toy:gem", "count": 4}, {"item": "toy:gem", "count": 4}),
        ({"id": "toy:gem"}, {"item": "toy:gem"}),
        ("toy:gem", {"item": "toy:gem"}),
        ({"id": "minecraft:bricks", "count": 2}, {"item": "minecraft:brick_block", "count": 2}),
    ],
)
def test_every_notation_of_a_result(result: Any, expected: dict[str, Any]) -> None:
    made = recipes(r=shaped(["A"], result, A="minecraft:stone"))
    assert made.json("BP/recipes/toy/r.json")["minecraft:recipe_shaped"]["result"] == expected


def test_components_of_a_result_are_lost_and_said() -> None:
    result = {"id": "toy:gem", "components": {"minecraft:custom_name": "Shiny"}}
    row = recipes(r=shaped(["A"], result, A="minecraft:stone")).file_row(SOURCE)
    assert row.outcome == "approximated"
    assert "components" in row.reason


def test_the_old_folder_is_read_too() -> None:
    made = recipes({"data/toy/recipes/old.json": shapeless({"item": "minecraft:coal"})})
    assert made.paths("BP/recipes/") == ["BP/recipes/toy/old.json"]


def test_a_list_of_alternatives_is_a_recipe_for_each() -> None:
    made = recipes(r=shapeless([{"item": "minecraft:coal"}, "minecraft:charcoal"], "minecraft:stick"))
    paths = ["BP/recipes/toy/r.json", "BP/recipes/toy/r_2.json"]
    assert made.paths("BP/recipes/") == paths
    bodies = [made.json(path)["minecraft:recipe_shapeless"] for path in paths]
    assert [body["ingredients"][0] for body in bodies] == [{"item": "minecraft:coal"}, {"item": "minecraft:charcoal"}]
    assert made.file_row(SOURCE).outputs == tuple(paths)


def test_a_vanilla_tag_that_bedrock_has_stays_a_tag() -> None:
    made = recipes(r=shapeless("#minecraft:planks"))
    body = made.json("BP/recipes/toy/r.json")["minecraft:recipe_shapeless"]
    assert body["ingredients"] == body["unlock"] == [{"tag": "minecraft:planks"}]
    assert made.file_row(SOURCE).outcome == "converted"


def test_the_mods_own_members_of_a_vanilla_tag_get_a_recipe() -> None:
    tag = {"data/minecraft/tags/item/planks.json": {"values": ["toy:gem"]}}
    made = recipes(tag, r=shapeless({"tag": "minecraft:planks"}, result="toy:tin_dust"))
    chosen = [made.json(path)["minecraft:recipe_shapeless"]["ingredients"][0] for path in made.paths("BP/recipes/")]
    assert chosen == [{"tag": "minecraft:planks"}, {"item": "toy:gem"}]


def test_tags_within_tags_are_followed_even_in_a_circle() -> None:
    tags = {
        "data/toy/tags/items/a.json": {"values": ["#toy:b", "minecraft:coal"]},
        "data/toy/tags/items/b.json": {"values": ["#toy:a", {"id": "toy:gem", "required": False}]},
    }
    made = recipes(tags, r=shapeless("#toy:a", result="toy:tin_dust"))
    chosen = {
        made.json(path)["minecraft:recipe_shapeless"]["ingredients"][0]["item"] for path in made.paths("BP/recipes/")
    }
    assert chosen == {"minecraft:coal", "toy:gem"}


@pytest.mark.parametrize("tag", ["c:ingots/iron", "forge:ingots/iron", "c:iron_ingots"])
def test_common_tags_hold_what_vanilla_has(tag: str) -> None:
    made = recipes(r=shapeless({"tag": tag}))
    body = made.json("BP/recipes/toy/r.json")["minecraft:recipe_shapeless"]
    assert body["ingredients"] == [{"item": "minecraft:iron_ingot"}]
    assert made.file_row(SOURCE).outcome == "converted"


def test_a_common_tag_that_no_file_defines_is_taken_by_its_name_and_said() -> None:
    made = recipes(r=shapeless({"tag": "c:ingots/tin"}))
    row = made.file_row(SOURCE)
    assert row.outcome == "approximated"
    assert "#c:ingots/tin" in row.reason
    assert "toy:tin_ingot" in row.reason


def test_too_many_combinations_are_capped_and_said() -> None:
    three = ["minecraft:coal", "minecraft:stick", "minecraft:stone"]
    grid = {symbol: [*three, f"minecraft:{extra}"] for symbol, extra in zip("ABCD", ("glass",) * 4, strict=True)}
    made = recipes(r=shaped(["AB", "CD"], **grid))
    assert len(made.paths("BP/recipes/")) == MAX_RECIPES_OF_ONE
    assert "256 combinations" in made.file_row(SOURCE).reason


def test_too_many_things_to_cook_are_capped_and_said() -> None:
    many = [f"minecraft:thing_{number}" for number in range(MAX_RECIPES_OF_ONE + 1)]
    tables = replace(SMALL_TABLES, items=SMALL_TABLES.items | {name: name for name in many})
    made = translate(FILES | {SOURCE: smelting(many)}, *STEPS, vanilla=tables)
    assert len(made.paths("BP/recipes/")) == MAX_RECIPES_OF_ONE
    assert made.file_row(SOURCE).outcome == "approximated"
    assert "65 combinations" in made.file_row(SOURCE).reason


@pytest.mark.parametrize(
    ("kind", "stations"),
    [
        ("smelting", ["furnace"]),
        ("blasting", ["blast_furnace"]),
        ("smoking", ["smoker"]),
        ("campfire_cooking", ["campfire", "soul_campfire"]),
    ],
)
def test_cooking(kind: str, stations: list[str]) -> None:
    made = recipes(r=smelting({"item": "toy:tin_dust"}, kind))
    assert made.json("BP/recipes/toy/r.json")["minecraft:recipe_furnace"] == {
        "description": {"identifier": "toy:r"},
        "tags": stations,
        "input": "toy:tin_dust",
        "output": "toy:gem",
    }
    assert made.file_row(SOURCE).outcome == "converted"


@pytest.mark.parametrize(
    ("more", "note"),
    [({"experience": 0.7}, "no experience"), ({"cookingtime": 50}, "50 ticks")],
)
def test_what_a_furnace_recipe_cannot_say_is_reported(more: dict[str, Any], note: str) -> None:
    row = recipes(r=smelting("toy:tin_dust", **more)).file_row(SOURCE)
    assert row.outcome == "approximated"
    assert note in row.reason


def test_stations_with_the_same_input_and_output_share_a_recipe() -> None:
    made = recipes(a=smelting("toy:tin_dust"), b=smelting("toy:tin_dust", "blasting"))
    assert made.paths("BP/recipes/") == ["BP/recipes/toy/a.json"]
    assert made.json("BP/recipes/toy/a.json")["minecraft:recipe_furnace"]["tags"] == ["furnace", "blast_furnace"]
    assert made.file_row("data/toy/recipe/b.json").outputs == ("BP/recipes/toy/a.json",)


def test_one_input_has_one_output_in_a_furnace() -> None:
    other = {**smelting("toy:tin_dust"), "result": {"id": "toy:tin_ingot"}}
    row = recipes(a=smelting("toy:tin_dust"), b=other).file_row("data/toy/recipe/b.json")
    assert row.outcome == "unsupported"
    assert "toy:tin_dust" in row.reason


def test_a_furnace_takes_items_and_no_tags() -> None:
    made = recipes(r=smelting({"tag": "minecraft:logs_that_burn"}))
    inputs = {made.json(path)["minecraft:recipe_furnace"]["input"] for path in made.paths("BP/recipes/")}
    assert inputs == {"minecraft:oak_log", "minecraft:stripped_oak_log"}


def test_stonecutting() -> None:
    cut = {"type": "minecraft:stonecutting", "ingredient": "minecraft:stone", "result": "toy:gem", "count": 3}
    body = recipes(r=cut).json("BP/recipes/toy/r.json")["minecraft:recipe_shapeless"]
    assert body["tags"] == ["stonecutter"]
    assert body["result"] == {"item": "toy:gem", "count": 3}


def test_names_that_clash_in_bedrock_get_a_number() -> None:
    names = ("a/b_c", "a_b/c", "a_b_c")
    files = {f"data/toy/recipe/{name}.json": shapeless("minecraft:coal") for name in names}
    made = translate(FILES | files, *STEPS)
    identifiers = {
        made.json(path)["minecraft:recipe_shapeless"]["description"]["identifier"] for path in made.paths("BP/recipes/")
    }
    assert identifiers == {"toy:a_b_c", "toy:a_b_c_2", "toy:a_b_c_3"}


@pytest.mark.parametrize(
    ("content", "outcome", "reason"),
    [
        (shapeless("toy:gone"), "unsupported", "toy:gone"),
        (shapeless("minecraft:coal", result="other:thing"), "unsupported", "other:thing"),
        (shapeless("minecraft:white_bed"), "unsupported", "minecraft:white_bed"),
        (shapeless({"tag": "c:ingots/unobtainium"}), "unsupported", "#c:ingots/unobtainium"),
        (shapeless({"type": "forge:nbt", "item": "minecraft:coal"}), "unsupported", "forge:nbt"),
        (shapeless({"fabric:type": "fabric:any", "item": "minecraft:coal"}), "unsupported", "fabric:any"),
        ({"type": "other:grinding"}, "unsupported", "other:grinding"),
        ({"type": "minecraft:crafting_special_firework_rocket"}, "unsupported", "Java code"),
        ({"type": "minecraft:smithing_trim"}, "unsupported", "not converted yet"),
        (shaped(["AAAA"], A="minecraft:coal"), "unsupported", "larger"),
        (shaped(["AB"], A="minecraft:coal"), "error", "'B'"),
        (shaped([], A="minecraft:coal"), "error", "pattern"),
        (shaped(["  "], A="minecraft:coal"), "error", "empty"),
        (shapeless(), "error", "1 to 9"),
        (shapeless(5), "error", "neither"),
        (shaped(["A"], {"id": "toy:gem", "count": 0}, A="minecraft:coal"), "error", "count"),
        ([], "error", "not a JSON object"),
        (b"{", "error", "not valid JSON"),
    ],
)
def test_a_recipe_that_cannot_be_made_says_why(content: Any, outcome: str, reason: str) -> None:
    made = recipes(r=content)
    row = made.file_row(SOURCE)
    assert row.outcome == outcome
    assert reason in row.reason
    assert made.paths("BP/recipes/") == []


def test_an_alternative_that_is_missing_is_said() -> None:
    row = recipes(r=shapeless(["minecraft:coal", "other:coke"])).file_row(SOURCE)
    assert row.outcome == "approximated"
    assert "other:coke" in row.reason


def test_load_conditions_are_reported() -> None:
    row = recipes(r=shapeless("minecraft:coal") | {"neoforge:conditions": [{"type": "x"}]}).file_row(SOURCE)
    assert row.outcome == "approximated"
    assert "conditions" in row.reason


def test_recipes_of_vanilla_are_not_replaced() -> None:
    made = recipes({"data/minecraft/recipe/stick.json": shapeless("minecraft:coal")})
    assert made.file_row("data/minecraft/recipe/stick.json").outcome == "unsupported"


def test_a_tag_that_recipes_use_has_a_row_and_a_broken_one_is_an_error() -> None:
    tags = {
        "data/toy/tags/item/fuel.json": {"values": ["minecraft:coal"]},
        "data/toy/tags/item/bad.json": {"values": "minecraft:coal"},
        "data/toy/tags/item/unused.json": {"values": ["minecraft:coal"]},
    }
    made = recipes(tags, r=shapeless("#toy:fuel"), s=shapeless(["#toy:bad", "minecraft:stick"]))
    fuel = made.file_row("data/toy/tags/item/fuel.json")
    assert (fuel.outcome, fuel.outputs) == ("approximated", ("BP/recipes/toy/r.json",))
    assert made.file_row("data/toy/tags/item/bad.json").outcome == "error"
    assert ("data/toy/tags/item/unused.json", False) not in made.rows


def test_of_two_folders_the_newer_one_counts() -> None:
    made = recipes({"data/toy/recipes/r.json": shapeless("minecraft:stick")}, r=shapeless("minecraft:coal"))
    assert made.file_row("data/toy/recipes/r.json").outcome == "ignored"
    assert made.paths("BP/recipes/") == ["BP/recipes/toy/r.json"]
