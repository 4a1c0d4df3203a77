"""Gate 1: each refusal shown by damaging an add-on that passes."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from converter import GateFailed, Options, Result, convert, pipeline
from converter.gates.crossref import check
from converter.vanilla import VanillaTables

ITEM = "BP/items/gemcraft/ruby.json"
BLOCK = "BP/blocks/gemcraft/ruby_block.json"
STATUE = "BP/blocks/gemcraft/ruby_statue.json"
SWORD = "BP/recipes/gemcraft/ruby_sword.json"
SMELTING = "BP/recipes/gemcraft/ruby_from_smelting.json"
LOOT = "BP/loot_tables/blocks/gemcraft/ruby_ore.json"
Edit = Callable[[dict[str, bytes]], None]


def at(name: str, *path: Any, to: Any) -> Edit:
    """An edit that sets the value at `path` in the JSON file `name`."""

    def edit(files: dict[str, bytes]) -> None:
        content = json.loads(files[name])
        inner = content
        for step in path[:-1]:
            inner = inner[step]
        inner[path[-1]] = to
        files[name] = json.dumps(content).encode()

    return edit


def without(name: str) -> Edit:
    def edit(files: dict[str, bytes]) -> None:
        del files[name]

    return edit


def text(name: str, content: bytes) -> Edit:
    def edit(files: dict[str, bytes]) -> None:
        files[name] = content

    return edit


def item(component: str, value: Any) -> Edit:
    return at(ITEM, "minecraft:item", "components", component, to=value)


def block(component: str, value: Any) -> Edit:
    return at(BLOCK, "minecraft:block", "components", component, to=value)


def sword(*path: Any, to: Any) -> Edit:
    return at(SWORD, "minecraft:recipe_shaped", *path, to=to)


STATES = ("minecraft:block", "description", "states")
REFUSALS: dict[str, tuple[Edit, str]] = {
    "unknown icon key": (item("minecraft:icon", "gemcraft:no"), "unknown icon key gemcraft:no"),
    "unknown icon key, long form": (item("minecraft:icon", {"textures": {"default": "x"}}), "unknown icon key x"),
    "misspelt item component": (item("minecraft:max_stacksize", 16), "minecraft:max_stacksize: Bedrock knows no such"),
    "component without namespace": (item("icon", "gemcraft:ruby"), "icon: Bedrock knows no such"),
    "mistyped item component": (
        item("minecraft:hand_equipped", "yes"),
        "minecraft:hand_equipped: it has to be boolean",
    ),
    "stack of a thousand": (item("minecraft:max_stack_size", 1000), "a stack is 1 to 64"),
    "misspelt block component": (block("minecraft:light_emision", 3), "minecraft:light_emision: Bedrock knows no such"),
    "mistyped block component": (block("minecraft:friction", True), "minecraft:friction: it has to be number"),
    "light of 16": (block("minecraft:light_emission", 16), "whole number from 0 to 15"),
    "tag that is no tag": (block("tag:c:ores", 1), "empty object"),
    "component in a permutation": (
        at(STATUE, "minecraft:block", "permutations", 0, "components", "minecraft:turn", to={}),
        "minecraft:turn: Bedrock knows no such",
    ),
    "missing geometry": (
        without("RP/models/blocks/gemcraft/ruby_statue.geo.json"),
        "missing geometry geometry.gemcraft",
    ),
    "geometry of another id": (
        block("minecraft:geometry", {"identifier": "geometry.no"}),
        "missing geometry geometry.no",
    ),
    "missing material instance": (
        at(STATUE, "minecraft:block", "components", "minecraft:material_instances", to={}),
        "needs the material instances ['0']",
    ),
    "missing material texture": (
        block("minecraft:material_instances", {"*": {"texture": "gemcraft:no"}}),
        "material * needs the unknown texture gemcraft:no",
    ),
    "missing picture": (without("RP/textures/gemcraft/blocks/ruby_block.png"), "needs the missing texture"),
    "missing item picture": (without("RP/textures/gemcraft/items/ruby.png"), "needs the missing texture"),
    "missing flipbook picture": (
        at("RP/textures/flipbook_textures.json", 0, "flipbook_texture", to="textures/no"),
        "missing texture textures/no",
    ),
    "unknown flipbook tile": (at("RP/textures/flipbook_textures.json", 0, "atlas_tile", to="no"), "unknown tile no"),
    "missing loot table": (
        without("BP/loot_tables/blocks/gemcraft/ruby_block.json"),
        "missing loot table loot_tables/",
    ),
    "unequal pattern rows": (sword("pattern", to=["R", "RS"]), "rows of the pattern differ"),
    "pattern of four rows": (sword("pattern", to=["R", "R", "S", "S"]), "larger than 3 x 3"),
    "no pattern": (sword("pattern", to=[]), "not a list of rows"),
    "key without use": (sword("key", "X", to={"item": "minecraft:stick"}), "pattern and key differ in ['X']"),
    "use without key": (sword("pattern", to=["R", "Q", "S"]), "pattern and key differ in ['Q']"),
    "unknown ingredient": (sword("key", "R", to={"item": "gemcraft:no"}), "unknown item gemcraft:no"),
    "unknown vanilla ingredient": (sword("key", "R", to={"item": "minecraft:no"}), "unknown item minecraft:no"),
    "unknown result": (sword("result", to={"item": "gemcraft:no"}), "unknown item gemcraft:no"),
    "unknown furnace input": (
        at(SMELTING, "minecraft:recipe_furnace", "input", to="gemcraft:no"),
        "unknown item gemcraft:no",
    ),
    "recipe for no station": (sword("tags", to=[]), "names no crafting station"),
    "recipe of an unknown kind": (text("BP/recipes/x.json", b'{"minecraft:recipe_magic": {}}'), "no kind of recipe"),
    "recipe defined twice": (
        sword("description", "identifier", to="gemcraft:ruby_block"),
        "the recipe gemcraft:ruby_block is defined in",
    ),
    "unknown drop": (at(LOOT, "pools", 0, "entries", 0, "name", to="gemcraft:no"), "unknown item gemcraft:no"),
    "loot entry of Java": (
        at(LOOT, "pools", 0, "entries", 0, "type", to="minecraft:item"),
        "no loot entry of the type",
    ),
    "loot function of Java": (
        at(LOOT, "pools", 0, "entries", 0, "functions", to=[{"function": "minecraft:set_count"}]),
        "named without a namespace",
    ),
    "nested loot table": (
        at(LOOT, "pools", 0, "entries", 0, to={"type": "loot_table", "name": "loot_tables/no.json"}),
        "missing loot table loot_tables/no.json",
    ),
    "dependency on an absent pack": (
        at("BP/manifest.json", "dependencies", 0, "uuid", to="00000000-0000-0000-0000-000000000000"),
        "depends on the absent pack 00000000",
    ),
    "dependency on another version": (
        at("BP/manifest.json", "dependencies", 0, "version", to=[9, 9, 9]),
        "depends on another version",
    ),
    "resource pack lost": (without("RP/manifest.json"), "no pack with a resources module"),
    "broken JSON": (text(ITEM, b"{"), f"{ITEM} is not valid JSON"),
    "identifier of vanilla": (
        at(ITEM, "minecraft:item", "description", "identifier", to="minecraft:ruby"),
        "no identifier of its own namespace",
    ),
    "identifier twice": (
        at(ITEM, "minecraft:item", "description", "identifier", to="gemcraft:ruby_sword"),
        "gemcraft:ruby_sword is defined in",
    ),
    "state of 17 values": (at(BLOCK, *STATES, to={"gemcraft:n": list(range(17))}), "has 17 values"),
    "too many combinations": (
        at(BLOCK, *STATES, to={f"gemcraft:n{n}": list(range(16)) for n in range(5)}),
        "more than 65536 combinations",
    ),
    "unknown state in a condition": (
        at(STATUE, "minecraft:block", "permutations", 0, "condition", to="q.block_state('gemcraft:no') == 1"),
        "asks for the unknown state gemcraft:no",
    ),
    "unknown trait": (at(BLOCK, "minecraft:block", "description", "traits", to={"minecraft:no": {}}), "no trait"),
    "unknown state of a trait": (
        at(
            STATUE,
            *("minecraft:block", "description", "traits", "minecraft:placement_direction", "enabled_states"),
            to=["minecraft:upside_down"],
        ),
        "has no states ['minecraft:upside_down']",
    ),
}


def damage(addon: Path, to: Path, edit: Edit) -> Path:
    with zipfile.ZipFile(addon) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    edit(files)
    with zipfile.ZipFile(to, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return to


def test_the_sample_passes(converted: Result, vanilla: VanillaTables) -> None:
    assert check(converted.addon, vanilla) == ()


@pytest.mark.parametrize("name", REFUSALS)
def test_a_damaged_addon_is_refused(name: str, converted: Result, vanilla: VanillaTables, tmp_path: Path) -> None:
    edit, finding = REFUSALS[name]
    findings = check(damage(converted.addon, tmp_path / "damaged.mcaddon", edit), vanilla)
    assert any(finding in each for each in findings), findings


def test_a_refused_conversion_leaves_no_addon(
    sample_jar: Path, vanilla: VanillaTables, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A translator that goes wrong is caught by the gate: here one that forgets a texture."""
    textures = dict(pipeline.TRANSLATORS)["textures"]

    def forgetful(mod: Any, context: Any) -> Any:
        made = textures(mod, context)
        lost = "RP/textures/gemcraft/items/ruby.png"
        made.files = [file for file in made.files if file.path != lost]
        made.rows = [row for row in made.rows if lost not in row.outputs]
        return made

    table = tuple((name, forgetful if name == "textures" else each) for name, each in pipeline.TRANSLATORS)
    monkeypatch.setattr(pipeline, "TRANSLATORS", table)
    with pytest.raises(GateFailed, match="missing texture") as refused:
        convert(sample_jar, tmp_path, options=Options(mojang_gate=False))
    assert refused.value.gate == "crossref"
    assert list(tmp_path.iterdir()) == []
