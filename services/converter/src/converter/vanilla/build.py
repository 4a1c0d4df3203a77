"""Build the vanilla tables from two npm packages: `python -m converter.vanilla.build --node-modules DIR -o FILE`.

Reads only what it needs of them: of minecraft-data the index of versions, the item lists of Java and the block mapping
of the newest Bedrock version that has one; of @minecraft/vanilla-data the declared item and block ids. Run when an
image is built and by `make`, never by a conversion. One compact JSON object, the same for the same packages.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from converter.errors import ToolMissing
from converter.vanilla.names import ITEM_RENAMES, WITHOUT_AN_ID_OF_THEIR_OWN
from converter.vanilla.tables import FORMAT

_OLDEST_JAVA = (1, 16)
"""Item lists of older versions name items in ways that no data-driven mod uses any more."""
_DECLARED_ID = re.compile(r'= "(minecraft:[a-z0-9_.]+)"')
_RELEASE = re.compile(r"\d+(?:\.\d+)+")


def build_tables(node_modules: Path) -> dict[str, Any]:
    """The table object from a node_modules folder. Raises ToolMissing when a package or one of its files is absent."""
    data = node_modules / "minecraft-data" / "minecraft-data" / "data"
    declared = node_modules / "@minecraft" / "vanilla-data"
    index = _json(data / "dataPaths.json")
    known_items = _declared_ids(declared / "lib" / "mojang-item.d.ts")
    known_blocks = _declared_ids(declared / "lib" / "mojang-block.d.ts")
    bedrock_version, mapping_folder = _newest_mapping(index["bedrock"])
    blocks = _block_ids(_json(data / mapping_folder / "blocksJ2B.json"))
    java_items = _java_items(data, index["pc"])
    return {
        "format": FORMAT,
        "sources": {
            "minecraft-data": _json(node_modules / "minecraft-data" / "package.json")["version"],
            "@minecraft/vanilla-data": _json(declared / "package.json")["version"],
            "bedrock": bedrock_version,
        },
        "items": {java_id: _bedrock_item(java_id, blocks, known_items) for java_id in sorted(java_items)},
        "blocks": {java_id: names[0] for java_id, names in sorted(blocks.items())},
        "known_items": sorted(known_items),
        "known_blocks": sorted(known_blocks),
    }


def _newest_mapping(versions: dict[str, dict[str, str]]) -> tuple[str, str]:
    with_mapping = [version for version in versions if _RELEASE.fullmatch(version) and "blocksJ2B" in versions[version]]
    if not with_mapping:
        raise ToolMissing("minecraft-data has no Bedrock version with a block mapping (blocksJ2B)")
    newest = max(with_mapping, key=_version_key)
    return newest, versions[newest]["blocksJ2B"]


def _block_ids(states: dict[str, str]) -> dict[str, list[str]]:
    """Java block id -> Bedrock block ids of its states, the one of the most states first."""
    counts: dict[str, dict[str, int]] = {}
    for java_state, bedrock_state in states.items():
        per_block = counts.setdefault(java_state.partition("[")[0], {})
        bedrock_id = bedrock_state.partition("[")[0]
        per_block[bedrock_id] = per_block.get(bedrock_id, 0) + 1
    return {
        java_id: sorted(per_block, key=lambda bedrock_id: (-per_block[bedrock_id], bedrock_id != java_id, bedrock_id))
        for java_id, per_block in counts.items()
    }


def _java_items(data: Path, versions: dict[str, dict[str, str]]) -> set[str]:
    folders = {
        paths["items"]
        for version, paths in versions.items()
        if "items" in paths and _RELEASE.fullmatch(version) and _version_key(version) >= _OLDEST_JAVA
    }
    return {f"minecraft:{item['name']}" for folder in sorted(folders) for item in _json(data / folder / "items.json")}


def _bedrock_item(java_id: str, blocks: dict[str, list[str]], known: set[str]) -> str | None:
    """A block's item follows the block: Java `snow_block` is Bedrock `snow`, whose name in Java means another thing."""
    if java_id in WITHOUT_AN_ID_OF_THEIR_OWN:
        return None
    if renamed := ITEM_RENAMES.get(java_id):
        if renamed not in known:
            raise ToolMissing(f"@minecraft/vanilla-data does not know {renamed}: vanilla/names.py is out of date")
        return renamed
    for bedrock_id in blocks.get(java_id, ()):
        if bedrock_id in known:
            return bedrock_id
    return java_id if java_id in known else None


def _declared_ids(file: Path) -> set[str]:
    return set(_DECLARED_ID.findall(_text(file)))


def _version_key(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def _json(file: Path) -> Any:
    return json.loads(_text(file))


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ToolMissing(f"{file} is absent; run `npm ci` in services/converter first") from None


def main(arguments: Iterable[str] | None = None) -> int:
    """Command line. Exit code 0, or 1 with one sentence on stderr."""
    parser = argparse.ArgumentParser(prog="python -m converter.vanilla.build", description=__doc__.splitlines()[0])
    parser.add_argument("--node-modules", type=Path, required=True, metavar="DIR", help="folder with the npm packages")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help="table file to write")
    options = parser.parse_args(list(arguments) if arguments is not None else None)
    try:
        tables = build_tables(options.node_modules)
    except ToolMissing as missing:
        sys.stderr.write(f"{missing}\n")
        return 1
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(tables, separators=(",", ":"), sort_keys=True) + "\n", encoding="utf-8")
    sys.stdout.write(
        f"{options.output}: {len(tables['items'])} Java items, {len(tables['known_items'])} Bedrock items\n"
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
