"""All SQL on previews."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from backend.previews.models import Preview


async def all_of(session: AsyncSession, tenant_id: uuid.UUID, conversion_id: uuid.UUID) -> Sequence[Preview]:
    statement = (
        select(Preview)
        .where(Preview.conversion_id == conversion_id, Preview.tenant_id == tenant_id)
        .order_by(Preview.position)
    )
    return (await session.execute(statement)).scalars().all()


async def has_file(session: AsyncSession, tenant_id: uuid.UUID, conversion_id: uuid.UUID, file_name: str) -> bool:
    statement = (
        select(Preview.position)
        .where(Preview.conversion_id == conversion_id, Preview.tenant_id == tenant_id, Preview.file_name == file_name)
        .limit(1)
    )
    return (await session.execute(statement)).first() is not None
