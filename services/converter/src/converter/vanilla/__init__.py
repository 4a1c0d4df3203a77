"""What vanilla Minecraft knows on both sides: Java ids to Bedrock ids, and which Bedrock ids exist.

The tables are data of others, built once from npm packages by `python -m converter.vanilla.build` and never committed.
"""

from __future__ import annotations

from converter.vanilla.tables import VanillaTables, load_tables

__all__ = ["VanillaTables", "load_tables"]
