"""All SQL on conversions, through the pooler; used by runner, progress and rescue.

Exactly once: taking a job raises `attempt`; every later write of the taker names the attempt that it got, and changes
nothing once somebody else has taken the job or the conversion was deleted.

    queued ──take──> running (attempt n) ──complete / fail, guarded by attempt n──> completed | failed
                        └──take again (worker lost, handed back, retried): attempt n+1──┘
"""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import islice
from uuid import UUID

from psycopg import AsyncConnection
from psycopg.types.json import Jsonb
from psycopg_pool import AsyncConnectionPool

from ai_engine.conversions.outcome import Failed, Stage
from ai_engine.conversions.result import ConversionResult, LedgerRow
from ai_engine.embeddings.model import Vectors

RESCUE_LOCK = 0x6D6F6470_01
"""Key of the advisory lock under which one replica at a time looks for lost jobs."""
ORPHAN_AFTER_SECONDS = 30
LEDGER_BATCH_ROWS = 1000


@dataclass(frozen=True, slots=True)
class Taken:
    """A conversion that is ours until somebody takes it with a higher attempt."""

    id: UUID
    tenant_id: UUID
    attempt: int
    progress: float
    """What the user has been shown already."""


@dataclass(frozen=True, slots=True)
class SummaryEmbedding:
    model: str
    vector: Vectors


class ConversionRepository:
    def __init__(self, pool: AsyncConnectionPool) -> None:
        self._pool = pool

    async def take(self, conversion_id: UUID) -> Taken | None:
        """Make it ours; None when it has ended or is gone."""
        async with self._pool.connection() as connection:
            cursor = await connection.execute(
                """
                UPDATE conversions
                   SET status = 'running', stage = 'reading', attempt = attempt + 1,
                       started_at = coalesce(started_at, now())
                 WHERE id = %s AND status IN ('queued', 'running')
                RETURNING id, tenant_id, attempt, progress
                """,
                [conversion_id],
            )
            row = await cursor.fetchone()
        return Taken(*row) if row else None

    async def report(self, taken: Taken, stage: Stage, progress: float) -> bool:
        """Write the progress down; False when the conversion is no longer ours."""
        async with self._pool.connection() as connection:
            cursor = await connection.execute(
                """
                UPDATE conversions SET stage = %s, progress = greatest(progress, %s::real)
                 WHERE id = %s AND status = 'running' AND attempt = %s
                """,
                [stage, progress, taken.id, taken.attempt],
            )
            return cursor.rowcount == 1

    async def is_ours(self, taken: Taken) -> bool:
        async with self._pool.connection() as connection:
            cursor = await connection.execute(
                "SELECT 1 FROM conversions WHERE id = %s AND status = 'running' AND attempt = %s",
                [taken.id, taken.attempt],
            )
            return await cursor.fetchone() is not None

    async def fail(self, taken: Taken, failed: Failed) -> bool:
        """End it without an add-on; False when it is no longer ours."""
        async with self._pool.connection() as connection:
            cursor = await connection.execute(
                """
                UPDATE conversions
                   SET status = 'failed', error_code = %s, error_detail = %s, finished_at = now()
                 WHERE id = %s AND status = 'running' AND attempt = %s
                """,
                [failed.code, failed.detail, taken.id, taken.attempt],
            )
            return cursor.rowcount == 1

    async def complete(self, taken: Taken, result: ConversionResult, embedding: SummaryEmbedding) -> bool:
        """Store everything and end it, in one transaction; False (and nothing stored) when it is no longer ours."""
        async with self._pool.connection() as connection, connection.transaction():
            if not await _mark_completed(connection, taken, result):
                return False
            await _copy_ledger(connection, taken, result)
            await _copy_previews(connection, taken, result)
            await connection.execute(
                """
                INSERT INTO conversion_embeddings (conversion_id, tenant_id, model, embedding)
                VALUES (%s, %s, %s, %s::vector)
                """,
                [taken.id, taken.tenant_id, embedding.model, json.dumps(embedding.vector.tolist())],
            )
            await connection.execute(
                "INSERT INTO outbox (tenant_id, topic, payload) VALUES (%s, 'conversion.completed', %s)",
                [taken.tenant_id, Jsonb(completed_event(taken, result))],
            )
        return True

    async def exists(self, conversion_id: UUID) -> bool:
        async with self._pool.connection() as connection:
            cursor = await connection.execute("SELECT 1 FROM conversions WHERE id = %s", [conversion_id])
            return await cursor.fetchone() is not None

    @asynccontextmanager
    async def rescue_lock(self) -> AsyncIterator[AsyncConnection | None]:
        """A transaction that holds the rescue lock; None while another replica holds it."""
        async with self._pool.connection() as connection, connection.transaction():
            cursor = await connection.execute("SELECT pg_try_advisory_xact_lock(%s)", [RESCUE_LOCK])
            row = await cursor.fetchone()
            yield connection if row and row[0] else None


