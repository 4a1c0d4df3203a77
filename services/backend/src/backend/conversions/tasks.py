"""What happens outside of requests: deferring the job that the AI engine's workers run, and sweeping storage.

The job is deferred in the transaction that inserts the conversion, so there is never one without the other.
"""

from __future__ import annotations

import asyncio
import random
import re
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import psycopg
import structlog
from procrastinate import App, PsycopgConnector
from procrastinate.exceptions import ConnectorException
from sqlalchemy.ext.asyncio import AsyncSession

from backend import errors
from backend.conversions import repository
from backend.db.engine import Database
from common.storage import INCOMING_PREFIX, ObjectStore

TASK = "convert"
QUEUE = "conversions"
PRIORITY_DEFAULT = 0
PRIORITY_LOW = -10
# A large jar must not keep many small ones waiting.
LOW_PRIORITY_FROM_BYTES = 25_000_000

SWEEP_EVERY_SECONDS = 600
SWEEP_AGE = timedelta(hours=1)
SWEEP_BATCH = 1000
TENANTS_PREFIX = "tenants/"
CONVERSION_PREFIX = re.compile(r"tenants/[0-9a-f-]{36}/conversions/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})/")

log = structlog.stdlib.get_logger("tasks")

# Only builds jobs; it is never opened, because every job goes through a connection of ours.
_queue = App(connector=PsycopgConnector())


async def defer_conversion(session: AsyncSession, conversion_id: uuid.UUID, file_size_bytes: int) -> int:
    """Enqueue the job of a conversion in the session's transaction; returns the job's id.

    Raises the 503 problem when the database goes away meanwhile.
    """
    connection = await (await session.connection()).get_raw_connection()
    job = _queue.configure_task(
        TASK,
        queue=QUEUE,
        priority=PRIORITY_LOW if file_size_bytes > LOW_PRIORITY_FROM_BYTES else PRIORITY_DEFAULT,
        connection=connection.driver_connection,
    )
    try:
        return await job.defer_async(conversion_id=str(conversion_id))
    except ConnectorException as error:
        if isinstance(error.__cause__, psycopg.OperationalError):
            raise errors.database_unavailable() from error
        raise


async def sweep_for_ever(database: Database, store: ObjectStore) -> None:
    """Sweep now and then, until cancelled. Started by the lifespan of every replica."""
    while True:
        await asyncio.sleep(SWEEP_EVERY_SECONDS * random.uniform(0.8, 1.2))  # noqa: S311 - spreads the replicas
        try:
            await sweep(database, store, datetime.now(UTC) - SWEEP_AGE)
        except Exception:  # storage or database away: the next round may find them back
            log.exception("sweep failed")


async def sweep(database: Database, store: ObjectStore, before: datetime) -> int:
    """Delete what crashes left in storage before a time: stale uploads, files of conversions that failed or are gone.

    Returns how many objects that were; 0 while another replica sweeps. No upload lasts as long as `before` lies back,
    so what is older and has no row will never have one.
    """
    count = 0
    async with database.transaction() as session:
        if not await repository.lock_sweep(session):
            return 0
        count += await store.delete_older(INCOMING_PREFIX, before=before)
        async for prefixes in conversion_prefixes(store.list_older(TENANTS_PREFIX, before=before)):
            keeping = await repository.with_files(session, prefixes.keys())
            for conversion_id in prefixes.keys() - keeping:
                count += await store.delete_prefix(prefixes[conversion_id])
    if count:
        log.info("swept storage", objects=count)
    return count


async def conversion_prefixes(
    keys: AsyncIterator[str], batch: int = SWEEP_BATCH
) -> AsyncIterator[dict[uuid.UUID, str]]:
    """The prefix of every conversion that one of these storage keys belongs to, `batch` of them at a time.

    Other keys are left alone. The store lists a conversion's keys one after another, so hardly any comes twice.
    """
    found: dict[uuid.UUID, str] = {}
    async for key in keys:
        match = CONVERSION_PREFIX.match(key)
        if match is None:
            continue
        conversion_id = uuid.UUID(match.group(1))
        if len(found) == batch and conversion_id not in found:
            yield found
            found = {}
        found[conversion_id] = match.group(0)
    if found:
        yield found
