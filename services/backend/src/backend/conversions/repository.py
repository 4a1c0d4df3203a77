"""All SQL on tenants and conversions. Every look-up takes the tenant: nobody's row is found through another's id."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

from sqlalchemy import Boolean, Uuid, any_, delete, func, literal, select, tuple_, update
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.ext.asyncio import AsyncSession

from backend.conversions.models import Conversion, Tenant

SWEEP_LOCK_KEY = 0x6D6F64706F727473  # "modports"


@dataclass(frozen=True, slots=True)
class NewConversion:
    """What is known when an upload is accepted; fields are columns."""

    id: uuid.UUID
    tenant_id: uuid.UUID
    file_name: str
    file_size_bytes: int
    file_sha256: str
    mod_id: str
    mod_name: str
    mod_version: str
    mod_loader: str
    idempotency_key: str | None
    idempotency_fingerprint: str | None


async def ensure_tenant(session: AsyncSession, tenant_id: uuid.UUID) -> None:
    await session.execute(insert(Tenant).values(id=tenant_id).on_conflict_do_nothing())


async def add_unless_key_is_used(session: AsyncSession, conversion: NewConversion) -> bool:
    """Insert, unless the tenant has used the idempotency key: then False. Waits for a concurrent insert of that key."""
    statement = (
        insert(Conversion)
        .values(status="queued", **asdict(conversion))
        .on_conflict_do_nothing(index_elements=["tenant_id", "idempotency_key"])
        .returning(Conversion.id)
    )
    return (await session.execute(statement)).first() is not None


async def find_by_key(session: AsyncSession, tenant_id: uuid.UUID, idempotency_key: str | None) -> Conversion | None:
    statement = select(Conversion).where(
        Conversion.tenant_id == tenant_id, Conversion.idempotency_key == idempotency_key
    )
    return (await session.execute(statement)).scalar_one_or_none()


async def set_job(session: AsyncSession, conversion_id: uuid.UUID, job_id: int) -> None:
    await session.execute(update(Conversion).where(Conversion.id == conversion_id).values(job_id=job_id))


async def find(session: AsyncSession, tenant_id: uuid.UUID, conversion_id: uuid.UUID) -> Conversion | None:
    statement = select(Conversion).where(Conversion.id == conversion_id, Conversion.tenant_id == tenant_id)
    return (await session.execute(statement)).scalar_one_or_none()


async def page(
    session: AsyncSession, tenant_id: uuid.UUID, *, limit: int, before: tuple[datetime, uuid.UUID] | None
) -> Sequence[Conversion]:
    """The tenant's conversions, newest first; `before` is the (created_at, id) of the last row seen."""
    statement = select(Conversion).where(Conversion.tenant_id == tenant_id)
    if before is not None:
        statement = statement.where(tuple_(Conversion.created_at, Conversion.id) < before)
    statement = statement.order_by(Conversion.created_at.desc(), Conversion.id.desc()).limit(limit)
    return (await session.execute(statement)).scalars().all()


async def remove(session: AsyncSession, tenant_id: uuid.UUID, conversion_id: uuid.UUID) -> bool:
    """Delete a conversion with all rows that belong to it; False when the tenant has no such conversion."""
    statement = (
        delete(Conversion)
        .where(Conversion.id == conversion_id, Conversion.tenant_id == tenant_id)
        .returning(Conversion.id)
    )
    return (await session.execute(statement)).first() is not None


async def lock_sweep(session: AsyncSession) -> bool:
    """Take the right to sweep until the transaction ends; False while another replica has it."""
    statement = select(func.pg_try_advisory_xact_lock(SWEEP_LOCK_KEY, type_=Boolean))
    return (await session.execute(statement)).scalar_one()


async def with_files(session: AsyncSession, conversion_ids: Collection[uuid.UUID]) -> set[uuid.UUID]:
    """Which of these conversions have files: they exist, whosever they are, and have not failed. For the sweep."""
    wanted = literal(list(conversion_ids), ARRAY(Uuid))  # one array: one statement, however many there are
    statement = select(Conversion.id).where(Conversion.id == any_(wanted), Conversion.status != "failed")
    return set((await session.execute(statement)).scalars())
