"""The vanilla tables at run time: load the built file, answer questions about ids. Used by translators and gates."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from converter.errors import ToolMissing

FORMAT = 1
ENVIRONMENT_VARIABLE = "MODPORTER_VANILLA_TABLES"
DEFAULT_FILE = Path(__file__).resolve().parent.parent / "data" / "vanilla.json"
_BUILD_COMMAND = "npm ci && python -m converter.vanilla.build --node-modules node_modules -o"


@dataclass(frozen=True)
class VanillaTables:
    """Ids are full ("minecraft:stone"). `items` and `blocks` map Java to Bedrock; an item of None has no Bedrock id."""

    items: Mapping[str, str | None]
    blocks: Mapping[str, str]
    known_items: frozenset[str]
    known_blocks: frozenset[str]
    sources: Mapping[str, str] = field(default_factory=dict)
    """Package -> version that the tables were built from."""

    def to_bedrock_item(self, java_id: str) -> str | None:
        """The Bedrock item of a vanilla Java item, None when Bedrock has none with an id of its own."""
        if java_id in self.items:
            return self.items[java_id]
        return java_id if java_id in self.known_items else None

    def to_bedrock_block(self, java_id: str) -> str | None:
        """The Bedrock block that most states of the vanilla Java block become."""
        bedrock_id = self.blocks.get(java_id, java_id)
        return bedrock_id if bedrock_id in self.known_blocks else None

    def is_known_item(self, bedrock_id: str) -> bool:
        """Whether vanilla Bedrock has an item of this id."""
        return bedrock_id in self.known_items

    def is_known_block(self, bedrock_id: str) -> bool:
        """Whether vanilla Bedrock has a block of this id."""
        return bedrock_id in self.known_blocks


def load_tables(file: Path | None = None) -> VanillaTables:
    """The tables from `file`, else from $MODPORTER_VANILLA_TABLES, else from the package's data folder.

    Raises ToolMissing with the command that builds them when the file is absent or was built by another version.
    """
    path = file or Path(os.environ.get(ENVIRONMENT_VARIABLE) or DEFAULT_FILE)
    how = f"run in services/converter: {_BUILD_COMMAND} {path}"
    try:
        built = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ToolMissing(f"the vanilla id tables {path} are absent; {how}") from None
    except (OSError, ValueError) as error:
        raise ToolMissing(f"the vanilla id tables {path} cannot be read ({error}); {how}") from None
    if not isinstance(built, dict) or built.get("format") != FORMAT:
        raise ToolMissing(f"the vanilla id tables {path} are of another version; {how}")
    return VanillaTables(
        items=built["items"],
        blocks=built["blocks"],
        known_items=frozenset(built["known_items"]),
        known_blocks=frozenset(built["known_blocks"]),
        sources=built["sources"],
    )
