"""What is told about a conversion besides the ledger: the concepts for the graph, and a text for the search index."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from converter.ledger import ID_KINDS, Row
from converter.model import ModInfo
from converter.translate.lang import title

_LONGEST_SUMMARY = 2000


def concepts(rows: Iterable[Row], ids: dict[str, str]) -> list[dict[str, Any]]:
    """One record for each registry id: what it is in Java, and what it became (`bedrock_id` null: nothing)."""
    return [
        {
            "java_id": row.source,
            "kind": row.kind,
            "bedrock_id": ids[row.source] if row.outputs else None,
            "outcome": row.outcome,
            "reason": row.reason,
        }
        for row in rows
        if row.kind in ID_KINDS
    ]


def summary_text(info: ModInfo, rows: Iterable[Row]) -> str:
    """A few sentences on what the mod is and holds, at most 2000 characters, for the embedding."""
    rows = tuple(rows)
    sentences = [f"{info.name} ({info.id}), a Minecraft mod for {info.loader}.", info.description]
    for kind in ID_KINDS:
        names = [title(row.source) for row in rows if row.kind == kind]
        if names:
            sentences.append(f"{len(names)} {kind}s: {', '.join(names)}.")
    text = " ".join(sentence for sentence in sentences if sentence)
    return text if len(text) <= _LONGEST_SUMMARY else text[: _LONGEST_SUMMARY - 1] + "…"
