"""The vanilla tables: what the build step takes from the npm packages, and what the loader answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from converter.errors import ToolMissing
from converter.vanilla import VanillaTables, load_tables
from converter.vanilla.build import build_tables, main
from converter.vanilla.names import ITEM_RENAMES

BLOCKS_NEW = {
    "minecraft:stone[]": "minecraft:stone[]",
    "minecraft:snow[layers=1]": "minecraft:snow_layer[height=0]",
    "minecraft:snow_block[]": "minecraft:snow[]",
    "minecraft:nether_bricks[]": "minecraft:nether_brick[]",
    "minecraft:lamp[lit=true]": "minecraft:lit_lamp[]",
    "minecraft:lamp[lit=false]": "minecraft:lamp[]",
    "minecraft:oak_sign[rotation=0]": "minecraft:standing_sign[]",
}
ITEMS = ["stone", "snow", "snow_block", "nether_brick", "nether_bricks", "lamp", "oak_sign", "white_bed", "debug_stick"]
KNOWN_ITEMS = ["stone", "snow", "snow_layer", "nether_brick", "netherbrick", "lamp", "oak_sign", "bed", "new_thing"]


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    """A node_modules folder with the few files that the build step reads."""
    known = [*(f"minecraft:{name}" for name in KNOWN_ITEMS), *ITEM_RENAMES.values()]
    declared = "\n".join(f'    Name{number} = "{name}",' for number, name in enumerate(known))
    files: dict[str, Any] = {
        "minecraft-data/package.json": {"version": "3.1.0"},
        "@minecraft/vanilla-data/package.json": {"version": "1.26.51"},
        "minecraft-data/minecraft-data/data/dataPaths.json": {
            "pc": {
                "1.8": {"items": "pc/1.8"},
                "21w05b": {"items": "pc/21w05b"},
                "1.21.1": {"items": "pc/1.21.1"},
                "1.21.9": {"blocks": "pc/1.21.1"},
            },
            "bedrock": {
                "1.21.90": {"blocksJ2B": "bedrock/old"},
                "1.21.100": {"blocksJ2B": "bedrock/new"},
                "1.22.0": {"items": "bedrock/new"},
            },
        },
        "minecraft-data/minecraft-data/data/bedrock/new/blocksJ2B.json": BLOCKS_NEW,
        "minecraft-data/minecraft-data/data/pc/1.21.1/items.json": [{"name": name} for name in ITEMS],
        "@minecraft/vanilla-data/lib/mojang-item.d.ts": declared,
        "@minecraft/vanilla-data/lib/mojang-block.d.ts": '    Stone = "minecraft:stone",\n    Lamp = "minecraft:lamp",',
    }
    for name, content in files.items():
        path = tmp_path / "node_modules" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content))
    return tmp_path / "node_modules"


@pytest.fixture
def tables(packages: Path, tmp_path: Path) -> VanillaTables:
    assert main(["--node-modules", str(packages), "-o", str(tmp_path / "t.json")]) == 0
    return load_tables(tmp_path / "t.json")


@pytest.mark.parametrize(
    ("java_id", "bedrock_id"),
    [
        ("minecraft:stone", "minecraft:stone"),
        ("minecraft:snow", "minecraft:snow_layer"),
        ("minecraft:snow_block", "minecraft:snow"),
        ("minecraft:nether_brick", "minecraft:netherbrick"),
        ("minecraft:nether_bricks", "minecraft:nether_brick"),
        ("minecraft:lamp", "minecraft:lamp"),
        ("minecraft:oak_sign", "minecraft:oak_sign"),
        ("minecraft:new_thing", "minecraft:new_thing"),
        ("minecraft:white_bed", None),
        ("minecraft:debug_stick", None),
        ("minecraft:no_such_thing", None),
    ],
)
def test_a_java_item_becomes_the_bedrock_item_that_means_the_same(
    tables: VanillaTables, java_id: str, bedrock_id: str | None
) -> None:
    assert tables.to_bedrock_item(java_id) == bedrock_id


def test_the_newest_bedrock_version_with_a_mapping_is_used(tables: VanillaTables) -> None:
    assert tables.sources["bedrock"] == "1.21.100"
    assert tables.to_bedrock_block("minecraft:lamp") == "minecraft:lamp"
    assert tables.to_bedrock_block("minecraft:gone") is None


def test_the_same_packages_give_the_same_bytes(packages: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        main(["--node-modules", str(packages), "-o", str(tmp_path / name)])
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_missing_package_says_what_to_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--node-modules", str(tmp_path), "-o", str(tmp_path / "t.json")]) == 1
    assert "npm ci" in capsys.readouterr().err


def test_a_rename_to_an_unknown_item_is_refused_when_building(packages: Path) -> None:
    declared = packages / "@minecraft/vanilla-data/lib/mojang-item.d.ts"
    declared.write_text(declared.read_text().replace("minecraft:netherbrick", "minecraft:other"))
    with pytest.raises(ToolMissing, match="netherbrick"):
        build_tables(packages)


@pytest.mark.parametrize("content", [None, "{", "[]", '{"format": 0}'])
def test_an_unusable_table_file_says_the_command_that_builds_it(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "vanilla.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(ToolMissing, match=r"converter\.vanilla\.build"):
        load_tables(file)
