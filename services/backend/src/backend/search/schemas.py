"""What the API says about search results."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from backend.conversions.schemas import ConversionView


class Hit(ConversionView):
    similarity: float | None = Field(description="cosine similarity, 1 is the same; null for matches by text")


class SearchPage(BaseModel):
    mode: Literal["semantic", "text"] = Field(description="text: the embedding model was away, names were matched")
    items: list[Hit]


class SimilarPage(BaseModel):
    items: list[Hit]
