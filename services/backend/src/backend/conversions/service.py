"""What can be done with a stored conversion: look at it, list them, delete it. Uploading is in `uploads`."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime

from sqlalchemy.ext.asyncio import AsyncSession

from backend import errors
from backend.conversions import repository
from backend.conversions.schemas import ConversionPage, ConversionView, view_of
from backend.deps import Resources
from backend.kit import outbox
from backend.kit.cache import conversion_cache_key, ledger_cache_key
from backend.kit.pagination import decode_cursor, encode_cursor
from common.storage import conversion_prefix


async def view_json(resources: Resources, tenant_id: uuid.UUID, conversion_id: uuid.UUID) -> str:
    """The conversion as JSON text; finished ones come from the cache when it has them."""
    key = conversion_cache_key(tenant_id, conversion_id)
    cached = await resources.cache.get(key)
    if cached is not None:
        return cached
    return (await view(resources, tenant_id, conversion_id)).model_dump_json()


async def view(resources: Resources, tenant_id: uuid.UUID, conversion_id: uuid.UUID) -> ConversionView:
    """The conversion from the database, remembered in the cache when nothing will change any more."""
    async with resources.database.transaction() as session:
        conversion = await repository.find(session, tenant_id, conversion_id)
    if conversion is None:
        raise errors.conversion_not_found()
    found = view_of(conversion)
    if found.status in ("completed", "failed"):
        await resources.cache.put(conversion_cache_key(tenant_id, conversion_id), found.model_dump_json())
    return found


async def page(session: AsyncSession, tenant_id: uuid.UUID | None, *, limit: int, cursor: str | None) -> ConversionPage:
    """The tenant's conversions, newest first; nobody's list is empty."""
    before = parse_cursor(cursor) if cursor is not None else None
    if tenant_id is None:
        return ConversionPage(items=[], next_cursor=None)
    rows = await repository.page(session, tenant_id, limit=limit + 1, before=before)
    next_cursor = None
    if len(rows) > limit:
        last = rows[limit - 1]
        next_cursor = encode_cursor([last.created_at.isoformat(), str(last.id)])
    return ConversionPage(items=[view_of(row) for row in rows[:limit]], next_cursor=next_cursor)


def parse_cursor(cursor: str) -> tuple[datetime, uuid.UUID]:
    """The (created_at, id) of the last row seen. Raises the bad_cursor problem."""
    created_at, conversion_id = decode_cursor(cursor, [str, str])
    try:
        moment = datetime.fromisoformat(str(created_at))
        if moment.tzinfo is None:
            raise ValueError("a moment without a time zone")
        # In UTC, because Postgres knows fewer offsets than Python does.
        return moment.astimezone(UTC), uuid.UUID(str(conversion_id))
    except (ValueError, OverflowError) as error:
        raise errors.bad_cursor() from error


async def delete(resources: Resources, tenant_id: uuid.UUID, conversion_id: uuid.UUID) -> None:
    """Remove rows, then cached answers, then files. A job that waits or runs finds nothing and stores nothing.

    Files that a failure leaves behind here are found by the sweep.
    """
    async with resources.database.transaction() as session:
        if not await repository.remove(session, tenant_id, conversion_id):
            raise errors.conversion_not_found()
        await outbox.announce_deleted(session, tenant_id, conversion_id)
    await resources.cache.bury(
        conversion_cache_key(tenant_id, conversion_id), ledger_cache_key(tenant_id, conversion_id)
    )
    await resources.store.delete_prefix(conversion_prefix(tenant_id, conversion_id))
