"""The outbox events that the graph understands."""

from typing import Literal
from uuid import UUID

from pydantic import BaseModel

Outcome = Literal["converted", "approximated", "unsupported", "ignored", "error"]


class Concept(BaseModel):
    """What one Java id became in one conversion."""

    java_id: str
    kind: str
    bedrock_id: str | None
    outcome: Outcome
    reason: str

    @property
    def mapping_key(self) -> str:
        """Equal facts from different conversions are one mapping with more evidence."""
        return "\x1f".join((self.java_id, self.bedrock_id or "", self.outcome, self.reason))


class ConversionCompleted(BaseModel):
    conversion_id: UUID
    tenant_id: UUID
    mod_id: str
    concepts: list[Concept]


class ConversionDeleted(BaseModel):
    conversion_id: UUID
