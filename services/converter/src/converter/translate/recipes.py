"""Recipes: crafting, cooking and stonecutting become BP/recipes/**.

Rows of data/*/recipe(s)/** and of the item tags that their ingredients name.

Runs after blocks and items: a recipe with an item that nobody has is refused with the name. Where a Java ingredient may
be one of several things that no Bedrock tag covers, there is one recipe for each.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from converter.bedrock.names import bedrock_name
from converter.errors import BadFile
from converter.java.models import UntranslatableError
from converter.ledger import Outcome, Row
from converter.model import VANILLA, Mod
from converter.translate.base import AddonFile, Context, Translation
from converter.translate.ingredients import Option, RecipeReader, Result
from converter.translate.known_items import ItemTags
from converter.translate.notes import sentence
from converter.translate.paths import addon_path

FORMAT_VERSION = "1.20.10"
MAX_RECIPES_OF_ONE = 64
"""A Java recipe becomes at most so many Bedrock recipes; further combinations of ingredients are left out."""
_COOKING_TAGS = {
    "smelting": ("furnace",),
    "blasting": ("blast_furnace",),
    "smoking": ("smoker",),
    "campfire_cooking": ("campfire", "soul_campfire"),
}
_USUAL_TICKS = {"smelting": 200, "blasting": 100, "smoking": 100, "campfire_cooking": 600}
_CONDITIONS = ("conditions", "fabric:load_conditions", "forge:conditions", "neoforge:conditions")
_REPLACES_VANILLA = "It changes a recipe of vanilla Minecraft, whose recipes have other names in Bedrock."
_TWICE = "The jar holds it a second time, for newer versions of the game."
_TAG_USED = "Its members stand in the recipes that name it; the tag itself is not in the add-on."
_SPECIAL = "is worked out by Java code, not by ingredients"

Body = dict[str, Any]


@dataclass
class _Cooked:
    """A cooking recipe waiting to be written: several stations may share input and output."""

    path: str
    identifier: str
    stations: dict[str, None] = field(default_factory=dict)


@dataclass
class _Work:
    """What is known while recipes are translated."""

    context: Context
    tags: ItemTags
    made: Translation = field(default_factory=Translation)
    names: set[str] = field(default_factory=set)
    tag_uses: dict[str, dict[str, None]] = field(default_factory=dict)
    """Tag file -> recipes of the add-on that hold its members."""
    cooked: dict[tuple[str, str], _Cooked] = field(default_factory=dict)
    """(input, output) -> recipe."""
    cooks: dict[tuple[str, str], str] = field(default_factory=dict)
    """(input, station) -> output: Bedrock has one result for each."""


def translate_recipes(mod: Mod, context: Context) -> Translation:
    """BP/recipes/**; rows as the module says."""
    work = _Work(context, ItemTags(mod, context))
    for name, namespace, path in mod.under("recipe", "recipes", side="data"):
        if not path.endswith(".json"):
            continue
        newer = name.replace("/recipes/", "/recipe/", 1)
        if newer != name and newer in mod.files:
            work.made.rows.append(Row(name, "recipe", "ignored", _TWICE))
            continue
        if namespace == VANILLA:
            work.made.rows.append(Row(name, "recipe", "unsupported", _REPLACES_VANILLA))
            continue
        try:
            raw = mod.files.json(name)
            row = _translate(work, name, f"{namespace}:{path.removesuffix('.json')}", raw)
        except UntranslatableError as error:
            row = Row(name, "recipe", "unsupported", sentence("The recipe is not converted", [error.reason]))
        except BadFile as error:
            row = Row(name, "recipe", "error", sentence("The recipe cannot be used", [error.reason]))
        work.made.rows.append(row)
    work.made.rows += _tag_rows(work)
    for (item, output), cooked in work.cooked.items():
        body = {"tags": list(cooked.stations), "input": item, "output": output}
        work.made.files.append(_file(cooked.path, cooked.identifier, "recipe_furnace", body))
    return work.made


def _translate(work: _Work, name: str, java_id: str, raw: Any) -> Row:
    if not isinstance(raw, dict) or not isinstance(raw.get("type"), str):
        raise BadFile("it is not a JSON object with a type")
    kind = raw["type"].removeprefix(f"{VANILLA}:")
    reader = RecipeReader(work.context, work.tags)
    if any(raw.get(key) for key in _CONDITIONS):
        reader.notes["it is always there, whatever its load conditions say"] = None
    if kind in _COOKING_TAGS:
        outputs = _cook(work, java_id, kind, raw, reader)
    elif kind in _CRAFTING:
        outputs = _write_all(work, java_id, _CRAFTING[kind](raw, reader))
    else:
        raise UntranslatableError(_refusal(raw["type"]))
    for file in reader.tag_files:
        work.tag_uses.setdefault(file, {}).update(dict.fromkeys(outputs))
    outcome: Outcome = "approximated" if reader.notes else "converted"
    return Row(name, "recipe", outcome, sentence("In the recipe", reader.notes), outputs)


def _tag_rows(work: _Work) -> list[Row]:
    """Rows of the tags that recipes asked for. What nobody asked for is left to `leftovers.py`."""
    used = [Row(file, "tag", "approximated", _TAG_USED, tuple(uses)) for file, uses in sorted(work.tag_uses.items())]
    broken = sorted(work.tags.broken.items())
    return used + [Row(file, "tag", "error", f"The tag cannot be used: {reason}.") for file, reason in broken]


def _refusal(kind: str) -> str:
    namespace, separator, path = kind.partition(":")
    if separator and namespace != VANILLA:
        return f"its type {kind[:80]} is worked out by a mod's Java code"
    if (path or namespace).startswith(("crafting_special", "crafting_decorated", "crafting_transmute")):
        return f"its type {kind[:80]} {_SPECIAL}"
    return f"its type {kind[:80]} is not converted yet"


@dataclass(frozen=True, slots=True)
class _Combinations:
    """The Bedrock recipes of one Java recipe: `build` makes the body for one choice of an option per ingredient."""

    recipe: str
    choices: tuple[tuple[Option, ...], ...]
    build: Callable[[tuple[Option, ...]], Body]
    reader: RecipeReader


def _shaped(raw: dict[str, Any], reader: RecipeReader) -> _Combinations:
    rows = _pattern(raw.get("pattern"))
    key = raw.get("key")
    if not isinstance(key, dict):
        raise BadFile("it has no key to its pattern")
    symbols = sorted({symbol for row in rows for symbol in row if symbol != " "})
    if missing := [symbol for symbol in symbols if symbol not in key]:
        raise BadFile(f"its pattern has the symbol {missing[0]!r}, which its key does not explain")
    choices = tuple(reader.options(key[symbol]) for symbol in symbols)
    _note_mixing(reader, (("".join(rows).count(symbol), each) for symbol, each in zip(symbols, choices, strict=True)))
    result = reader.result(raw.get("result"))

    def build(chosen: tuple[Option, ...]) -> Body:
        explained = dict(zip(symbols, chosen, strict=True))
        return {
            "tags": ["crafting_table"],
            "pattern": rows,
            "key": explained,
            "unlock": _unlock(chosen),
            "result": _crafted(result),
        }

    return _Combinations("recipe_shaped", choices, build, reader)


def _pattern(raw: Any) -> list[str]:
    """Rows of equal length without an empty margin, at most 3x3."""
    if not isinstance(raw, list) or not raw or not all(isinstance(row, str) for row in raw):
        raise BadFile("its pattern is not a list of rows")
    if len(raw) > 16 or max(len(row) for row in raw) > 16:
        raise UntranslatableError("its pattern is larger than a crafting table")
    width = max(len(row) for row in raw)
    rows = [row.ljust(width) for row in raw]
    while rows and not rows[0].strip():
        rows.pop(0)
    while rows and not rows[-1].strip():
        rows.pop()
    if not rows:
        raise BadFile("its pattern is empty")
    left = min(len(row) - len(row.lstrip()) for row in rows if row.strip())
    right = max(len(row.rstrip()) for row in rows)
    rows = [row[left:right] for row in rows]
    if len(rows) > 3 or len(rows[0]) > 3:
        raise UntranslatableError("its pattern is larger than a crafting table")
    return rows


def _shapeless(raw: dict[str, Any], reader: RecipeReader) -> _Combinations:
    ingredients = raw.get("ingredients")
    if not isinstance(ingredients, list) or not 1 <= len(ingredients) <= 9:
        raise BadFile("it has no list of 1 to 9 ingredients")
    return _from_list(ingredients, "crafting_table", raw, reader)


def _stonecutting(raw: dict[str, Any], reader: RecipeReader) -> _Combinations:
    return _from_list([raw.get("ingredient")], "stonecutter", raw, reader)


def _from_list(ingredients: list[Any], table: str, raw: dict[str, Any], reader: RecipeReader) -> _Combinations:
    """A shapeless recipe. Equal ingredients are chosen once."""
    distinct: list[Any] = []
    for each in ingredients:
        if each not in distinct:
            distinct.append(each)
    choices = tuple(reader.options(each) for each in distinct)
    _note_mixing(reader, ((ingredients.count(raw), each) for raw, each in zip(distinct, choices, strict=True)))
    result = reader.result(raw.get("result"), raw.get("count", 1))

    def build(chosen: tuple[Option, ...]) -> Body:
        listed = [chosen[distinct.index(each)] for each in ingredients]
        return {"tags": [table], "ingredients": listed, "unlock": _unlock(chosen), "result": _crafted(result)}

    return _Combinations("recipe_shapeless", choices, build, reader)


def _note_mixing(reader: RecipeReader, counted: Iterable[tuple[int, tuple[Option, ...]]]) -> None:
    """Java lets a player mix the options of an ingredient that occurs several times; no recipe of ours does."""
    if any(count > 1 and len(options) > 1 for count, options in counted):
        reader.notes["the alternatives of one ingredient cannot be mixed"] = None


_CRAFTING: Mapping[str, Callable[[dict[str, Any], RecipeReader], _Combinations]] = {
    "crafting_shaped": _shaped,
    "crafting_shapeless": _shapeless,
    "stonecutting": _stonecutting,
}


def _write_all(work: _Work, java_id: str, combinations: _Combinations) -> tuple[str, ...]:
    total = math.prod(len(options) for options in combinations.choices)
    _note_cut(combinations.reader, total)
    outputs = []
    for chosen in itertools.islice(itertools.product(*combinations.choices), MAX_RECIPES_OF_ONE):
        path, identifier = _name(work, java_id)
        work.made.files.append(_file(path, identifier, combinations.recipe, combinations.build(chosen)))
        outputs.append(path)
    return tuple(outputs)


def _note_cut(reader: RecipeReader, total: int) -> None:
    if total > MAX_RECIPES_OF_ONE:
        reader.notes[f"of {total} combinations of ingredients the first {MAX_RECIPES_OF_ONE} have a recipe"] = None


def _cook(work: _Work, java_id: str, kind: str, raw: dict[str, Any], reader: RecipeReader) -> tuple[str, ...]:
    """One furnace recipe for each input; recipes of other stations with the same input and output are joined to it."""
    options = reader.options(raw.get("ingredient"), as_tags=False)
    _note_cut(reader, len(options))
    result = reader.result(raw.get("result"), raw.get("count", 1))
    if result.count > 1:
        reader.notes[f"it makes 1 instead of {result.count}"] = None
    if raw.get("experience"):
        reader.notes["it gives no experience"] = None
    if raw.get("cookingtime", _USUAL_TICKS[kind]) != _USUAL_TICKS[kind]:
        reader.notes[f"it takes the usual time instead of {raw['cookingtime']} ticks"] = None
    outputs: dict[str, None] = {}
    taken = []
    for option in options[:MAX_RECIPES_OF_ONE]:
        item = option["item"]
        stations = [
            tag for tag in _COOKING_TAGS[kind] if work.cooks.setdefault((item, tag), result.item) == result.item
        ]
        if not stations:
            taken.append(item)
            continue
        if (item, result.item) not in work.cooked:
            work.cooked[item, result.item] = _Cooked(*_name(work, java_id))
        cooked = work.cooked[item, result.item]
        cooked.stations |= dict.fromkeys(stations)
        outputs[cooked.path] = None
    if not outputs:
        raise UntranslatableError(f"another recipe of the mod already cooks {taken[0]} to something else")
    if taken:
        reader.notes[f"another recipe already cooks {', '.join(taken)} to something else"] = None
    return tuple(outputs)


def _crafted(result: Result) -> Body:
    return {"item": result.item, "count": result.count} if result.count > 1 else {"item": result.item}


def _unlock(chosen: tuple[Option, ...]) -> list[Option]:
    """The recipe appears in the recipe book with the first of its ingredients."""
    return [dict(pair) for pair in dict.fromkeys(tuple(option.items()) for option in chosen)]


def _name(work: _Work, java_id: str) -> tuple[str, str]:
    """(path, identifier) for the next recipe of a Java recipe; never the same twice."""
    namespace, _, name = java_id.partition(":")
    folder, plain = bedrock_name(namespace), bedrock_name(name.replace("/", "_"))
    unique, number = plain, 2
    while f"{folder}:{unique}" in work.names:
        unique, number = f"{plain}_{number}", number + 1
    work.names.add(f"{folder}:{unique}")
    return addon_path(f"BP/recipes/{folder}", unique, ".json"), f"{folder}:{unique}"


def _file(path: str, identifier: str, recipe: str, body: Body) -> AddonFile:
    content = {"description": {"identifier": identifier}, **body}
    return AddonFile(path, {"format_version": FORMAT_VERSION, f"minecraft:{recipe}": content})
