"""The row of every source that no translator claimed: what it is, and why nothing became of it, in plain words.

`unsupported` is something that the player loses; `ignored` is something that only Java needs.
"""

from __future__ import annotations

from collections.abc import Iterable

from converter.ledger import Outcome, Row
from converter.model import VANILLA, Mod

_REASONS: dict[str, tuple[Outcome, str]] = {
    "access_widener": ("ignored", "Opens parts of Minecraft's Java code to the mod; Bedrock has no such code."),
    "advancement": ("unsupported", "Bedrock add-ons cannot define advancements."),
    "atlas": ("ignored", "Tells Java which folders to stitch into its texture atlas; Bedrock lists textures by name."),
    "banner_pattern": ("unsupported", "Bedrock add-ons cannot define banner patterns."),
    "blockstate": ("unsupported", "This block state file could not be matched to a block of the mod."),
    "chat_type": ("unsupported", "Bedrock add-ons cannot define chat types."),
    "class": ("unsupported", "Java code: behaviour written in code is not converted."),
    "damage_type": ("unsupported", "Bedrock add-ons cannot define damage types."),
    "dimension": ("unsupported", "Bedrock add-ons cannot define dimensions."),
    "document": ("ignored", "A document for people; it is not part of the game."),
    "enchantment": ("unsupported", "Bedrock add-ons cannot define enchantments."),
    "equipment": ("unsupported", "How worn armour looks is not converted yet."),
    "font": ("unsupported", "Fonts are not converted: Bedrock's glyph sheets work differently."),
    "function": ("unsupported", "Functions are not converted yet: the command syntax of Bedrock differs."),
    "instrument": ("unsupported", "Bedrock add-ons cannot define instruments."),
    "item_definition": ("unsupported", "This item definition belongs to no item that was converted."),
    "jukebox_song": ("unsupported", "Music discs are not converted yet."),
    "lang": ("unsupported", "This language file is not in the JSON format that Minecraft 1.13 and later reads."),
    "loot_modifier": ("unsupported", "Changes loot tables of others through the loader; Bedrock has nothing like it."),
    "loot_table": ("unsupported", "Only the loot tables of the mod's own blocks are converted yet."),
    "metadata": (
        "ignored",
        "Tells Java how to load the mod; Bedrock's manifests are made from the main metadata file.",
    ),
    "mixin": ("unsupported", "Mixins change Minecraft's Java code; Bedrock has no such code."),
    "model": ("unsupported", "No converted block or item uses this model."),
    "nested_jar": ("unsupported", "A library or mod packed inside this one; convert it by itself if it adds content."),
    "painting": ("unsupported", "Bedrock add-ons cannot define paintings."),
    "particle": ("unsupported", "Particles are not converted yet."),
    "predicate": ("unsupported", "Predicates are used by Java's loot and commands only."),
    "recipe": ("unsupported", "This kind of recipe has no counterpart in Bedrock."),
    "service": ("ignored", "Registers Java services; Bedrock has no such code."),
    "shader": ("unsupported", "Bedrock add-ons cannot bring shaders of this kind."),
    "signature": ("ignored", "A signature of the Java archive; it says nothing about the add-on."),
    "sound": ("unsupported", "Sounds are not converted yet."),
    "structure": ("unsupported", "Structures are not converted yet: Bedrock stores them in another format."),
    "tag": ("unsupported", "Nothing that was converted uses this tag."),
    "text": ("unsupported", "Texts of splashes, credits and the end are fixed in Bedrock."),
    "texture": ("unsupported", "Only item and block textures are converted yet; nothing in the add-on would show it."),
    "texture_animation": ("unsupported", "It belongs to a texture that is not converted."),
    "trim": ("unsupported", "Bedrock add-ons cannot define armour trims."),
    "worldgen": ("unsupported", "World generation is not converted yet."),
    "other": ("unsupported", "The converter does not know this kind of file."),
}
_TEXTURE_REASONS = {
    "entity": "Entities are not converted yet, so nothing in the add-on would show their textures.",
    "gui": "Screens of Java mods are drawn by code; Bedrock has nothing that would show this texture.",
    "mob_effect": "Bedrock add-ons cannot define status effects, so nothing would show their icons.",
    "models": "How worn armour looks is not converted yet.",
    "painting": "Bedrock add-ons cannot define paintings.",
    "particle": "Particles are not converted yet.",
    "trims": "Bedrock add-ons cannot define armour trims.",
}
_SOURCE_SUFFIXES = (".xcf", ".psd", ".bbmodel", ".blend", ".aseprite", ".pdn", ".kra", ".java", ".kt")
_DOCUMENT_SUFFIXES = (".md", ".txt", ".html", ".pdf")
_OVERRIDES_VANILLA = "Changes something of vanilla Minecraft, which is named differently in Bedrock; not converted yet."
_IDS = {
    "block": "The jar describes no look for this block that could be converted; it is made in Java code.",
    "item": "The jar describes no look for this item that could be converted; it is made in Java code.",
}


def leftover_rows(mod: Mod, unclaimed: Iterable[tuple[str, bool]]) -> list[Row]:
    """One row for each (source, is it a registry id)."""
    blocks = set(mod.blocks)
    return [
        _id_row(source, "block" if source in blocks else "item") if is_id else _file_row(source, mod.files.kind(source))
        for source, is_id in unclaimed
    ]


def _id_row(java_id: str, kind: str) -> Row:
    return Row(java_id, kind, "unsupported", _IDS[kind])


def _file_row(name: str, kind: str) -> Row:
    parts = name.split("/")
    if name.lower().endswith(_SOURCE_SUFFIXES):
        return Row(name, kind, "ignored", "A working file of the mod's makers; the game does not read it.")
    if kind == "other" and name.lower().endswith(_DOCUMENT_SUFFIXES):
        return Row(name, kind, "ignored", "A document for people; it is not part of the game.")
    if parts[0] in ("resourcepacks", "datapacks") and len(parts) > 2:
        return Row(name, kind, "unsupported", "An optional pack inside the mod, off by default; convert it by itself.")
    if parts[0] == "assets" and parts[1] == VANILLA and kind not in ("atlas", "lang"):
        return Row(name, kind, "unsupported", _OVERRIDES_VANILLA)
    if kind == "texture" and len(parts) > 4 and parts[2] == "textures":
        return Row(name, kind, "unsupported", _TEXTURE_REASONS.get(parts[3], _REASONS["texture"][1]))
    outcome, reason = _REASONS.get(kind, _REASONS["other"])
    return Row(name, kind, outcome, reason)
