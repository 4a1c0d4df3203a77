"""What kind of file a path in a mod jar is: the `kind` of its ledger row. Pure, by path only.

Both folder generations are known: `recipes/` to 1.20, `recipe/` from 1.21; likewise loot tables, advancements and tags.
"""

from __future__ import annotations

METADATA_FILES = frozenset(
    {
        "fabric.mod.json",
        "pack.mcmeta",
        "META-INF/mods.toml",
        "META-INF/neoforge.mods.toml",
        "META-INF/MANIFEST.MF",
    }
)

_ASSET_KINDS = {
    "atlases": "atlas",
    "blockstates": "blockstate",
    "equipment": "equipment",
    "font": "font",
    "items": "item_definition",
    "lang": "lang",
    "models": "model",
    "particles": "particle",
    "post_effect": "shader",
    "shaders": "shader",
    "sounds": "sound",
    "texts": "text",
    "textures": "texture",
}
_DATA_KINDS = {
    "advancement": "advancement",
    "advancements": "advancement",
    "banner_pattern": "banner_pattern",
    "chat_type": "chat_type",
    "damage_type": "damage_type",
    "dimension": "dimension",
    "dimension_type": "dimension",
    "enchantment": "enchantment",
    "enchantment_provider": "enchantment",
    "function": "function",
    "functions": "function",
    "instrument": "instrument",
    "item_modifier": "loot_table",
    "item_modifiers": "loot_table",
    "jukebox_song": "jukebox_song",
    "loot_modifiers": "loot_modifier",
    "loot_table": "loot_table",
    "loot_tables": "loot_table",
    "painting_variant": "painting",
    "predicate": "predicate",
    "predicates": "predicate",
    "recipe": "recipe",
    "recipes": "recipe",
    "structure": "structure",
    "structures": "structure",
    "tags": "tag",
    "trim_material": "trim",
    "trim_pattern": "trim",
    "worldgen": "worldgen",
}
_LOADER_DATA_KINDS = {"biome_modifier": "worldgen", "structure_modifier": "worldgen"}


def kind_of(name: str) -> str:
    """The kind of the file at `name`, e.g. `texture`, `recipe`, `class`; `other` when nothing better is known."""
    if name in METADATA_FILES:
        return "metadata"
    parts = name.split("/")
    suffix = parts[-1].rpartition(".")[2].lower() if "." in parts[-1] else ""
    if suffix == "class":
        return "class"
    if suffix in ("jar", "zip"):
        return "nested_jar"
    if parts[0] == "assets" and len(parts) > 2:
        return _asset_kind(parts, suffix)
    if parts[0] == "data" and len(parts) > 3:
        if parts[2] in ("forge", "neoforge", "fabric") and len(parts) > 4:
            return _LOADER_DATA_KINDS.get(parts[3], "other")
        return _DATA_KINDS.get(parts[2], "other")
    return _root_kind(name, parts, suffix)


def _asset_kind(parts: list[str], suffix: str) -> str:
    if len(parts) == 3:
        if parts[2] == "sounds.json":
            return "sound"
        return "texture" if suffix == "png" else "other"
    kind = _ASSET_KINDS.get(parts[2], "other")
    if kind == "texture" and suffix == "mcmeta":
        return "texture_animation"
    return kind


def _root_kind(name: str, parts: list[str], suffix: str) -> str:
    if parts[0] == "META-INF":
        if suffix in ("sf", "rsa", "dsa", "ec"):
            return "signature"
        return "service" if len(parts) > 2 and parts[1] == "services" else "metadata"
    if name.endswith(".mixins.json") or ("mixin" in parts[-1] and suffix == "json"):
        return "mixin"
    if suffix in ("accesswidener", "classtweaker") or parts[-1] == "accesstransformer.cfg":
        return "access_widener"
    if parts[-1].upper().split(".")[0] in ("LICENSE", "LICENCE", "COPYING", "NOTICE", "CREDITS", "README", "CHANGELOG"):
        return "document"
    return "texture" if suffix == "png" else "other"
