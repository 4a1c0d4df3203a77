"""Finds jobs that nobody works on any more and puts them back, at the head of the queue. A loop in every replica.

Three ways for a job to be lost, one look for each:
- its worker died (no heart-beat for STALLED_AFTER_SECONDS): Procrastinate knows
- its worker is this one, but the end of the job could not be written down: only we know
- its job ended or vanished while the conversion did not: see repository.without_job

The loop also sweeps the folders that lost workers left behind.
"""

import asyncio
from collections.abc import Iterable

import procrastinate
import structlog
from procrastinate.exceptions import ConnectorException
from procrastinate.jobs import Job, Status
from psycopg import AsyncConnection
from psycopg import Error as PostgresError
from psycopg_pool import PoolTimeout

from ai_engine.conversions.repository import ConversionRepository, set_job, without_job
from ai_engine.conversions.worker import PRIORITY_CRITICAL, QUEUE, STALLED_AFTER_SECONDS, TASK, ConversionWorker, count
from ai_engine.conversions.workspace import Workspace

EVERY_SECONDS = 5.0

log = structlog.stdlib.get_logger("rescue")


class Rescue:
    """Made by app.py."""

    def __init__(
        self,
        app: procrastinate.App,
        worker: ConversionWorker,
        repository: ConversionRepository,
        workspace: Workspace,
        stalled_after_seconds: float = STALLED_AFTER_SECONDS,
    ) -> None:
        self._app, self._worker, self._repository = app, worker, repository
        self._workspace = workspace
        self._stalled_after_seconds = stalled_after_seconds
        self._suspects: frozenset[int] = frozenset()

    async def run(self) -> None:
        """Look for lost jobs for ever; an unreachable database is waited for."""
        while True:
            await asyncio.to_thread(self._workspace.sweep)
            try:
                await self.look()
            except (ConnectorException, PostgresError, PoolTimeout) as error:
                log.warning("cannot look for lost jobs", reason=str(error))
            await asyncio.sleep(EVERY_SECONDS)

    async def look(self) -> int:
        """One look, unless another replica is looking; how many jobs were put back.

        Under a lock, for two replicas that see the same dead worker would put its job back twice, the second time
        under the hands of whoever had taken it meanwhile.
        """
        async with self._repository.rescue_lock() as connection:
            if connection is None:
                return 0
            jobs = self._app.job_manager
            stalled = await jobs.get_stalled_jobs(queue=QUEUE, seconds_since_heartbeat=self._stalled_after_seconds)
            rescued = await self._put_back(stalled, "worker lost") + await self._put_back(
                await self._ours(), "end lost"
            )
            return rescued + await self._defer_again(connection)

    async def _ours(self) -> list[Job]:
        """Jobs that are ours by the database, that we do not work on, now and at the last look."""
        worker_id = self._worker.worker_id
        if worker_id is None:
            return []
        jobs = await self._app.job_manager.list_jobs_async(queue=QUEUE, status=Status.DOING.value, worker_id=worker_id)
        idle = [job for job in jobs if job.id is not None and job.id not in self._worker.active_jobs]
        known, self._suspects = self._suspects, frozenset(job.id for job in idle if job.id is not None)
        return [job for job in idle if job.id in known]

    async def _put_back(self, jobs: Iterable[Job], cause: str) -> int:
        put_back = 0
        for job in jobs:
            assert job.id is not None  # noqa: S101 - it came out of the database
            await count(self._app, job.id, "interruptions")
            await self._app.job_manager.retry_job(job, priority=PRIORITY_CRITICAL)
            log.warning("job put back", job_id=job.id, cause=cause, **job.task_kwargs)
            put_back += 1
        return put_back

    async def _defer_again(self, connection: AsyncConnection) -> int:
        orphans = await without_job(connection)
        for conversion_id in orphans:
            kwargs = {"conversion_id": str(conversion_id)}
            job = Job(
                id=None,
                queue=QUEUE,
                lock=None,
                queueing_lock=None,
                task_name=TASK,
                task_kwargs={**kwargs},
                priority=PRIORITY_CRITICAL,
            )
            deferred = await self._app.job_manager.defer_job_async(job, connection=connection)
            assert deferred.id is not None  # noqa: S101 - set by defer_job_async
            await set_job(connection, conversion_id, deferred.id)
            log.warning("job put back", job_id=deferred.id, cause="job gone", **kwargs)
        return len(orphans)
