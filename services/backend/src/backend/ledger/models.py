"""Table `ledger_rows`, written by the AI engine's workers."""

from __future__ import annotations

import uuid

from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from backend.db.base import Base


class LedgerRow(Base):
    __tablename__ = "ledger_rows"

    conversion_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    tenant_id: Mapped[uuid.UUID]
    source: Mapped[str]
    kind: Mapped[str]
    outcome: Mapped[str]
    reason: Mapped[str]
    outputs: Mapped[list[str]] = mapped_column(JSONB)
