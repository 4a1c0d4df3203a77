"""All SQL on the outbox, through the pooler; used by projector.py and rebuild.py."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

TOPICS = ("conversion.completed", "conversion.deleted")
GRAPH_LOCK = 0x6D6F6470_02
"""Key of the advisory lock of whoever writes to the graph, so that events are projected in order."""
MAX_ATTEMPTS = 10
"""An event that fails this often by itself is left alone; it shows in last_error and in the health of the outbox."""


@dataclass(frozen=True, slots=True)
class OutboxRow:
    id: int
    topic: str
    payload: dict[str, Any]


class OutboxRepository:
    def __init__(self, pool: AsyncConnectionPool) -> None:
        self._pool = pool

    @asynccontextmanager
    async def graph_lock(self, *, wait: bool = False) -> AsyncIterator[AsyncConnection | None]:
        """A transaction in which nobody else writes to the graph; None while somebody does, unless told to wait."""
        async with self._pool.connection() as connection, connection.transaction():
            if wait:
                await connection.execute("SELECT pg_advisory_xact_lock(%s)", [GRAPH_LOCK])
                yield connection
                return
            cursor = await connection.execute("SELECT pg_try_advisory_xact_lock(%s)", [GRAPH_LOCK])
            row = await cursor.fetchone()
            yield connection if row and row[0] else None

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


async def next_rows(connection: AsyncConnection, limit: int) -> Sequence[OutboxRow]:
    """The oldest events to project, locked until the transaction ends."""
    cursor = await connection.execute(
        """
        SELECT id, topic, payload FROM outbox
         WHERE processed_at IS NULL AND topic = ANY(%s) AND attempts < %s
         ORDER BY id LIMIT %s
           FOR UPDATE SKIP LOCKED
        """,
        [list(TOPICS), MAX_ATTEMPTS, limit],
    )
    return [OutboxRow(*row) for row in await cursor.fetchall()]


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
        SELECT outbox.id, outbox.topic, outbox.payload
          FROM outbox JOIN conversions ON conversions.id = (outbox.payload->>'conversion_id')::uuid
         WHERE outbox.id > %s AND outbox.topic = 'conversion.completed' AND conversions.status = 'completed'
         ORDER BY outbox.id LIMIT %s
        """,
        [after_id, limit],
    )
    return [OutboxRow(*row) for row in await cursor.fetchall()]
