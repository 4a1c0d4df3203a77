"""Members of item tags that no mod jar defines: vanilla's own, and the common ones that loaders and mods agree on.

Vanilla's tags are given as patterns over Java's item names. Common tags (`c:`, `forge:`, `neoforge:`) follow a naming
convention, `c:ingots/iron` or formerly `c:iron_ingots`, which `conventional_names` turns into names to look for.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase

from converter.model import VANILLA, split_id

COMMON_NAMESPACES = frozenset({"c", "forge", "neoforge"})

BEDROCK_TAGS: dict[str, str] = {
    "coals": "minecraft:coals",
    "crimson_stems": "minecraft:crimson_stems",
    "logs": "minecraft:logs",
    "logs_that_burn": "minecraft:logs_that_burn",
    "mangrove_logs": "minecraft:mangrove_logs",
    "planks": "minecraft:planks",
    "soul_fire_base_blocks": "minecraft:soul_fire_base_blocks",
    "stone_bricks": "minecraft:stone_bricks",
    "stone_crafting_materials": "minecraft:stone_crafting_materials",
    "stone_tool_materials": "minecraft:stone_tool_materials",
    "warped_stems": "minecraft:warped_stems",
    "wooden_slabs": "minecraft:wooden_slabs",
    "wool": "minecraft:wool",
}
"""Java's vanilla item tag -> the tag of the same meaning that vanilla Bedrock's own recipes use."""

_WOODS = (
    *("oak", "spruce", "birch", "jungle", "acacia", "dark_oak", "mangrove", "cherry", "pale_oak"),
    *("bamboo", "crimson", "warped"),
)


def _wooden(thing: str) -> tuple[str, ...]:
    return tuple(f"{wood}_{thing}" for wood in _WOODS)


_VANILLA_TAGS: dict[str, tuple[str, ...]] = {
    "acacia_logs": ("acacia_log", "acacia_wood", "stripped_acacia_log", "stripped_acacia_wood"),
    "anvil": ("anvil", "chipped_anvil", "damaged_anvil"),
    "arrows": ("arrow",),
    "axes": ("*_axe",),
    "bamboo_blocks": ("bamboo_block", "stripped_bamboo_block"),
    "birch_logs": ("birch_log", "birch_wood", "stripped_birch_log", "stripped_birch_wood"),
    "candles": ("candle", "*_candle"),
    "cherry_logs": ("cherry_log", "cherry_wood", "stripped_cherry_log", "stripped_cherry_wood"),
    "coals": ("coal", "charcoal"),
    "crimson_stems": ("crimson_stem", "crimson_hyphae", "stripped_crimson_stem", "stripped_crimson_hyphae"),
    "dark_oak_logs": ("dark_oak_log", "dark_oak_wood", "stripped_dark_oak_log", "stripped_dark_oak_wood"),
    "dirt": ("dirt", "grass_block", "podzol", "coarse_dirt", "mycelium", "rooted_dirt", "moss_block", "mud"),
    "eggs": ("egg", "blue_egg", "brown_egg"),
    "fishes": ("cod", "cooked_cod", "salmon", "cooked_salmon", "pufferfish", "tropical_fish"),
    "hoes": ("*_hoe",),
    "iron_ores": ("iron_ore", "deepslate_iron_ore"),
    "gold_ores": ("gold_ore", "deepslate_gold_ore", "nether_gold_ore"),
    "copper_ores": ("copper_ore", "deepslate_copper_ore"),
    "coal_ores": ("coal_ore", "deepslate_coal_ore"),
    "diamond_ores": ("diamond_ore", "deepslate_diamond_ore"),
    "emerald_ores": ("emerald_ore", "deepslate_emerald_ore"),
    "lapis_ores": ("lapis_ore", "deepslate_lapis_ore"),
    "redstone_ores": ("redstone_ore", "deepslate_redstone_ore"),
    "jungle_logs": ("jungle_log", "jungle_wood", "stripped_jungle_log", "stripped_jungle_wood"),
    "leaves": ("*_leaves",),
    "logs": ("*_log", "*_wood", "*_hyphae", "crimson_stem", "warped_stem", "stripped_*_stem"),
    "logs_that_burn": ("*_log", "*_wood"),
    "mangrove_logs": ("mangrove_log", "mangrove_wood", "stripped_mangrove_log", "stripped_mangrove_wood"),
    "meat": (
        *("beef", "chicken", "mutton", "porkchop", "rabbit", "rotten_flesh"),
        *("cooked_*", "!cooked_cod", "!cooked_salmon"),
    ),
    "oak_logs": ("oak_log", "oak_wood", "stripped_oak_log", "stripped_oak_wood"),
    "pale_oak_logs": ("pale_oak_log", "pale_oak_wood", "stripped_pale_oak_log", "stripped_pale_oak_wood"),
    "pickaxes": ("*_pickaxe",),
    "planks": ("*_planks",),
    "rails": ("rail", "powered_rail", "detector_rail", "activator_rail"),
    "sand": ("sand", "red_sand", "suspicious_sand"),
    "saplings": ("*_sapling", "azalea", "flowering_azalea", "mangrove_propagule"),
    "shovels": ("*_shovel",),
    "small_flowers": (
        *("dandelion", "poppy", "blue_orchid", "allium", "azure_bluet", "*_tulip", "oxeye_daisy", "cornflower"),
        *("lily_of_the_valley", "wither_rose", "torchflower"),
    ),
    "smelts_to_glass": ("sand", "red_sand"),
    "soul_fire_base_blocks": ("soul_sand", "soul_soil"),
    "spruce_logs": ("spruce_log", "spruce_wood", "stripped_spruce_log", "stripped_spruce_wood"),
    "stone_bricks": ("stone_bricks", "mossy_stone_bricks", "cracked_stone_bricks", "chiseled_stone_bricks"),
    "stone_crafting_materials": ("cobblestone", "blackstone", "cobbled_deepslate"),
    "stone_tool_materials": ("cobblestone", "blackstone", "cobbled_deepslate"),
    "swords": ("*_sword",),
    "terracotta": ("terracotta", "*_terracotta", "!*_glazed_terracotta"),
    "warped_stems": ("warped_stem", "warped_hyphae", "stripped_warped_stem", "stripped_warped_hyphae"),
    "wooden_buttons": _wooden("button"),
    "wooden_doors": _wooden("door"),
    "wooden_fences": _wooden("fence"),
    "wooden_pressure_plates": _wooden("pressure_plate"),
    "wooden_slabs": _wooden("slab"),
    "wooden_stairs": _wooden("stairs"),
    "wooden_trapdoors": _wooden("trapdoor"),
    "wool": ("*_wool",),
    "wool_carpets": ("*_carpet", "!moss_carpet", "!pale_moss_carpet"),
}

# Form of a common tag -> names of the item made of the material, the usual one first.
_FORMS: dict[str, tuple[str, ...]] = {
    "blocks": ("{}_block", "{}_storage_block"),
    "dusts": ("{}_dust", "{}"),
    "dyes": ("{}_dye",),
    "gears": ("{}_gear",),
    "gems": ("{}", "{}_gem"),
    "glass_blocks": ("{}_stained_glass", "{}_glass"),
    "glass_panes": ("{}_stained_glass_pane", "{}_glass_pane"),
    "ingots": ("{}_ingot",),
    "nuggets": ("{}_nugget",),
    "ores": ("{}_ore", "deepslate_{}_ore", "nether_{}_ore"),
    "plates": ("{}_plate",),
    "raw_materials": ("raw_{}",),
    "rods": ("{}_rod",),
    "seeds": ("{}_seeds",),
    "crops": ("{}",),
    "storage_blocks": ("{}_block", "{}_storage_block"),
    "wires": ("{}_wire",),
}
# Common tags whose vanilla member has a name of its own.
_COMMON_EXCEPTIONS: dict[str, tuple[str, ...]] = {
    "barrels/wooden": ("barrel",),
    "bones": ("bone",),
    "bricks/normal": ("brick",),
    "bricks/nether": ("nether_brick",),
    "chests/wooden": ("chest", "trapped_chest"),
    "chests": ("chest", "trapped_chest", "ender_chest"),
    "cobblestones": ("cobblestone", "mossy_cobblestone", "cobbled_deepslate", "infested_cobblestone"),
    "cobblestone": ("cobblestone", "mossy_cobblestone", "cobbled_deepslate", "infested_cobblestone"),
    "ender_pearls": ("ender_pearl",),
    "dusts/redstone": ("redstone",),
    "dusts/glowstone": ("glowstone_dust",),
    "eggs": ("egg",),
    "feathers": ("feather",),
    "gems/lapis": ("lapis_lazuli",),
    "gems/prismarine": ("prismarine_crystals",),
    "glass": ("glass", "*_stained_glass", "tinted_glass"),
    "glass_blocks": ("glass", "*_stained_glass", "tinted_glass"),
    "glass_blocks/colorless": ("glass",),
    "glass_blocks/cheap": ("glass", "*_stained_glass"),
    "glass/colorless": ("glass",),
    "glass_panes": ("glass_pane", "*_stained_glass_pane"),
    "glass_panes/colorless": ("glass_pane",),
    "gunpowder": ("gunpowder",),
    "gunpowders": ("gunpowder",),
    "ingots/netherite": ("netherite_ingot",),
    "leather": ("leather",),
    "leathers": ("leather",),
    "netherracks": ("netherrack",),
    "nether_stars": ("nether_star",),
    "obsidian": ("obsidian",),
    "obsidians": ("obsidian", "crying_obsidian"),
    "player_workstations/crafting_tables": ("crafting_table",),
    "player_workstations/furnaces": ("furnace",),
    "rods/blaze": ("blaze_rod",),
    "rods/breeze": ("breeze_rod",),
    "rods/wooden": ("stick",),
    "sands": ("sand", "red_sand"),
    "sandstone": ("sandstone", "chiseled_sandstone", "cut_sandstone", "smooth_sandstone", "*red_sandstone"),
    "slime_balls": ("slime_ball",),
    "slimeballs": ("slime_ball",),
    "stone": ("stone", "andesite", "diorite", "granite", "deepslate", "tuff"),
    "stones": ("stone", "andesite", "diorite", "granite", "deepslate", "tuff"),
    "storage_blocks/lapis": ("lapis_block",),
    "string": ("string",),
    "strings": ("string",),
    "wooden_rods": ("stick",),
    "workbench": ("crafting_table",),
}
_OLD_STYLE = re.compile(r"([a-z0-9_]+)_(" + "|".join(sorted(_FORMS, key=len, reverse=True)) + r")")


def vanilla_members(tag: str, java_items: Iterable[str]) -> tuple[str, ...]:
    """Vanilla Java items in a tag of vanilla or in a common one, sorted; empty when nothing is known of it."""
    namespace, path = split_id(tag)
    if namespace == VANILLA:
        patterns = _VANILLA_TAGS.get(path, ())
    elif namespace in COMMON_NAMESPACES:
        patterns = _COMMON_EXCEPTIONS.get(path) or tuple(conventional_names(tag))
    else:
        return ()
    wanted = [pattern for pattern in patterns if not pattern.startswith("!")]
    unwanted = [pattern[1:] for pattern in patterns if pattern.startswith("!")]
    return tuple(
        java_id
        for java_id in sorted(java_items)
        if any(fnmatchcase(name := split_id(java_id)[1], pattern) for pattern in wanted)
        and not any(fnmatchcase(name, pattern) for pattern in unwanted)
    )


def conventional_names(tag: str) -> Iterator[str]:
    """Names that the items of a common tag conventionally have: c:ingots/tin and c:tin_ingots -> tin_ingot."""
    namespace, path = split_id(tag)
    if namespace not in COMMON_NAMESPACES:
        return
    form, _, material = path.partition("/")
    if not material:
        old_style = _OLD_STYLE.fullmatch(path)
        if old_style is None:
            return
        material, form = old_style[1], old_style[2]
    for pattern in _FORMS.get(form, ()):
        yield pattern.format(material.replace("/", "_"))
