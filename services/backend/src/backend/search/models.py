"""Table `conversion_embeddings`, written by the AI engine's workers."""

from __future__ import annotations

import uuid

from pgvector.sqlalchemy import Vector
from sqlalchemy.orm import Mapped, mapped_column

from backend.db.base import Base

DIMENSIONS = 384


class ConversionEmbedding(Base):
    __tablename__ = "conversion_embeddings"

    conversion_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    tenant_id: Mapped[uuid.UUID]
    model: Mapped[str]
    embedding: Mapped[list[float]] = mapped_column(Vector(DIMENSIONS))
