"""Which Bedrock item a Java item id stands for, and which items a tag holds. Used by loot tables and recipes.

An item is known when the add-on makes it or vanilla Bedrock has it. A tag's members come from the jar, from vanilla's
tags (`vanilla.tags`), and where the jar leaves a common tag to other mods, from its conventional name.
"""

from __future__ import annotations

from dataclasses import dataclass

from converter.errors import BadFile
from converter.model import VANILLA, Mod, split_id
from converter.translate.base import Context
from converter.vanilla.tags import BEDROCK_TAGS, conventional_names, vanilla_members

_TAG_FOLDERS = ("tags/item", "tags/items")
_MAX_TAGS = 256


def bedrock_item(context: Context, java_id: str) -> str | None:
    """The Bedrock item, None when neither the add-on nor vanilla Bedrock has it."""
    namespace, path = split_id(java_id)
    full = f"{namespace}:{path}"
    if full in context.produced.blocks or full in context.produced.items:
        return context.bedrock_id(full)
    return context.vanilla.to_bedrock_item(full) if namespace == VANILLA else None


@dataclass(frozen=True, slots=True)
class Members:
    """What a tag holds. `tags` are Bedrock tags that stand for vanilla's part, `items` Bedrock items beside them."""

    items: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class ItemTags:
    """The item tags of a mod. Ask `members`; a tag that nothing is known of has none."""

    def __init__(self, mod: Mod, context: Context) -> None:
        self._mod = mod
        self._context = context
        self._files: dict[str, str] = {}
        for name, namespace, path in mod.under(*_TAG_FOLDERS, side="data"):
            if path.endswith(".json"):
                # The folders sort so that tags/item comes before tags/items: the newer one wins.
                self._files.setdefault(f"{namespace}:{path.removesuffix('.json')}", name)
        self._own = {split_id(java_id)[1]: java_id for java_id in (*context.produced.blocks, *context.produced.items)}

    def members(self, tag: str, *, as_tags: bool) -> Members:
        """Members of a tag ("minecraft:planks", without "#"). With `as_tags`, vanilla's part may be a Bedrock tag."""
        items: dict[str, None] = {}
        tags: dict[str, None] = {}
        notes: dict[str, None] = {}
        for each in self._closure(tag):
            namespace, path = split_id(each)
            if as_tags and namespace == VANILLA and path in BEDROCK_TAGS:
                tags[BEDROCK_TAGS[path]] = None
            else:
                found = (bedrock_item(self._context, item) for item in self._vanilla(each))
                items.update(dict.fromkeys(item for item in found if item))
            listed, lost = self._listed(each)
            items.update(dict.fromkeys(listed))
            if lost:
                notes[f"of the tag #{each} {lost} members are left out, which the add-on does not have"] = None
            if not listed and (own := self._by_convention(each)):
                items.update(dict.fromkeys(own))
                notes[f"the jar does not say what #{each} holds; {', '.join(own)} is taken by its name"] = None
        return Members(tuple(sorted(items)), tuple(tags), tuple(notes))

    def _closure(self, tag: str) -> tuple[str, ...]:
        """The tag and all tags that it includes."""
        found: dict[str, None] = {}
        waiting = [tag]
        while waiting and len(found) < _MAX_TAGS:
            namespace, path = split_id(waiting.pop())
            each = f"{namespace}:{path}"
            if each not in found:
                found[each] = None
                waiting += [value[1:] for value in self._values(each) if value.startswith("#")]
        return tuple(found)

    def _listed(self, tag: str) -> tuple[list[str], int]:
        """(Bedrock items that the jar puts into the tag itself, how many of its members are unknown)."""
        named = [value for value in self._values(tag) if not value.startswith("#")]
        found = [item for value in named if (item := bedrock_item(self._context, value))]
        return found, len(named) - len(found)

    def _values(self, tag: str) -> list[str]:
        name = self._files.get(tag)
        if name is None:
            return []
        try:
            content = self._mod.files.json(name)
        except BadFile:
            return []
        values = content.get("values") if isinstance(content, dict) else None
        if not isinstance(values, list):
            return []
        plain = (each.get("id") if isinstance(each, dict) else each for each in values)
        return [each for each in plain if isinstance(each, str)]

    def _vanilla(self, tag: str) -> tuple[str, ...]:
        return vanilla_members(tag, self._context.vanilla.items)

    def _by_convention(self, tag: str) -> tuple[str, ...]:
        names = (self._own[name] for name in conventional_names(tag) if name in self._own)
        return tuple(item for java_id in names if (item := self._context.bedrock_id(java_id)))
