"""Pages of records, newest first; the link to the next names the last id of this one. Used by the pages of records."""

from __future__ import annotations

from typing import Annotated, TypeVar
from urllib.parse import urlencode

from fastapi import Query

from supervisor.domain.records import AuditRecord, DecisionRecord, IncidentRecord

Before = Annotated[int | None, Query(ge=1)]
Record = TypeVar("Record", DecisionRecord, IncidentRecord, AuditRecord)


def paged(found: list[Record], filters: dict[str, str], size: int) -> tuple[list[Record], str]:
    """Of `size` records and one more: those to show, and the query of the link to older ones; empty when there are
    none."""
    shown = found[:size]
    if len(found) <= size:
        return shown, ""
    return shown, urlencode({name: value for name, value in filters.items() if value} | {"before": shown[-1].id})
