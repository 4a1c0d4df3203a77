"""Puts the application together: resources, routes, error handling, health. Called by `main` and by tests."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager

from fastapi import APIRouter, FastAPI

from backend.concepts import endpoints as concepts
from backend.concepts import repository as concept_graph
from backend.conversions import endpoints as conversions
from backend.conversions.tasks import sweep_for_ever
from backend.conversions.uploads import Uploads
from backend.db.engine import Database
from backend.deps import Resources
from backend.docs import OPENAPI_URL, install_docs
from backend.errors import install_database_handlers
from backend.kit import redis
from backend.kit.cache import Cache
from backend.kit.rate_limit import RateLimit
from backend.kit.redis import RedisGate
from backend.kit.session_cookie import SessionCookie
from backend.ledger import endpoints as ledger
from backend.middleware import NoStoreMiddleware
from backend.previews import endpoints as previews
from backend.search import embeddings
from backend.search import endpoints as search
from backend.settings import BackendSettings
from common.health import HealthCheck, health_router
from common.problems import install_problem_handlers
from common.requests import RequestIdMiddleware
from common.storage import open_store
from common.telemetry import install_telemetry

DESCRIPTION = """Turns Minecraft Java Edition mods into Bedrock Edition add-ons.

A signed cookie, given with the list of conversions or with the first upload, owns what was uploaded with it: scripts
keep a cookie jar. Errors are `application/problem+json` (RFC 9457) with a stable `code`."""


def create_app(settings: BackendSettings) -> FastAPI:
    """The application; its resources exist between start and stop of its lifespan."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        resources = app.state.resources = build_resources(settings)
        async with AsyncExitStack() as stack:
            for client in (resources.database, resources.redis, resources.graph, resources.embedder):
                stack.push_async_callback(client.close)
            sweeping = asyncio.create_task(sweep_for_ever(resources.database, resources.store))
            stack.push_async_callback(_cancel, sweeping)
            yield

    app = FastAPI(
        title="ModPorter",
        version=settings.service_version,
        description=DESCRIPTION,
        openapi_url=OPENAPI_URL,
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    api = APIRouter(prefix="/api/v1")
    for feature in (search, ledger, previews, conversions, concepts):
        api.include_router(feature.router)
    app.include_router(api)
    app.include_router(health_router(settings.service_name, settings.service_version, health_checks(app)))
    install_docs(app)
    install_problem_handlers(app)
    install_database_handlers(app)
    app.add_middleware(NoStoreMiddleware)
    app.add_middleware(RequestIdMiddleware)
    install_telemetry(app, settings)
    return app


def build_resources(settings: BackendSettings) -> Resources:
    """Clients of everything around us; none of them connects yet."""
    database = Database(settings)
    store = open_store(settings.storage_url)
    gate = RedisGate(redis.connect(settings))
    return Resources(
        database=database,
        store=store,
        redis=gate,
        cache=Cache(gate),
        uploads=Uploads(settings, database, store),
        upload_limit=RateLimit(gate, "upload", settings.upload_rate),
        session_cookie=SessionCookie(settings),
        graph=concept_graph.connect(settings),
        embedder=embeddings.connect(settings.ai_engine_url),
    )


def health_checks(app: FastAPI) -> list[HealthCheck]:
    """Without database or storage nothing can be answered; without the others something is missing."""

    def check(name: str, probe: Callable[[Resources], Awaitable[None]], *, required: bool) -> HealthCheck:
        return HealthCheck(name, required, lambda: probe(app.state.resources))

    return [
        check("postgres", lambda resources: resources.database.probe(), required=True),
        check("storage", lambda resources: resources.store.probe(), required=True),
        check("redis", lambda resources: resources.redis.probe(), required=False),
        check("neo4j", lambda resources: resources.graph.probe(), required=False),
        check("ai-engine", lambda resources: resources.embedder.probe(), required=False),
    ]


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
