"""Carries the outbox into the graph, in order, again and again until it is there. A loop in every replica.

Of a conversion that was deleted, the event about it included, the outbox keeps nothing.
"""

import asyncio
import contextlib

import structlog
from neo4j.exceptions import DriverError, Neo4jError
from psycopg import AsyncConnection
from psycopg import Error as PostgresError
from psycopg_pool import PoolTimeout
from pydantic import ValidationError

from ai_engine.graph.events import ConversionCompleted, ConversionDeleted
from ai_engine.graph.repository import (
    OutboxRepository,
    OutboxRow,
    conversion_exists,
    forget_conversion,
    mark_failed,
    mark_processed,
    next_row,
)
from ai_engine.graph.store import GraphStore

BATCH_ROWS = 20
IDLE_SECONDS = 1.0
BACK_OFF_SECONDS = (1.0, 30.0)

log = structlog.stdlib.get_logger("graph")


class GraphAwayError(Exception):
    """Neo4j cannot be reached or is not ready for this event; time may help."""


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
        """Project the oldest events, each in a transaction of its own; how many are dealt with.

        0 also while another replica is at it. Raises GraphAwayError when the rest had better wait.
        """
        projected, last_id = 0, 0
        for _ in range(BATCH_ROWS):
            trouble: GraphAwayError | None = None
            async with self._outbox.graph_lock() as connection:
                row = await next_row(connection, last_id) if connection else None
                if connection is None or row is None:
                    break
                try:
                    projected += await self._project(connection, row)
                except GraphAwayError as error:  # raised outside, for the failure that was counted must be committed
                    trouble = error
            if trouble:
                raise trouble
            last_id = row.id
        return projected

    async def _project(self, connection: AsyncConnection, row: OutboxRow) -> bool:
        try:
            await self._prepare()
            await self._apply(connection, row)
            return True
        except (DriverError, Neo4jError) as error:
            reason = f"{type(error).__name__}: {error}"
            if may_pass(error):
                await self._wait(connection, row, reason)
        except ValidationError as error:
            reason = f"not an event of this kind: {error}"
        log.error("event not projected", outbox_id=row.id, topic=row.topic, reason=reason)
        await mark_failed(connection, row, reason)
        return False

    async def _apply(self, connection: AsyncConnection, row: OutboxRow) -> None:
        """Events of a conversion that is gone leave nothing behind, neither in the graph nor in the outbox."""
        event = parse(row)
        if isinstance(event, ConversionCompleted) and await conversion_exists(connection, event.conversion_id):
            await self._store.add(event)
            await mark_processed(connection, row)
            return
        await self._store.remove(event.conversion_id)
        await forget_conversion(connection, row.tenant_id, event.conversion_id)

    async def _wait(self, connection: AsyncConnection, row: OutboxRow, reason: str) -> None:
        """Raises GraphAwayError. Where Neo4j answers all the same, the event has used up one of its attempts."""
        self._prepared = False  # it may come back empty
        with contextlib.suppress(DriverError, Neo4jError):
            await self._store.probe()
            await mark_failed(connection, row, reason)
        raise GraphAwayError(reason)

    async def _prepare(self) -> None:
        if not self._prepared:
            await self._store.prepare()
            self._prepared = True


def parse(row: OutboxRow) -> ConversionCompleted | ConversionDeleted:
    """Raises ValidationError."""
    kind = ConversionCompleted if row.topic == "conversion.completed" else ConversionDeleted
    return kind.model_validate(row.payload)


def may_pass(error: DriverError | Neo4jError) -> bool:
    """Whether to wait rather than to blame the event: no connection, no log-in, or the server says "try again"."""
    if isinstance(error, DriverError):
        return True
    return error.is_retryable() or (error.code or "").startswith(("Neo.ClientError.Security", "Neo.TransientError"))
