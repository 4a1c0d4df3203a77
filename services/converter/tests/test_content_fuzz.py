"""Whatever JSON a jar holds, blocks, loot tables and recipes end in rows and never in an exception."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from converter.translate.base import Translator
from converter.translate.blocks import translate_blocks
from converter.translate.items import translate_items
from converter.translate.loot import translate_loot
from converter.translate.recipes import translate_recipes
from converter.translate.textures import translate_textures
from tests.fixtures.small_mod import SOLID, translate

STEPS: tuple[Translator, ...] = (
    translate_textures,
    translate_blocks,
    translate_items,
    translate_loot,
    translate_recipes,
)
_PLAIN = st.none() | st.booleans() | st.integers(-5, 400) | st.floats(-9, 99, allow_nan=False) | st.text(max_size=6)
_NAMES = st.sampled_from(
    [
        *(
            "toy:block/x",
            "toy:block/y",
            "block/cube_all",
            "block/cross",
            "toy:x",
            "minecraft:coal",
            "#minecraft:planks",
        ),
        *("#c:ingots/tin", "#toy:t", "facing=north", "lit=true", "", "#a", "toy:block/a", "true", "north|south"),
    ]
)
_VALUES = _PLAIN | _NAMES


def documents(*keys: str) -> st.SearchStrategy[Any]:
    """JSON that uses these keys as the real files do, in places where they belong and where they do not."""
    key = st.sampled_from(keys) | _NAMES
    return st.recursive(
        _VALUES,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(key, inner, max_size=5),
        max_leaves=25,
    )


_MODELS = documents("parent", "textures", "elements", "from", "to", "faces", "uv", "texture", "rotation", "axis", "up")
_STATES = documents("variants", "multipart", "when", "apply", "model", "x", "y", "OR", "AND", "weight")
_LOOT = documents(
    "pools", "entries", "rolls", "type", "name", "children", "conditions", "functions", "condition", "count"
)
_RECIPES = documents(
    "type", "pattern", "key", "ingredients", "ingredient", "result", "item", "tag", "id", "count", "values"
)


@st.composite
def near_misses(draw: st.DrawFn, whole: dict[str, Any], noise: st.SearchStrategy[Any]) -> dict[str, Any]:
    """A good file with one value somewhere replaced by noise."""
    copy: dict[str, Any] = dict(whole)
    at = draw(st.sampled_from(sorted(copy)))
    copy[at] = draw(noise)
    return copy


_FACES = {"up": {"texture": "#all"}, "north": {"texture": "#all", "uv": [0, 0, 8, 8]}}
_GOOD_MODEL: dict[str, Any] = {
    "parent": "block/block",
    "textures": {"all": "toy:block/a"},
    "elements": [{"from": [0, 0, 0], "to": [8, 8, 8], "faces": _FACES}],
}
_GOOD_STATE: dict[str, Any] = {
    "variants": {"lit=true": {"model": "toy:block/x"}, "lit=false": {"model": "toy:block/x"}}
}
_GOOD_POOL: dict[str, Any] = {"rolls": 1, "entries": [{"type": "item", "name": "toy:x"}], "conditions": []}
_GOOD_RECIPE: dict[str, Any] = {
    "type": "crafting_shaped",
    "pattern": ["A"],
    "key": {"A": "minecraft:coal"},
    "result": {"id": "toy:x", "count": 1},
}


@given(
    _MODELS | near_misses(_GOOD_MODEL, _MODELS),
    _STATES | near_misses(_GOOD_STATE, _STATES),
    _LOOT | near_misses(_GOOD_POOL, _LOOT).map(lambda pool: {"pools": [pool]}),
    _RECIPES | near_misses(_GOOD_RECIPE, _RECIPES),
    _RECIPES,
)
@settings(max_examples=40, deadline=None)
def test_any_json_ends_in_rows(model: Any, state: Any, loot: Any, recipe: Any, tag: Any) -> None:
    files = {
        "assets/toy/textures/block/a.png": SOLID,
        "assets/toy/models/block/x.json": model,
        "assets/toy/blockstates/x.json": state,
        "data/toy/loot_table/blocks/x.json": loot,
        "data/toy/recipe/r.json": recipe,
        "data/toy/tags/item/t.json": tag,
    }
    made = translate(_as_written(files), *STEPS)
    assert made.id_row("toy:x").outcome
    assert made.file_row("data/toy/loot_table/blocks/x.json").outcome
    assert made.file_row("data/toy/recipe/r.json").outcome
    assert all(len(row.reason) < 3000 for row in made.rows.values())


def _as_written(files: dict[str, Any]) -> dict[str, Any]:
    """Text and numbers at the top of a file are JSON too."""
    return {name: value if isinstance(value, bytes | dict | list) else [value] for name, value in files.items()}
