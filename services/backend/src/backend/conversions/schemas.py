"""What the API says about conversions. Field names are the fixed interface that people script against."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Literal

from pydantic import BaseModel, Field

from backend.conversions.models import Conversion

Status = Literal["queued", "running", "completed", "failed"]
OUTCOMES = ("converted", "approximated", "unsupported", "ignored", "error")


class Accepted(BaseModel):
    """The answer to an upload."""

    id: uuid.UUID
    status: Status


class Mod(BaseModel):
    """What the jar says about itself."""

    id: str
    name: str | None
    version: str | None
    loader: str | None


class Coverage(BaseModel):
    """Ledger rows by outcome; `total` is their sum."""

    converted: int
    approximated: int
    unsupported: int
    ignored: int
    error: int
    total: int


class Failure(BaseModel):
    code: str
    detail: str


class ProgressView(BaseModel):
    """Where a conversion stands, as the event stream tells it; `progress` goes from 0 to 1."""

    id: uuid.UUID
    status: Status
    stage: str
    progress: float


class ConversionView(ProgressView):
    """A whole conversion."""

    file_name: str
    file_size_bytes: int
    mod: Mod | None
    coverage: Coverage | None = Field(description="null until completed")
    error: Failure | None = Field(description="why it failed; null unless it did")
    addon_size_bytes: int | None
    created_at: datetime
    finished_at: datetime | None


class ConversionPage(BaseModel):
    items: list[ConversionView]
    next_cursor: str | None


def progress_of(conversion: Conversion) -> ProgressView:
    return ProgressView.model_validate(conversion, from_attributes=True)


def view_of(conversion: Conversion) -> ConversionView:
    """The row as the API shows it."""
    failure = None
    if conversion.status == "failed":
        failure = Failure(
            code=conversion.error_code or "failed", detail=conversion.error_detail or "The conversion failed."
        )
    mod = None
    if conversion.mod_id is not None:
        mod = Mod(
            id=conversion.mod_id,
            name=conversion.mod_name,
            version=conversion.mod_version,
            loader=conversion.mod_loader,
        )
    return ConversionView(
        **progress_of(conversion).model_dump(),
        file_name=conversion.file_name,
        file_size_bytes=conversion.file_size_bytes,
        mod=mod,
        coverage=coverage_of(conversion),
        error=failure,
        addon_size_bytes=conversion.addon_size_bytes,
        created_at=conversion.created_at,
        finished_at=conversion.finished_at,
    )


def coverage_of(conversion: Conversion) -> Coverage | None:
    """The counts by outcome; None until the conversion is completed."""
    if conversion.status != "completed":
        return None
    counts = {outcome: getattr(conversion, outcome) or 0 for outcome in OUTCOMES}
    return Coverage(**counts, total=sum(counts.values()))
