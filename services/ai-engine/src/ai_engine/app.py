"""Puts the AI engine together: the only place that knows every part. Used by main.py and the tests."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import procrastinate
import structlog
from fastapi import FastAPI

from ai_engine.conversions.converter import SandboxedConverter
from ai_engine.conversions.queue_metrics import QueueMetrics
from ai_engine.conversions.repository import ConversionRepository
from ai_engine.conversions.rescue import Rescue
from ai_engine.conversions.runner import ConversionRunner
from ai_engine.conversions.worker import ConversionWorker, WorkerTimes, in_background
from ai_engine.conversions.workspace import Workspace
from ai_engine.database import direct_pool, transaction_pool
from ai_engine.embeddings.endpoints import router as embeddings_router
from ai_engine.embeddings.model import SentenceEncoder
from ai_engine.embeddings.service import EmbeddingService
from ai_engine.graph.projector import Projector
from ai_engine.graph.repository import OutboxRepository
from ai_engine.graph.store import GraphStore, open_driver
from ai_engine.publisher import RedisPublisher, open_redis
from ai_engine.settings import Settings
from common.drain import drain_of
from common.health import HealthCheck, health_router
from common.load import load_of
from common.problems import install_problem_handlers
from common.requests import RequestIdMiddleware
from common.storage import open_store
from common.telemetry import install_telemetry

MAX_OUTBOX_LAG_SECONDS = 60.0

log = structlog.stdlib.get_logger("ai-engine")


def create_app(settings: Settings, converter: SandboxedConverter | None = None) -> FastAPI:
    """The application; everything that it needs is opened by its lifespan. Tests bring a converter of their own."""
    parts = _Parts(settings, converter or SandboxedConverter.from_settings(settings))

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            await parts.open(app, stack)
            log.info("ready to work")
            yield

    app = FastAPI(title="ModPorter AI engine", lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    install_problem_handlers(app)
    app.add_middleware(RequestIdMiddleware)
    app.include_router(embeddings_router)
    app.include_router(health_router(settings.service_name, settings.service_version, parts.checks()))
    telemetry = install_telemetry(app, settings)
    telemetry.registry.register(parts.queue_metrics)
    telemetry.before_scrape.append(parts.queue_metrics.refresh)
    return app


class _Parts:
    """What the lifespan opens, for the health checks to look at."""

    def __init__(self, settings: Settings, converter: SandboxedConverter) -> None:
        self._settings = settings
        self._converter = converter
        self._workspace = Workspace(settings.work_dir, settings.conversion_timeout_seconds)
        self._pool = transaction_pool(settings)
        self._direct_pool = direct_pool(settings)
        self._outbox = OutboxRepository(self._pool)
        self.queue_metrics = QueueMetrics(self._pool)
        self._store = open_store(settings.storage_url)
        self._redis = open_redis(settings)
        self._driver = open_driver(settings)
        self._graph = GraphStore(self._driver)
        self._embeddings: EmbeddingService | None = None
        self._worker: ConversionWorker | None = None

    async def open(self, app: FastAPI, stack: AsyncExitStack) -> None:
        """Open everything in the order of need; `stack` closes it in reverse."""
        settings = self._settings
        settings.work_dir.mkdir(parents=True, exist_ok=True)
        encoder = await asyncio.to_thread(SentenceEncoder, settings.model_dir)
        self._embeddings = app.state.embeddings = EmbeddingService(encoder)
        stack.callback(self._embeddings.close)
        await self._pool.open()
        stack.push_async_callback(self._pool.close)
        stack.push_async_callback(self._redis.aclose)
        stack.push_async_callback(self._driver.close)
        await self._direct_pool.open()
        stack.push_async_callback(self._direct_pool.close)
        queue = procrastinate.App(connector=procrastinate.PsycopgConnector())
        await queue.open_async(self._direct_pool)
        worker = self._start_worker(app, queue, stack)
        rescue = Rescue(queue, worker, ConversionRepository(self._pool), self._workspace)
        projector = Projector(self._outbox, self._graph)
        for name, loop in (("rescue", rescue.run()), ("projector", projector.run())):
            stack.push_async_callback(cancel, in_background(loop, name))

    def _start_worker(self, app: FastAPI, queue: procrastinate.App, stack: AsyncExitStack) -> ConversionWorker:
        settings = self._settings
        assert self._embeddings is not None  # noqa: S101 - opened before
        runner = ConversionRunner(
            repository=ConversionRepository(self._pool),
            store=self._store,
            converter=self._converter,
            embeddings=self._embeddings,
            publisher=RedisPublisher(self._redis),
            workspace=self._workspace,
        )
        times = WorkerTimes(grace=settings.worker_grace_seconds)
        self._worker = worker = ConversionWorker(queue, runner, settings.worker_concurrency, times)
        load_of(app).jobs = lambda: len(worker.active_jobs)
        working = in_background(worker.run(), "worker")

        async def stop_when_draining() -> None:
            await drain_of(app).wait()
            worker.stop()

        async def finish() -> None:
            worker.stop()
            await working

        stack.push_async_callback(finish)
        stack.push_async_callback(cancel, in_background(stop_when_draining(), "drain"))
        return worker

    def checks(self) -> list[HealthCheck]:
        return [
            HealthCheck("database", required=True, probe=self._probe_database),
            HealthCheck("storage", required=True, probe=self._store.probe),
            HealthCheck("model", required=True, probe=self._probe_model),
            HealthCheck("worker", required=True, probe=self._probe_worker),
            HealthCheck("redis", required=False, probe=self._probe_redis),
            HealthCheck("neo4j", required=False, probe=self._graph.probe),
            HealthCheck("outbox", required=False, probe=self._probe_outbox),
        ]

    async def _probe_database(self) -> None:
        async with self._pool.connection() as connection:
            await connection.execute("SELECT 1")

    async def _probe_model(self) -> None:
        if self._embeddings is None:
            raise RuntimeError("not loaded")

    async def _probe_worker(self) -> None:
        if self._worker is None or self._worker.worker_id is None:
            raise RuntimeError("not taking jobs")

    async def _probe_redis(self) -> None:
        await self._redis.ping()

    async def _probe_outbox(self) -> None:
        lag_seconds = await self._outbox.lag_seconds()
        if lag_seconds > MAX_OUTBOX_LAG_SECONDS:
            raise RuntimeError(f"the graph is {lag_seconds:.0f} s behind")


async def cancel(task: asyncio.Task[None]) -> None:
    """Cancel a task and wait for its end."""
    task.cancel()
    await asyncio.wait([task])
