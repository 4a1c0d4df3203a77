"""Which Bedrock item a Java item id stands for, and which items a tag holds. Used by loot tables and recipes.

An item is known when the add-on makes it or vanilla Bedrock has it. A tag's members come from the jar, from vanilla's
tags (`vanilla.tags`), and where the jar leaves a common tag to other mods, from its conventional name.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

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
    files: tuple[str, ...] = ()
    """The jar's tag files that say so."""


@dataclass
class ItemTags:
    """The item tags of a mod. Ask `members`; a tag that nothing is known of has none."""

    mod: Mod
    context: Context
    broken: dict[str, str] = field(default_factory=dict)
    """Tag file that was asked for and cannot be read -> why."""
    _known: dict[tuple[str, bool], Members] = field(default_factory=dict)

    def members(self, tag: str, *, as_tags: bool) -> Members:
        """Members of a tag ("minecraft:planks", without "#"). With `as_tags`, vanilla's part may be a Bedrock tag."""
        if (tag, as_tags) not in self._known:
            self._known[tag, as_tags] = self._members(tag, as_tags)
        return self._known[tag, as_tags]

    @cached_property
    def _files(self) -> dict[str, str]:
        """Tag -> its file. The folders sort so that tags/item comes before tags/items: the newer one counts."""
        found: dict[str, str] = {}
        for name, namespace, path in self.mod.under(*_TAG_FOLDERS, side="data"):
            if path.endswith(".json"):
                found.setdefault(f"{namespace}:{path.removesuffix('.json')}", name)
        return found

    @cached_property
    def _own(self) -> dict[str, str]:
        produced = self.context.produced
        return {split_id(java_id)[1]: java_id for java_id in (*produced.blocks, *produced.items)}

    def _members(self, tag: str, as_tags: bool) -> Members:
        items: dict[str, None] = {}
        tags: dict[str, None] = {}
        notes: dict[str, None] = {}
        closure = self._closure(tag)
        for each, values in closure.items():
            namespace, path = split_id(each)
            if as_tags and namespace == VANILLA and path in BEDROCK_TAGS:
                tags[BEDROCK_TAGS[path]] = None
            else:
                vanilla = vanilla_members(each, self.context.vanilla.items)
                items |= dict.fromkeys(found for item in vanilla if (found := bedrock_item(self.context, item)))
            named = [value for value in values if not value.startswith("#")]
            listed = [found for value in named if (found := bedrock_item(self.context, value))]
            items |= dict.fromkeys(listed)
            if lost := len(named) - len(listed):
                notes[f"of the tag #{each} {lost} members are left out, which the add-on does not have"] = None
            if not listed and (own := self._by_convention(each)):
                items |= dict.fromkeys(own)
                notes[f"the jar does not say what #{each} holds; {', '.join(own)} is taken by its name"] = None
        files = tuple(self._files[each] for each, values in closure.items() if values)
        return Members(tuple(sorted(items)), tuple(tags), tuple(notes), files)

    def _closure(self, tag: str) -> dict[str, list[str]]:
        """The tag and all tags that it includes, each with what the jar puts into it."""
        found: dict[str, list[str]] = {}
        waiting = [tag]
        while waiting and len(found) < _MAX_TAGS:
            namespace, path = split_id(waiting.pop())
            each = f"{namespace}:{path}"
            if each not in found:
                found[each] = self._values(each)
                waiting += [value[1:] for value in found[each] if value.startswith("#")]
        return found

    def _values(self, tag: str) -> list[str]:
        name = self._files.get(tag)
        if name is None:
            return []
        try:
            content = self.mod.files.json(name)
            values = content.get("values") if isinstance(content, dict) else None
            if not isinstance(values, list):
                raise BadFile("it has no list of values")
        except BadFile as error:
            self.broken[name] = error.reason
            return []
        plain = (each.get("id") if isinstance(each, dict) else each for each in values)
        return [each for each in plain if isinstance(each, str)]

    def _by_convention(self, tag: str) -> tuple[str, ...]:
        names = (self._own[name] for name in conventional_names(tag) if name in self._own)
        return tuple(item for java_id in names if (item := self.context.bedrock_id(java_id)))
