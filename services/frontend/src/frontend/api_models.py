"""The backend's answers as the pages read them. Lenient on purpose: unknown fields are dropped, so that a newer backend
does not break an older frontend while a rollout replaces one after the other."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

Status = Literal["queued", "running", "completed", "failed"]


class _Answer(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class Mod(_Answer):
    """What the jar says about itself: hostile text, only ever shown escaped."""

    id: str
    name: str | None = None
    version: str | None = None
    loader: str | None = None


class Coverage(_Answer):
    """Ledger rows by outcome; `total` is their sum."""

    converted: int = 0
    approximated: int = 0
    unsupported: int = 0
    ignored: int = 0
    error: int = 0
    total: int = 0

    def count(self, outcome: str) -> int:
        """Rows with this outcome; raises AttributeError for a name that is no outcome."""
        return int(getattr(self, outcome))

    @property
    def carried_ratio(self) -> float:
        """Share (0 to 1) of all rows that reached the add-on, whole or with a named difference."""
        return (self.converted + self.approximated) / self.total if self.total else 0.0


class Failure(_Answer):
    code: str | None = None
    detail: str = ""


class Conversion(_Answer):
    """One conversion; `progress` goes from 0 to 1."""

    id: UUID
    status: Status
    stage: str | None = None
    progress: float = 0.0
    file_name: str | None = None
    mod: Mod | None = None
    coverage: Coverage | None = None
    error: Failure | None = None
    addon_size_bytes: int | None = None
    created_at: datetime | None = None
    finished_at: datetime | None = None

    @property
    def is_finished(self) -> bool:
        """True when nothing about it will change any more."""
        return self.status in ("completed", "failed")

    @property
    def title(self) -> str:
        """The best name that is known: the mod's, its id, or the file's."""
        if self.mod is not None:
            return self.mod.name or self.mod.id
        return self.file_name or "Conversion"


class ConversionPage(_Answer):
    items: list[Conversion] = Field(default_factory=list)
    next_cursor: str | None = None


class LedgerRow(_Answer):
    source: str
    kind: str
    outcome: Literal["converted", "approximated", "unsupported", "ignored", "error"]
    reason: str = ""
    outputs: list[str] = Field(default_factory=list)


class LedgerPage(_Answer):
    """`matching` counts the rows that pass the filter, on all pages."""

    items: list[LedgerRow] = Field(default_factory=list)
    next_cursor: str | None = None
    matching: int = 0


class Preview(_Answer):
    """A converted texture; `width` and `height` in pixels."""

    java_id: str
    kind: str
    url: str
    width: int = 16
    height: int = 16


class SearchPage(_Answer):
    """`mode` tells how the matches were found: by meaning, or by text while the embedding service is away."""

    items: list[Conversion] = Field(default_factory=list)
    mode: str = "semantic"
