"""All SQL on the outbox, through the pooler; used by projector.py and rebuild.py."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg import AsyncConnection
from psycopg import Error as PostgresError
from psycopg_pool import AsyncConnectionPool

TOPICS = ("conversion.completed", "conversion.deleted")
GRAPH_LOCK = 0x6D6F6470_02
"""Key of the advisory lock of whoever writes to the graph, so that events are projected in order."""
MAX_ATTEMPTS = 10
"""An event that fails this often by itself is left alone; it shows in last_error and in the health of the outbox."""

KEEP_ALIVE_SECONDS = 15.0
"""Postgres and the pooler end a transaction in which nothing happens for a minute; Neo4j may need longer."""
REBUILD_WAIT = "2min"
"""How long a rebuild waits for the event that a projector has in hand."""


@dataclass(frozen=True, slots=True)
class OutboxRow:
    id: int
    tenant_id: UUID
    topic: str
    payload: dict[str, Any]


class OutboxRepository:
    def __init__(self, pool: AsyncConnectionPool) -> None:
        self._pool = pool

    @asynccontextmanager
    async def graph_lock(self, *, wait: bool = False) -> AsyncIterator[AsyncConnection | None]:
        """A transaction in which nobody else writes to the graph; None while somebody does, unless told to wait.

        It lives however long its owner is busy elsewhere. Raises LockNotAvailable when it waited in vain.
        """
        async with self._pool.connection() as connection, connection.transaction():
            if wait:
                await connection.execute(f"SET LOCAL lock_timeout = '{REBUILD_WAIT}'")
                await connection.execute("SET LOCAL statement_timeout = 0")
                await connection.execute("SELECT pg_advisory_xact_lock(%s)", [GRAPH_LOCK])
            else:
                cursor = await connection.execute("SELECT pg_try_advisory_xact_lock(%s)", [GRAPH_LOCK])
                row = await cursor.fetchone()
                if not (row and row[0]):
                    yield None
                    return
            done = asyncio.Event()
            keeping = asyncio.create_task(_keep_alive(connection, done))
            try:
                yield connection
            finally:
                done.set()  # not cancelled: to cancel a statement spoils the transaction
                await keeping

    async def lag_seconds(self) -> float:
        """Age of the oldest event that is not in the graph yet; 0 when there is none."""
        async with self._pool.connection() as connection:
            cursor = await connection.execute(
                """
                SELECT coalesce(extract(epoch FROM now() - min(created_at)), 0)::float8
                  FROM outbox WHERE processed_at IS NULL
                """
            )
            row = await cursor.fetchone()
        return float(row[0]) if row else 0.0


async def _keep_alive(connection: AsyncConnection, done: asyncio.Event) -> None:
    """Between two statements of the transaction's owner; when the connection broke, the owner's next one tells."""
    with suppress(PostgresError):
        while not done.is_set():
            try:
                await asyncio.wait_for(done.wait(), KEEP_ALIVE_SECONDS)
            except TimeoutError:
                await connection.execute("SELECT 1")


async def next_row(connection: AsyncConnection, after_id: int) -> OutboxRow | None:
    """The oldest event to project among those with a higher id, locked until the transaction ends."""
    cursor = await connection.execute(
        """
        SELECT id, tenant_id, topic, payload FROM outbox
         WHERE processed_at IS NULL AND topic = ANY(%s) AND attempts < %s AND id > %s
         ORDER BY id LIMIT 1
           FOR UPDATE SKIP LOCKED
        """,
        [list(TOPICS), MAX_ATTEMPTS, after_id],
    )
    row = await cursor.fetchone()
    return OutboxRow(*row) if row else None


async def conversion_exists(connection: AsyncConnection, conversion_id: UUID) -> bool:
    cursor = await connection.execute("SELECT 1 FROM conversions WHERE id = %s", [conversion_id])
    return await cursor.fetchone() is not None


async def forget_conversion(connection: AsyncConnection, tenant_id: UUID, conversion_id: UUID) -> None:
    """Delete every event of a conversion that is gone. The tenant spares Postgres from unpacking all other payloads."""
    await connection.execute(
        "DELETE FROM outbox WHERE tenant_id = %s AND topic = ANY(%s) AND payload->>'conversion_id' = %s",
        [tenant_id, list(TOPICS), str(conversion_id)],
    )


async def mark_processed(connection: AsyncConnection, row: OutboxRow) -> None:
    await connection.execute(
        "UPDATE outbox SET processed_at = now(), attempts = attempts + 1, last_error = NULL WHERE id = %s", [row.id]
    )


async def mark_failed(connection: AsyncConnection, row: OutboxRow, reason: str) -> None:
    await connection.execute(
        "UPDATE outbox SET attempts = attempts + 1, last_error = %s WHERE id = %s", [reason[:500], row.id]
    )


async def completed_count(connection: AsyncConnection) -> int:
    """How many conversions the whole graph is made of."""
    cursor = await connection.execute("SELECT count(*) FROM conversions WHERE status = 'completed'")
    row = await cursor.fetchone()
    return int(row[0]) if row else 0


async def completed_rows(connection: AsyncConnection, after_id: int, limit: int) -> Sequence[OutboxRow]:
    """Events of conversions that still exist, projected or not, by id."""
    cursor = await connection.execute(
        """
        SELECT outbox.id, outbox.tenant_id, outbox.topic, outbox.payload
          FROM outbox JOIN conversions ON conversions.id = (outbox.payload->>'conversion_id')::uuid
         WHERE outbox.id > %s AND outbox.topic = 'conversion.completed' AND conversions.status = 'completed'
         ORDER BY outbox.id LIMIT %s
        """,
        [after_id, limit],
    )
    return [OutboxRow(*row) for row in await cursor.fetchall()]
