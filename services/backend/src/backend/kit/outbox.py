"""Events for other stores, written in the transaction that caused them; the AI engine projects them into the graph."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, DateTime, Identity
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from backend.db.base import Base

CONVERSION_DELETED = "conversion.deleted"


class OutboxEvent(Base):
    __tablename__ = "outbox"

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    tenant_id: Mapped[uuid.UUID]
    topic: Mapped[str]
    payload: Mapped[dict[str, Any]] = mapped_column(JSONB)
    processed_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


async def announce_deleted(session: AsyncSession, tenant_id: uuid.UUID, conversion_id: uuid.UUID) -> None:
    """Say that a conversion is gone, so that the graph forgets its evidence."""
    session.add(
        OutboxEvent(tenant_id=tenant_id, topic=CONVERSION_DELETED, payload={"conversion_id": str(conversion_id)})
    )
    await session.flush()