async def without_job(connection: AsyncConnection) -> Sequence[UUID]:
    """Unfinished conversions whose job has ended or vanished, so that nobody will ever work on them.

    A worker that only seemed dead ends the job under its successor's hands; if that one dies too, this is what is left.
    """
    cursor = await connection.execute(
        """
        SELECT conversions.id
          FROM conversions LEFT JOIN procrastinate_jobs AS job ON job.id = conversions.job_id
         WHERE conversions.status IN ('queued', 'running')
           AND conversions.created_at < now() - make_interval(secs => %s)
           AND (job.id IS NULL OR job.status NOT IN ('todo', 'doing'))
         LIMIT 100
        """,
        [ORPHAN_AFTER_SECONDS],
    )
    return [row[0] for row in await cursor.fetchall()]


async def set_job(connection: AsyncConnection, conversion_id: UUID, job_id: int) -> None:
    await connection.execute("UPDATE conversions SET job_id = %s WHERE id = %s", [job_id, conversion_id])


def completed_event(taken: Taken, result: ConversionResult) -> dict[str, object]:
    """What the knowledge graph learns; see graph.projector."""
    return {
        "conversion_id": str(taken.id),
        "tenant_id": str(taken.tenant_id),
        "mod_id": result.summary.mod.id,
        "concepts": [concept.model_dump() for concept in result.summary.concepts],
    }


async def _mark_completed(connection: AsyncConnection, taken: Taken, result: ConversionResult) -> bool:
    summary = result.summary
    cursor = await connection.execute(
        """
        UPDATE conversions
           SET status = 'completed', stage = 'done', progress = 1, finished_at = now(),
               mod_id = %(mod_id)s, mod_name = %(mod_name)s, mod_version = %(mod_version)s, mod_loader = %(mod_loader)s,
               converted = %(converted)s, approximated = %(approximated)s, unsupported = %(unsupported)s,
               ignored = %(ignored)s, error = %(error)s,
               addon_size_bytes = %(size_bytes)s, addon_sha256 = %(sha256)s, converter_version = %(converter_version)s
         WHERE id = %(id)s AND status = 'running' AND attempt = %(attempt)s
        """,
        {
            "id": taken.id,
            "attempt": taken.attempt,
            "mod_id": summary.mod.id,
            "mod_name": summary.mod.name,
            "mod_version": summary.mod.version,
            "mod_loader": summary.mod.loader,
            **summary.coverage.model_dump(exclude={"total"}),
            **summary.addon.model_dump(),
            "converter_version": summary.converter_version,
        },
    )
    return cursor.rowcount == 1


async def _copy_ledger(connection: AsyncConnection, taken: Taken, result: ConversionResult) -> None:
    """One COPY per batch: each is a statement with a time limit of its own."""
    columns = "conversion_id, position, tenant_id, source, kind, outcome, reason, outputs"
    position = 0
    async for rows in ledger_batches(result):
        async with connection.cursor() as cursor, cursor.copy(f"COPY ledger_rows ({columns}) FROM STDIN") as copy:
            for row in rows:
                texts = (row.source, row.kind, row.outcome, row.reason)
                await copy.write_row((taken.id, position, taken.tenant_id, *texts, Jsonb(row.outputs)))
                position += 1


async def ledger_batches(result: ConversionResult) -> AsyncIterator[list[LedgerRow]]:
    """The ledger, up to a million rows, read and checked in a thread: the event loop has heart-beats to send."""
    rows = result.ledger()
    while batch := await asyncio.to_thread(lambda: list(islice(rows, LEDGER_BATCH_ROWS))):
        yield batch


async def _copy_previews(connection: AsyncConnection, taken: Taken, result: ConversionResult) -> None:
    columns = "conversion_id, position, tenant_id, java_id, kind, file_name, width, height"
    async with connection.cursor() as cursor, cursor.copy(f"COPY previews ({columns}) FROM STDIN") as copy:
        for position, preview in enumerate(result.previews):
            await copy.write_row(
                (
                    *(taken.id, position, taken.tenant_id),
                    *(preview.java_id, preview.kind, preview.file, preview.width, preview.height),
                )
            )
