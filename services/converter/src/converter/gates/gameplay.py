"""The part of gate 1 that looks at recipes and loot tables: every item exists, every pattern can be read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from converter.gates.addon import Addon, as_list, as_object

IsKnown = Callable[[str], bool]
_LARGEST_GRID = 3
_RESULTS = ("result", "output")
_INGREDIENTS = ("ingredients", "input", "template", "base", "addition")
_RECIPES = (
    "minecraft:recipe_shaped",
    "minecraft:recipe_shapeless",
    "minecraft:recipe_furnace",
    "minecraft:recipe_smithing_transform",
    "minecraft:recipe_smithing_trim",
)


def check_recipes(addon: Addon, is_known: IsKnown) -> Iterator[str]:
    """Findings in all recipes. `is_known` says whether an item exists, in the add-on or in vanilla."""
    seen: dict[str, str] = {}
    for name, content in addon.all_json("data", "recipes/"):
        kinds = [kind for kind in as_object(content) if kind != "format_version"]
        if len(kinds) != 1 or kinds[0] not in _RECIPES:
            yield f"{name}: no kind of recipe that Bedrock knows: {kinds}"
            continue
        recipe = as_object(content[kinds[0]])
        identifier = str(as_object(recipe.get("description")).get("identifier"))
        if (other := seen.setdefault(identifier, name)) != name:
            yield f"{name}: the recipe {identifier} is defined in {other} already"
        if not as_list(recipe.get("tags")):
            yield f"{name}: the recipe names no crafting station (tags)"
        if kinds[0] == "minecraft:recipe_shaped":
            yield from _check_pattern(name, recipe)
        for item in _items(recipe):
            if not is_known(item):
                yield f"{name}: unknown item {item}"


def _check_pattern(name: str, recipe: dict[str, Any]) -> Iterator[str]:
    pattern = as_list(recipe.get("pattern"))
    if not pattern or not all(isinstance(row, str) and row for row in pattern):
        yield f"{name}: the pattern is not a list of rows"
        return
    if len({len(row) for row in pattern}) > 1:
        yield f"{name}: the rows of the pattern differ in length"
    if len(pattern) > _LARGEST_GRID or max(map(len, pattern)) > _LARGEST_GRID:
        yield f"{name}: the pattern is larger than 3 x 3"
    keys, used = set(as_object(recipe.get("key"))), set("".join(pattern)) - {" "}
    if keys != used:
        yield f"{name}: pattern and key differ in {sorted(keys ^ used)}"


def _items(recipe: dict[str, Any]) -> Iterator[str]:
    """Identifiers of every item that the recipe names: ingredients and results, not tags."""
    values = [recipe.get(field) for field in (*_INGREDIENTS, *_RESULTS)]
    values += as_object(recipe.get("key")).values()
    while values:
        value = values.pop()
        if isinstance(value, list):
            values.extend(value)
        elif isinstance(value, str):
            yield _without_data(value)
        elif isinstance(value, dict) and isinstance(value.get("item"), str):
            yield _without_data(value["item"])


def _without_data(item: str) -> str:
    """The identifier: "minecraft:dye:4" names a data value after a second colon; "stick" means minecraft:stick."""
    parts = item.split(":")
    return f"minecraft:{item}" if len(parts) == 1 else ":".join(parts[:2])


def check_loot_tables(addon: Addon, is_known: IsKnown) -> Iterator[str]:
    """Findings in all loot tables: entries without an item that exists, and names that only Java writes."""
    for name, content in addon.all_json("data", "loot_tables/"):
        pools = as_object(content).get("pools")
        if not isinstance(pools, list):
            yield f"{name}: no pools"
            continue
        for pool in pools:
            yield from _check_node(addon, name, as_object(pool), is_known)


def _check_node(addon: Addon, name: str, top: dict[str, Any], is_known: IsKnown) -> Iterator[str]:
    stack = [top]
    while stack:
        node = stack.pop()
        stack += [as_object(each) for field in ("entries", "children") for each in as_list(node.get(field))]
        if "rolls" not in node:
            yield from _check_entry(addon, name, node, is_known)
        for field, key in (("functions", "function"), ("conditions", "condition")):
            for each in as_list(node.get(field)):
                if ":" in str(as_object(each).get(key, ":")):
                    yield f"{name}: {field} are named without a namespace in Bedrock: {as_object(each).get(key)}"


def _check_entry(addon: Addon, name: str, entry: dict[str, Any], is_known: IsKnown) -> Iterator[str]:
    kind = entry.get("type")
    if kind == "item":
        if not is_known(_without_data(str(entry.get("name")))):
            yield f"{name}: unknown item {entry.get('name')}"
    elif kind == "loot_table":
        if f"{addon.folder('data')}{entry.get('name')}" not in addon.names:
            yield f"{name}: missing loot table {entry.get('name')}"
    elif kind not in ("empty", "group", "alternatives", "sequence"):
        yield f"{name}: Bedrock knows no loot entry of the type {kind}"
