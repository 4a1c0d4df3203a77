"""Gate 1: does everything that the add-on refers to exist? Reads the finished zip, independent of how it was made.

Mojang's validator lets all of this pass, and the game drops it in silence: an unknown icon, a misspelt component, a
missing geometry. Called by the pipeline, which refuses the add-on for any finding.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from converter.gates.addon import Addon, as_list, as_object, icon_key, open_addon
from converter.gates.components import BLOCK_COMPONENTS, ITEM_COMPONENTS, component_problem
from converter.gates.gameplay import check_loot_tables, check_recipes
from converter.vanilla import VanillaTables

_BUILT_IN_GEOMETRY = frozenset({"minecraft:geometry.full_block", "minecraft:geometry.cross"})
_IDENTIFIER = re.compile(r"[a-z0-9_.-]+:[a-z0-9_.-]+")
_STATE_QUERY = re.compile(r"(?:q|query)\.block_state\(\s*'([^']+)'\s*\)")
_TRAIT_STATES = {
    "minecraft:placement_direction": {
        "minecraft:cardinal_direction",
        "minecraft:facing_direction",
        "minecraft:corner_and_cardinal_direction",
    },
    "minecraft:placement_position": {"minecraft:block_face", "minecraft:vertical_half"},
    "minecraft:connection": {"minecraft:cardinal_connections"},
    "minecraft:multi_block": {"minecraft:multi_block_part"},
}
_MOST_VALUES = 16
_MOST_PERMUTATIONS = 65_536


def check(addon: Path, vanilla: VanillaTables) -> tuple[str, ...]:
    """All findings as sentences; empty when the add-on passes."""
    with open_addon(addon) as content:
        return tuple(dict.fromkeys(_check(content, vanilla)))


def _check(addon: Addon, vanilla: VanillaTables) -> Iterator[str]:
    yield from _check_packs(addon)
    yield from _check_atlases(addon)
    items = dict(_identified(addon, "items/", "minecraft:item"))
    blocks = dict(_identified(addon, "blocks/", "minecraft:block"))
    yield from _check_identifiers(addon)
    for name, item in items.items():
        yield from _check_item(addon, name, item)
    geometries = _geometries(addon)
    for name, block in blocks.items():
        yield from _check_block(addon, name, block, geometries)
    own = {str(as_object(body.get("description")).get("identifier")) for body in (*items.values(), *blocks.values())}

    def is_known(identifier: str) -> bool:
        return identifier in own or vanilla.is_known_item(identifier)

    yield from check_recipes(addon, is_known)
    yield from check_loot_tables(addon, is_known)
    for name in addon.broken:
        yield f"{name} is not valid JSON"


def _check_packs(addon: Addon) -> Iterator[str]:
    uuids = [pack.uuid for pack in addon.packs]
    for module in ("data", "resources"):
        if addon.folder(module) is None:
            yield f"there is no pack with a {module} module"
    if len(set(uuids)) != len(uuids):
        yield "two packs have the same uuid"
    for pack in addon.packs:
        for raw in as_list(pack.manifest.get("dependencies")):
            dependency = as_object(raw)
            if "module_name" in dependency:
                continue
            target = next((each for each in addon.packs if each.uuid == dependency.get("uuid")), None)
            if target is None:
                yield f"{pack.folder}manifest.json depends on the absent pack {dependency.get('uuid')}"
            elif as_object(target.manifest.get("header")).get("version") != dependency.get("version"):
                yield f"{pack.folder}manifest.json depends on another version of {target.folder} than the one here"


def _check_atlases(addon: Addon) -> Iterator[str]:
    for atlas, entries in (("item_texture", addon.item_textures), ("terrain_texture", addon.terrain_textures)):
        for key, paths in entries.items():
            if not paths:
                yield f"{atlas}.json: {key} names no texture"
            for path in paths:
                if not addon.has_texture(path):
                    yield f"{atlas}.json: {key} needs the missing texture {path}"
    folder = addon.folder("resources")
    for raw in as_list(addon.json(f"{folder}textures/flipbook_textures.json")):
        entry = as_object(raw)
        if entry.get("atlas_tile") not in addon.terrain_textures:
            yield f"flipbook_textures.json: unknown tile {entry.get('atlas_tile')}"
        if not addon.has_texture(str(entry.get("flipbook_texture"))):
            yield f"flipbook_textures.json: missing texture {entry.get('flipbook_texture')}"


def _identified(addon: Addon, path: str, root: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, content in addon.all_json("data", path):
        yield name, as_object(as_object(content).get(root))


def _check_identifiers(addon: Addon) -> Iterator[str]:
    seen: dict[str, str] = {}
    for path, root in (("items/", "minecraft:item"), ("blocks/", "minecraft:block")):
        for name, body in _identified(addon, path, root):
            identifier = str(as_object(body.get("description")).get("identifier"))
            if not _IDENTIFIER.fullmatch(identifier) or identifier.startswith("minecraft:"):
                yield f"{name}: {identifier!r} is no identifier of its own namespace"
            if (other := seen.setdefault(identifier, name)) != name:
                yield f"{name}: {identifier} is defined in {other} already"


def _check_item(addon: Addon, name: str, item: dict[str, Any]) -> Iterator[str]:
    components = as_object(item.get("components"))
    for component, value in components.items():
        if problem := component_problem(component, value, ITEM_COMPONENTS):
            yield f"{name}: {component}: {problem}"
    if "minecraft:icon" in components:
        key = icon_key(components["minecraft:icon"])
        if key not in addon.item_textures:
            yield f"{name}: unknown icon key {key}"


def _geometries(addon: Addon) -> dict[str, set[str]]:
    """Identifier -> names of the material instances that its faces use."""
    found: dict[str, set[str]] = {}
    for _, content in addon.all_json("resources", "models/"):
        for raw in as_list(as_object(content).get("minecraft:geometry")):
            geometry = as_object(raw)
            used = {
                str(as_object(face)["material_instance"])
                for bone in as_list(geometry.get("bones"))
                for cube in as_list(as_object(bone).get("cubes"))
                for face in as_object(as_object(cube).get("uv")).values()
                if "material_instance" in as_object(face)
            }
            found[str(as_object(geometry.get("description")).get("identifier"))] = used
    return found


def _check_block(addon: Addon, name: str, block: dict[str, Any], geometries: dict[str, set[str]]) -> Iterator[str]:
    base = as_object(block.get("components"))
    permutations = [as_object(raw) for raw in as_list(block.get("permutations"))]
    for components in (base, *(as_object(each.get("components")) for each in permutations)):
        for component, value in components.items():
            if problem := component_problem(component, value, BLOCK_COMPONENTS):
                yield f"{name}: {component}: {problem}"
        yield from _check_looks(addon, name, base | components, geometries)
        loot = components.get("minecraft:loot")
        if isinstance(loot, str) and f"{addon.folder('data')}{loot}" not in addon.names:
            yield f"{name}: missing loot table {loot}"
    yield from _check_states(name, block, permutations)


def _check_looks(addon: Addon, name: str, components: dict[str, Any], geometries: dict[str, set[str]]) -> Iterator[str]:
    instances = as_object(components.get("minecraft:material_instances"))
    for face, raw in instances.items():
        texture = raw if isinstance(raw, str) else as_object(raw).get("texture")
        if isinstance(raw, str) and raw in instances:
            continue  # a face may name another instance
        if texture not in addon.terrain_textures:
            yield f"{name}: material {face} needs the unknown texture {texture}"
    geometry = components.get("minecraft:geometry")
    if isinstance(geometry, dict):
        geometry = geometry.get("identifier")
    if geometry is None or geometry in _BUILT_IN_GEOMETRY:
        return
    if geometry not in geometries:
        yield f"{name}: missing geometry {geometry}"
    elif "*" not in instances and (absent := geometries[geometry] - instances.keys()):
        yield f"{name}: {geometry} needs the material instances {sorted(absent)}"


def _check_states(name: str, block: dict[str, Any], permutations: list[dict[str, Any]]) -> Iterator[str]:
    description = as_object(block.get("description"))
    states = as_object(description.get("states"))
    counts = []
    for state, values in states.items():
        count = len(values) if isinstance(values, list) else _span(values)
        counts.append(max(count, 1))
        if not 1 <= count <= _MOST_VALUES:
            yield f"{name}: the state {state} has {count} values; Bedrock allows 1 to {_MOST_VALUES}"
    if math.prod(counts) > _MOST_PERMUTATIONS:
        yield f"{name}: more than {_MOST_PERMUTATIONS} combinations of states"
    known = set(states)
    for trait, raw in as_object(description.get("traits")).items():
        if trait not in _TRAIT_STATES:
            yield f"{name}: Bedrock knows no trait {trait}"
        enabled = {str(state) for state in as_list(as_object(raw).get("enabled_states"))}
        if unknown := enabled - _TRAIT_STATES.get(trait, enabled):
            yield f"{name}: {trait} has no states {sorted(unknown)}"
        known |= enabled
    for permutation in permutations:
        for state in _STATE_QUERY.findall(str(permutation.get("condition", ""))):
            if state not in known:
                yield f"{name}: a condition asks for the unknown state {state}"


def _span(values: Any) -> int:
    span = as_object(as_object(values).get("values"))
    low, high = span.get("min"), span.get("max")
    return high - low + 1 if isinstance(low, int) and isinstance(high, int) else 0
