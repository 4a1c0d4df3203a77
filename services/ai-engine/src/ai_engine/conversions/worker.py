"""The job worker: a Procrastinate worker inside the service's process, kept running, stopped gently. Made by app.py.

Procrastinate's worker ends when its heart-beat or listener fails, as when Postgres restarts; `run` then starts another.
Its jobs are this queue's only task, `convert`, deferred by the backend in the transaction that stores the conversion.
"""

import asyncio
import contextlib
import time
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, Literal, cast
from uuid import UUID

import procrastinate
import structlog
from procrastinate.exceptions import ConnectorException, JobAborted
from procrastinate.job_context import AbortReason
from procrastinate.jobs import DeleteJobCondition, Job
from procrastinate.worker import Worker
from psycopg_pool import PoolTimeout

from ai_engine.conversions.runner import ConversionRunner, Tries

QUEUE, TASK = "conversions", "convert"
PRIORITY_CRITICAL = 10
HEARTBEAT_SECONDS = 2.0
STALLED_AFTER_SECONDS = 10.0
POLL_SECONDS = 2.0
"""A retried job notifies nobody, so this bounds how long it waits for an idle worker."""
RESTART_SECONDS = (1.0, 10.0)
MAX_BACK_OFF_SECONDS = 60
NEVER_SECONDS = 365 * 24 * 3600.0
COUNT = """
UPDATE procrastinate_jobs
   SET args = args || jsonb_build_object(%(what)s::text, coalesce((args ->> %(what)s::text)::int, 0) + 1)
 WHERE id = %(job_id)s
"""

log = structlog.stdlib.get_logger("worker")


class HandedBackError(Exception):
    """This replica is leaving and the job has not ended in time: another one does it again, at once."""


class RetryAlways(procrastinate.BaseRetryStrategy):
    """Exponential back-off without an end of its own: the runner ends a conversion that was tried often enough."""

    def get_retry_decision(self, *, exception: BaseException, job: Job) -> procrastinate.RetryDecision | None:
        if isinstance(exception, JobAborted):
            return None
        if isinstance(exception, HandedBackError):
            return procrastinate.RetryDecision(retry_in={"seconds": 0}, priority=PRIORITY_CRITICAL)
        failures = cast(int, job.task_kwargs.get("failures", 0))  # before this one
        return procrastinate.RetryDecision(retry_in={"seconds": min(2 ** (failures + 1), MAX_BACK_OFF_SECONDS)})


@dataclass(frozen=True, slots=True)
class WorkerTimes:
    """Seconds; tests shorten them."""

    grace: float = 20.0
    heartbeat: float = HEARTBEAT_SECONDS
    stalled_after: float = STALLED_AFTER_SECONDS
    poll: float = POLL_SECONDS


class ConversionWorker:
    """Runs conversions until told to stop. One per process."""

    def __init__(
        self, app: procrastinate.App, runner: ConversionRunner, concurrency: int, times: WorkerTimes | None = None
    ) -> None:
        self._app, self._runner = app, runner
        self._concurrency, self._times = concurrency, times or WorkerTimes()
        self._worker: Worker | None = None
        self._stopping = asyncio.Event()
        self._active_jobs: set[int] = set()
        app.task(name=TASK, queue=QUEUE, pass_context=True, retry=RetryAlways())(self._convert)

    @property
    def active_jobs(self) -> frozenset[int]:
        """Ids of the jobs that are being worked on right now."""
        return frozenset(self._active_jobs)

    @property
    def worker_id(self) -> int | None:
        """The id under which it sends heart-beats; None while it is not taking jobs."""
        return self._worker.worker_id if self._worker else None

    async def run(self) -> None:
        """Work until `stop`, starting again with a growing pause whenever the worker breaks."""
        shortest, longest = RESTART_SECONDS
        pause = shortest
        heart = in_background(self._beat(), "heart-beat")
        try:
            while not self._stopping.is_set():
                started = time.monotonic()
                await self._work()
                pause = shortest if time.monotonic() - started > longest else min(pause * 2, longest)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._stopping.wait(), pause)
        finally:
            heart.cancel()

    async def _work(self) -> None:
        """One life of Procrastinate's worker."""
        self._worker = self._new_worker()
        try:
            await self._worker.run()  # type: ignore[no-untyped-call]
        except (ConnectorException, OSError) as error:
            log.warning("worker broke", reason=str(error))
        except Exception:
            log.exception("worker broke")
        finally:
            self._worker = None

    async def _beat(self) -> None:
        """Heart-beats of our own: Procrastinate's end with the first that fails, and when a worker begins to stop,
        which would give a job away that still has its grace period."""
        while True:
            await asyncio.sleep(self._times.heartbeat)
            worker_id = self.worker_id
            if worker_id is not None:
                try:
                    await self._app.job_manager.update_heartbeat(worker_id)
                except (ConnectorException, PoolTimeout) as error:
                    log.warning("no heart-beat", reason=str(error))

    def stop(self) -> None:
        """Take no more jobs; `run` returns when the running ones have ended or were handed back."""
        self._stopping.set()
        if self._worker:
            self._worker.stop()  # type: ignore[no-untyped-call]

    def _new_worker(self) -> Worker:
        return Worker(
            self._app,
            queues=[QUEUE],
            concurrency=self._concurrency,
            fetch_job_polling_interval=self._times.poll,
            abort_job_polling_interval=self._times.poll,
            shutdown_graceful_timeout=self._times.grace,
            install_signal_handlers=False,
            update_heartbeat_interval=NEVER_SECONDS,
            stalled_worker_timeout=self._times.stalled_after,
            delete_jobs=DeleteJobCondition.SUCCESSFUL,
        )

    async def _convert(
        self, context: procrastinate.JobContext, conversion_id: str, failures: int = 0, interruptions: int = 0
    ) -> None:
        """The task. The backend passes the id alone; the counts are added by `count`."""
        job_id = context.job.id
        assert job_id is not None  # noqa: S101 - a job that runs has been stored
        self._active_jobs.add(job_id)
        try:
            await self._runner.run(UUID(conversion_id), Tries(failures, interruptions))
        except asyncio.CancelledError:
            if context.abort_reason() is AbortReason.SHUTDOWN:
                raise HandedBackError from None
            raise JobAborted from None
        except Exception:
            with contextlib.suppress(ConnectorException, PoolTimeout):  # then the end is lost too, and counted as that
                await count(self._app, job_id, "failures")
            raise
        finally:
            self._active_jobs.discard(job_id)


async def count(app: procrastinate.App, job_id: int, what: Literal["failures", "interruptions"]) -> None:
    """Add one to what a job remembers in its arguments; procrastinate's `attempts` counts hand-backs as well.

    Raises ConnectorException and PoolTimeout.
    """
    await app.connector.execute_query_async(COUNT, job_id=job_id, what=what)


def in_background(work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
    """A task whose unexpected end is logged rather than forgotten."""
    task = asyncio.create_task(work, name=name)

    def on_done(done: asyncio.Task[None]) -> None:
        if not done.cancelled() and (error := done.exception()):
            log.error("background task broke", task=name, exc_info=error)

    task.add_done_callback(on_done)
    return task
