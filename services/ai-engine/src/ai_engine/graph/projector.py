"""Carries the outbox into the graph, in order, again and again until it is there. A loop in every replica."""

import asyncio

import structlog
from neo4j.exceptions import DriverError, Neo4jError
from psycopg import AsyncConnection
from psycopg import Error as PostgresError
from psycopg_pool import PoolTimeout
from pydantic import ValidationError

from ai_engine.graph.events import ConversionCompleted, ConversionDeleted
from ai_engine.graph.repository import OutboxRepository, OutboxRow, mark_failed, mark_processed, next_rows
from ai_engine.graph.store import GraphStore

BATCH_ROWS = 20
IDLE_SECONDS = 1.0
BACK_OFF_SECONDS = (1.0, 30.0)

log = structlog.stdlib.get_logger("graph")


class GraphAwayError(Exception):
    """Neo4j cannot be reached or is not ready; nothing is wrong with the event."""


class Projector:
    """Made by app.py."""

    def __init__(self, outbox: OutboxRepository, store: GraphStore) -> None:
        self._outbox, self._store = outbox, store
        self._prepared = False

    async def run(self) -> None:
        """Project for ever. While a store is away the rows stay where they are."""
        shortest, longest = BACK_OFF_SECONDS
        pause = shortest
        while True:
            try:
                projected = await self.project_batch()
                pause = shortest
                await asyncio.sleep(0 if projected else IDLE_SECONDS)
            except (GraphAwayError, PostgresError, PoolTimeout) as error:
                log.warning("graph not updated", reason=str(error), again_in_seconds=pause)
                await asyncio.sleep(pause)
                pause = min(pause * 2, longest)

    async def project_batch(self) -> int:
        """Project the oldest events; how many went into the graph. 0 also while another replica is at it.

        Raises GraphAwayError; what was projected before it in this batch stays marked.
        """
        async with self._outbox.graph_lock() as connection:
            rows = await next_rows(connection, BATCH_ROWS) if connection else []
            if connection is None or not rows:
                return 0
            projected = 0
            away: GraphAwayError | None = None
            for row in rows:
                try:
                    projected += await self._project(connection, row)
                except GraphAwayError as error:
                    away = error
                    break
        if away:
            raise away
        return projected

    async def _project(self, connection: AsyncConnection, row: OutboxRow) -> bool:
        try:
            await self._prepare()
            await apply(self._store, row)
        except (DriverError, Neo4jError) as error:
            if is_away(error):
                self._prepared = False  # it may come back empty
                raise GraphAwayError(f"{type(error).__name__}: {error}") from error
            reason = f"{type(error).__name__}: {error}"
        except ValidationError as error:
            reason = f"not an event of this kind: {error}"
        else:
            await mark_processed(connection, row)
            return True
        log.error("event not projected", outbox_id=row.id, topic=row.topic, reason=reason)
        await mark_failed(connection, row, reason)
        return False

    async def _prepare(self) -> None:
        if not self._prepared:
            await self._store.prepare()
            self._prepared = True


async def apply(store: GraphStore, row: OutboxRow) -> None:
    """Bring one event into the graph. Raises ValidationError and neo4j.exceptions."""
    if row.topic == "conversion.completed":
        await store.add(ConversionCompleted.model_validate(row.payload))
    else:
        await store.remove(ConversionDeleted.model_validate(row.payload))


def is_away(error: DriverError | Neo4jError) -> bool:
    """Whether to wait rather than to blame the event: no connection, no log-in, or the server says "try again"."""
    if isinstance(error, DriverError):
        return True
    return error.is_retryable() or (error.code or "").startswith(("Neo.ClientError.Security", "Neo.TransientError"))
