"""What the API says about ledgers."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from backend.conversions.schemas import Coverage

Outcome = Literal["converted", "approximated", "unsupported", "ignored", "error"]


class LedgerEntry(BaseModel):
    """What became of one file or registry id of the mod, and why."""

    source: str
    kind: str
    outcome: Outcome
    reason: str
    outputs: list[str] = Field(description="paths in the add-on")


class LedgerPage(BaseModel):
    items: list[LedgerEntry]
    next_cursor: str | None
    matching: int = Field(description="rows that pass the filter, on all pages")
    totals: Coverage | None = Field(description="rows by outcome without a filter; null until completed")
