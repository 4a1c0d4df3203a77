"""Ingredients and results of Java recipes in Bedrock's terms, in every notation that Minecraft 1.13 to 1.21 used.

Called by `recipes.py`, which puts them together.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from converter.errors import BadFile
from converter.java.models import UntranslatableError
from converter.translate.base import Context
from converter.translate.known_items import ItemTags, bedrock_item

Option = dict[str, str]
"""{"item": id} or {"tag": id}: one thing that an ingredient may be."""

_CUSTOM_TYPE_KEYS = ("type", "fabric:type", "neoforge:ingredient_type", "forge:type")
_MAX_COUNT = 64


@dataclass(frozen=True, slots=True)
class Result:
    """What a recipe makes."""

    item: str
    count: int = 1


@dataclass
class RecipeReader:
    """Reads the parts of one recipe; `notes` collects what is lost. Raises UntranslatableError and BadFile."""

    context: Context
    tags: ItemTags
    notes: dict[str, None] = field(default_factory=dict)
    tag_files: dict[str, None] = field(default_factory=dict)
    """The jar's tag files that ingredients were taken from."""

    def options(self, raw: Any, *, as_tags: bool = True) -> tuple[Option, ...]:
        """All things that the ingredient may be: "ns:id", "#ns:tag", {"item"}, {"tag"}, or a list of these."""
        found: dict[tuple[str, str], None] = {}
        lost = []
        for each in raw if isinstance(raw, list) else [raw]:
            kind, name = _named(each)
            if kind == "tag":
                members = self.tags.members(name, as_tags=as_tags)
                if not members.items and not members.tags:
                    lost.append(f"the tag #{name} holds nothing that is known")
                self.notes |= dict.fromkeys(members.notes)
                self.tag_files |= dict.fromkeys(members.files)
                found |= dict.fromkeys(("tag", tag) for tag in members.tags)
                found |= dict.fromkeys(("item", item) for item in members.items)
            elif item := bedrock_item(self.context, name):
                found[("item", item)] = None
            else:
                lost.append(f"the add-on has no item {name}")
        if not found:
            raise UntranslatableError(lost[0] if lost else "an ingredient is empty")
        self.notes |= dict.fromkeys(f"an alternative is left out: {each}" for each in lost)
        return tuple({kind: name} for kind, name in found)

    def result(self, raw: Any, count: Any = 1) -> Result:
        """The result: "ns:id" with the count beside it, {"item", "count"} or, from 1.20.5 on, {"id", "count"}."""
        if isinstance(raw, dict):
            name, count = raw.get("id", raw.get("item")), raw.get("count", 1)
            for lost in ("components", "nbt"):
                if raw.get(lost):
                    self.notes[f"the {lost} of the result are lost"] = None
        else:
            name = raw
        if not isinstance(name, str):
            raise BadFile("its result names no item")
        if isinstance(count, bool) or not isinstance(count, int | float) or not 1 <= count <= _MAX_COUNT:
            raise BadFile(f"its result has no count from 1 to {_MAX_COUNT}")
        item = bedrock_item(self.context, name)
        if item is None:
            raise UntranslatableError(f"the add-on has no item {name[:80]}, its result")
        return Result(item, int(count))


def _named(raw: Any) -> tuple[str, str]:
    """("item" or "tag", id) of one ingredient."""
    if isinstance(raw, str):
        return ("tag", raw[1:]) if raw.startswith("#") else ("item", raw)
    if not isinstance(raw, dict):
        raise BadFile("an ingredient is neither a name nor a JSON object")
    for key in _CUSTOM_TYPE_KEYS:
        if isinstance(raw.get(key), str):
            raise UntranslatableError(f"an ingredient is of the mod loader's type {raw[key][:60]}")
    for kind in ("item", "tag"):
        if isinstance(raw.get(kind), str):
            return kind, raw[kind]
    raise BadFile("an ingredient names neither an item nor a tag")
