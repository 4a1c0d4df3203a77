"""Loot tables of the mod's blocks: data/*/loot_table(s)/blocks/** become BP/loot_tables/blocks/**.

Rows of those tables. Runs after blocks and items, so that nothing is dropped that does not exist; `blocks.py` asks
`block_table` which file it may name. Tables of chests and entities are left to `leftovers.py`: nothing would use them.
"""

from __future__ import annotations

from typing import Any

from converter.errors import BadFile
from converter.ledger import Outcome, Row
from converter.model import VANILLA, Mod, split_id
from converter.translate.base import AddonFile, Context, Translation
from converter.translate.drops import DropReader
from converter.translate.known_items import bedrock_item
from converter.translate.notes import sentence
from converter.translate.paths import addon_path

_FOLDERS = ("loot_table", "loot_tables")
"""The newer name first: a jar that brings both means both for the same block, for different versions of the game."""


def translate_loot(mod: Mod, context: Context) -> Translation:
    """BP/loot_tables/blocks/**; rows as the module says."""
    made = Translation()
    for name, namespace, path in mod.under(*(f"{folder}/blocks" for folder in _FOLDERS), side="data"):
        if namespace == VANILLA or not path.endswith(".json"):
            continue
        made.rows.append(_translate(mod, context, made, name, f"{namespace}:{path.removesuffix('.json')}"))
    return made


def block_table(mod: Mod, context: Context, java_id: str) -> str | None:
    """The loot table that `translate_loot` will make for a block, None when the jar has none that can be read."""
    name = _source(mod, java_id)
    if name is None:
        return None
    try:
        DropReader(java_id, lambda _: None).pools(_read(mod, name))
    except BadFile:
        return None
    return _output(context, java_id)


def _translate(mod: Mod, context: Context, made: Translation, name: str, java_id: str) -> Row:
    if java_id not in context.produced.blocks:
        return Row(name, "loot_table", "unsupported", f"The block {java_id} is not converted.")
    if name != _source(mod, java_id):
        return Row(
            name, "loot_table", "ignored", "The jar holds the same table in the folder that newer versions read."
        )
    reader = DropReader(java_id, lambda item: bedrock_item(context, item))
    try:
        pools = reader.pools(_read(mod, name))
    except BadFile as error:
        return Row(name, "loot_table", "error", sentence("The loot table cannot be used", [error.reason]))
    output = _output(context, java_id)
    made.files.append(AddonFile(output, {"pools": pools}))
    outcome: Outcome = "approximated" if reader.notes else "converted"
    return Row(name, "loot_table", outcome, sentence("In the drops", reader.notes), (output,))


def _source(mod: Mod, java_id: str) -> str | None:
    namespace, path = split_id(java_id)
    names = (f"data/{namespace}/{folder}/blocks/{path}.json" for folder in _FOLDERS)
    return next((name for name in names if name in mod.files), None)


def _output(context: Context, java_id: str) -> str:
    namespace, _, name = context.bedrock_ids[java_id].partition(":")
    return addon_path(f"BP/loot_tables/blocks/{namespace}", name, ".json")


def _read(mod: Mod, name: str) -> dict[str, Any]:
    table = mod.files.json(name)
    if not isinstance(table, dict):
        raise BadFile("it is not a JSON object")
    return table
