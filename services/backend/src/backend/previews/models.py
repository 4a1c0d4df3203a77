"""Table `previews`, written by the AI engine's workers; the pictures lie in object storage."""

from __future__ import annotations

import uuid

from sqlalchemy.orm import Mapped, mapped_column

from backend.db.base import Base


class Preview(Base):
    __tablename__ = "previews"

    conversion_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    tenant_id: Mapped[uuid.UUID]
    java_id: Mapped[str]
    kind: Mapped[str]
    file_name: Mapped[str]
    width: Mapped[int]
    height: Mapped[int]
