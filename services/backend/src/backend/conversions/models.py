"""Tables `tenants` and `conversions`. The worker in the AI engine writes progress and results; we insert and delete."""

from __future__ import annotations

import uuid
from datetime import datetime

from sqlalchemy import BigInteger, DateTime, ForeignKey, text
from sqlalchemy.orm import Mapped, mapped_column

from backend.db.base import Base

TIME = DateTime(timezone=True)


class Tenant(Base):
    __tablename__ = "tenants"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)


class Conversion(Base):
    __tablename__ = "conversions"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    tenant_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("tenants.id"))
    status: Mapped[str]
    stage: Mapped[str] = mapped_column(server_default="queued")
    progress: Mapped[float] = mapped_column(server_default=text("0"))

    file_name: Mapped[str]
    file_size_bytes: Mapped[int] = mapped_column(BigInteger)
    file_sha256: Mapped[str]
    mod_id: Mapped[str | None]
    mod_name: Mapped[str | None]
    mod_version: Mapped[str | None]
    mod_loader: Mapped[str | None]

    converted: Mapped[int | None]
    approximated: Mapped[int | None]
    unsupported: Mapped[int | None]
    ignored: Mapped[int | None]
    error: Mapped[int | None]
    addon_size_bytes: Mapped[int | None] = mapped_column(BigInteger)
    addon_sha256: Mapped[str | None]
    converter_version: Mapped[str | None]
    error_code: Mapped[str | None]
    error_detail: Mapped[str | None]

    job_id: Mapped[int | None] = mapped_column(BigInteger)
    idempotency_key: Mapped[str | None]
    idempotency_fingerprint: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(TIME, server_default=text("now()"))
    started_at: Mapped[datetime | None] = mapped_column(TIME)
    finished_at: Mapped[datetime | None] = mapped_column(TIME)
