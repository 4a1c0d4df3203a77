"""The components that Bedrock 1.21.100 knows on items and blocks, and the JSON types that each may have.

A table for gate 1: a misspelt component is silently dropped by the game, and Mojang's validator lets it pass.
"""

from __future__ import annotations

from typing import Any

_BOOL, _NUMBER, _TEXT, _OBJECT, _LIST = "boolean", "number", "text", "object", "list"
_TYPES: dict[str, tuple[type, ...]] = {
    _BOOL: (bool,),
    _NUMBER: (int, float),
    _TEXT: (str,),
    _OBJECT: (dict,),
    _LIST: (list,),
}

ITEM_COMPONENTS: dict[str, tuple[str, ...]] = {
    "allow_off_hand": (_BOOL, _OBJECT),
    "block_placer": (_OBJECT,),
    "bundle_interaction": (_OBJECT,),
    "can_destroy_in_creative": (_BOOL, _OBJECT),
    "compostable": (_OBJECT,),
    "cooldown": (_OBJECT,),
    "custom_components": (_LIST,),
    "damage": (_NUMBER, _OBJECT),
    "damage_absorption": (_OBJECT,),
    "digger": (_OBJECT,),
    "display_name": (_OBJECT,),
    "durability": (_OBJECT,),
    "durability_sensor": (_OBJECT,),
    "dyeable": (_OBJECT,),
    "enchantable": (_OBJECT,),
    "entity_placer": (_OBJECT,),
    "food": (_OBJECT,),
    "fuel": (_NUMBER, _OBJECT),
    "glint": (_BOOL, _OBJECT),
    "hand_equipped": (_BOOL, _OBJECT),
    "hover_text_color": (_TEXT, _OBJECT),
    "icon": (_TEXT, _OBJECT),
    "interact_button": (_BOOL, _TEXT, _OBJECT),
    "liquid_clipped": (_BOOL, _OBJECT),
    "max_stack_size": (_NUMBER, _OBJECT),
    "projectile": (_OBJECT,),
    "rarity": (_TEXT, _OBJECT),
    "record": (_OBJECT,),
    "repairable": (_OBJECT,),
    "shooter": (_OBJECT,),
    "should_despawn": (_BOOL, _OBJECT),
    "stacked_by_data": (_BOOL, _OBJECT),
    "storage_item": (_OBJECT,),
    "storage_weight_limit": (_OBJECT,),
    "storage_weight_modifier": (_OBJECT,),
    "swing_duration": (_NUMBER, _OBJECT),
    "tags": (_OBJECT,),
    "throwable": (_OBJECT,),
    "use_animation": (_TEXT, _OBJECT),
    "use_modifiers": (_OBJECT,),
    "wearable": (_OBJECT,),
}
BLOCK_COMPONENTS: dict[str, tuple[str, ...]] = {
    "collision_box": (_BOOL, _OBJECT),
    "crafting_table": (_OBJECT,),
    "custom_components": (_LIST,),
    "destructible_by_explosion": (_BOOL, _OBJECT),
    "destructible_by_mining": (_BOOL, _OBJECT),
    "destruction_particles": (_OBJECT,),
    "display_name": (_TEXT,),
    "embedded_visual": (_OBJECT,),
    "entity_fall_on": (_OBJECT,),
    "flammable": (_BOOL, _OBJECT),
    "flower_pottable": (_OBJECT,),
    "friction": (_NUMBER,),
    "geometry": (_TEXT, _OBJECT),
    "item_visual": (_OBJECT,),
    "light_dampening": (_NUMBER,),
    "light_emission": (_NUMBER,),
    "liquid_detection": (_OBJECT,),
    "loot": (_TEXT,),
    "map_color": (_TEXT, _LIST, _OBJECT),
    "material_instances": (_OBJECT,),
    "movable": (_OBJECT,),
    "placement_filter": (_OBJECT,),
    "precipitation_interactions": (_OBJECT,),
    "random_offset": (_OBJECT,),
    "redstone_conductivity": (_OBJECT,),
    "redstone_producer": (_OBJECT,),
    "replaceable": (_OBJECT,),
    "selection_box": (_BOOL, _OBJECT),
    "tick": (_OBJECT,),
    "transformation": (_OBJECT,),
}
_LIGHT = ("light_dampening", "light_emission")
_BRIGHTEST = 15
_LARGEST_STACK = 64


def component_problem(name: str, value: Any, known: dict[str, tuple[str, ...]]) -> str | None:
    """What is wrong with a component, or None. Custom components ("ns:name", an object) and block tags are accepted."""
    if name.startswith("tag:"):
        return None if known is BLOCK_COMPONENTS and value == {} else "a tag belongs on a block and is an empty object"
    namespace, _, plain = name.partition(":")
    if namespace != "minecraft" and plain:
        return None if isinstance(value, dict) else "a custom component is an object"
    if namespace != "minecraft" or plain not in known:
        return "Bedrock knows no such component"
    if not any(_is(value, kind) for kind in known[plain]):
        return f"it has to be {' or '.join(known[plain])}"
    if plain in _LIGHT and not (isinstance(value, int) and 0 <= value <= _BRIGHTEST):
        return "light is a whole number from 0 to 15"
    if plain == "max_stack_size" and isinstance(value, int) and not 1 <= value <= _LARGEST_STACK:
        return "a stack is 1 to 64"
    return None


def _is(value: Any, kind: str) -> bool:
    return isinstance(value, _TYPES[kind]) and (kind == _BOOL or not isinstance(value, bool))
