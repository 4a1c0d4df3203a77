"""Java items whose Bedrock name cannot be read off the block mapping, because no block of that name exists.

Used by the build step only. Every target is checked against the known Bedrock items when the tables are built.
"""

from __future__ import annotations

ITEM_RENAMES: dict[str, str] = {
    "minecraft:chain": "minecraft:iron_chain",
    "minecraft:glow_item_frame": "minecraft:glow_frame",
    "minecraft:grass": "minecraft:short_grass",
    "minecraft:item_frame": "minecraft:frame",
    "minecraft:map": "minecraft:empty_map",
    "minecraft:nether_brick": "minecraft:netherbrick",
    "minecraft:pottery_shard_archer": "minecraft:archer_pottery_sherd",
    "minecraft:pottery_shard_arms_up": "minecraft:arms_up_pottery_sherd",
    "minecraft:pottery_shard_prize": "minecraft:prize_pottery_sherd",
    "minecraft:pottery_shard_skull": "minecraft:skull_pottery_sherd",
    "minecraft:scute": "minecraft:turtle_scute",
    "minecraft:zombified_piglin_spawn_egg": "minecraft:zombie_pigman_spawn_egg",
}

_COLOURS = (
    *("black", "blue", "brown", "cyan", "gray", "green", "light_blue", "light_gray"),
    *("lime", "magenta", "orange", "pink", "purple", "red", "white", "yellow"),
)

# Bedrock keeps these apart by a data value and not by the id; an id alone would name the wrong colour or effect.
# "minecraft:light" is a block of commands; the test blocks exist in Java only.
WITHOUT_AN_ID_OF_THEIR_OWN = frozenset(
    {
        "minecraft:air",
        "minecraft:light",
        "minecraft:test_block",
        "minecraft:test_instance_block",
        "minecraft:tipped_arrow",
        *(f"minecraft:{colour}_{thing}" for thing in ("bed", "banner") for colour in _COLOURS),
    }
)
