"""`python -m ai_engine graph-rebuild`: empties the graph and fills it again from Postgres, in batches."""

from collections.abc import Callable

from psycopg.errors import LockNotAvailable

from ai_engine.database import transaction_pool
from ai_engine.graph.events import ConversionCompleted
from ai_engine.graph.repository import OutboxRepository, completed_count, completed_rows
from ai_engine.graph.store import GraphStore, open_driver
from ai_engine.settings import Settings

BATCH_ROWS = 20


async def rebuild(outbox: OutboxRepository, store: GraphStore, say: Callable[[str], None]) -> int:
    """Rebuild while the projectors wait; how many conversions are in the graph now. May be repeated after a failure."""
    async with outbox.graph_lock(wait=True) as connection:
        assert connection is not None  # noqa: S101 - it was waited for
        await store.prepare()
        say(f"emptied the graph: {await store.clear()} nodes")
        total, done, last_id = await completed_count(connection), 0, 0
        while rows := await completed_rows(connection, last_id, BATCH_ROWS):
            for row in rows:
                await store.add(ConversionCompleted.model_validate(row.payload))
            done, last_id = done + len(rows), rows[-1].id
            say(f"{done} of {total} conversions")
    return done


async def rebuild_command(settings: Settings) -> None:
    """Connect, rebuild, tell on standard output."""
    async with transaction_pool(settings) as pool, open_driver(settings) as driver:
        try:
            count = await rebuild(OutboxRepository(pool), GraphStore(driver), lambda line: print(line, flush=True))
        except LockNotAvailable:
            raise SystemExit("somebody else keeps writing to the graph; try again later") from None
    print(f"the graph holds {count} conversions", flush=True)
