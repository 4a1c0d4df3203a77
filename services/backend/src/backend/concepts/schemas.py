"""What the API says about concepts."""

from __future__ import annotations

from pydantic import BaseModel, Field


class MappingView(BaseModel):
    """One way in which conversions dealt with the id."""

    bedrock_id: str | None
    outcome: str
    reason: str
    evidence: int = Field(
        description="conversions that did it this way; only own ones while fewer than three tenants did"
    )


class ConceptView(BaseModel):
    """A Java id, and what it became in Bedrock."""

    java_id: str
    kind: str | None
    evidence: int = Field(
        description="conversions that hold the id; only own ones while fewer than three tenants hold it"
    )
    mappings: list[MappingView]
