"""How much work waits, for Prometheus: the supervisor scales this service by it. Made by app.py.

Every replica tells the same numbers of the one queue; a policy takes their maximum, never their sum. They are read when
Prometheus asks, at most every few seconds. While the database is away or silent they are not told at all: a queue that
nobody can see is not an empty one.
"""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass

import structlog
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from psycopg import Error as PostgresError
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from ai_engine.conversions.worker import QUEUE

CACHE_SECONDS = 4.0
MAX_AGE_SECONDS = 12.0
WAIT_SECONDS = 1.0  # Prometheus waits no longer for the rest of the metrics

# A job that waits for its next try (scheduled_at) would not be done earlier by more replicas. The table holds what is
# unfinished, and what has failed; a partial index leads to the former.
SQL = """
SELECT count(*) FILTER (WHERE job.status = 'todo'),
       count(*) FILTER (WHERE job.status = 'doing'),
       coalesce(extract(epoch FROM now() - min(conversions.created_at) FILTER (WHERE job.status = 'todo')), 0)::float8
  FROM procrastinate_jobs AS job
       LEFT JOIN conversions ON conversions.id = (job.args ->> 'conversion_id')::uuid
 WHERE job.queue_name = %s AND job.status IN ('todo', 'doing')
   AND (job.scheduled_at IS NULL OR job.scheduled_at <= now())
"""

log = structlog.stdlib.get_logger("queue")


@dataclass(frozen=True, slots=True)
class QueueReading:
    waiting: int
    running: int
    oldest_seconds: float


class QueueMetrics(Collector):
    """`refresh` before each scrape; `collect` then tells what was read."""

    def __init__(self, pool: AsyncConnectionPool) -> None:
        self._pool = pool
        self._reading: QueueReading | None = None
        self._read_at = float("-inf")
        self._under_way: asyncio.Task[None] | None = None

    async def refresh(self) -> None:
        """Read the queue unless that was done a moment ago; a database that does not answer is not waited for."""
        if self._age_seconds < CACHE_SECONDS:
            return
        if self._under_way is None or self._under_way.done():
            self._under_way = asyncio.create_task(self._read(), name="queue metrics")
        await asyncio.wait([self._under_way], timeout=WAIT_SECONDS)

    async def _read(self) -> None:
        reading = None
        try:
            async with self._pool.connection() as connection:
                row = await (await connection.execute(SQL, [QUEUE])).fetchone()
            reading = QueueReading(*row) if row else None
        except (PostgresError, PoolTimeout) as error:
            log.warning("the queue cannot be counted", reason=str(error))
        self._reading, self._read_at = reading, time.monotonic()

    @property
    def _age_seconds(self) -> float:
        return time.monotonic() - self._read_at

    def collect(self) -> Iterator[GaugeMetricFamily]:
        depth = GaugeMetricFamily(
            "modporter_queue_depth", "Conversions in the queue, the same in all replicas", labels=["state"]
        )
        oldest = GaugeMetricFamily(
            "modporter_queue_oldest_seconds", "How long the oldest waiting conversion has waited"
        )
        if self._reading is not None and self._age_seconds < MAX_AGE_SECONDS:
            depth.add_metric(["waiting"], self._reading.waiting)
            depth.add_metric(["running"], self._reading.running)
            oldest.add_metric([], self._reading.oldest_seconds)
        yield depth
        yield oldest
