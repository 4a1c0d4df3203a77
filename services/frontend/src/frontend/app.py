"""Puts the web page together: `create_app` is called by main.py and by the tests, which hand in their own transport."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from fastapi import FastAPI

from common.health import HealthCheck, health_router
from common.page_headers import SecurityHeadersMiddleware
from common.requests import RequestIdMiddleware
from common.telemetry import install_telemetry
from frontend.backend_client import open_backend
from frontend.pages import conversions, home, live
from frontend.pages.errors import FriendlyErrorMiddleware, install_error_pages
from frontend.rendering import build_renderer
from frontend.security import HEADERS
from frontend.settings import FrontendSettings
from frontend.static_files import load_static_files, static_router


def create_app(settings: FrontendSettings, backend_transport: httpx.AsyncBaseTransport | None = None) -> FastAPI:
    """The application. Raises BrowserFilesMissingError when the third-party browser files are not installed."""
    static = load_static_files(settings.static_vendor_dir)
    backend = open_backend(str(settings.backend_url), backend_transport)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        async with backend:
            yield

    async def backend_answers() -> None:
        (await backend.get("/health/live")).raise_for_status()

    app = FastAPI(title="ModPorter", lifespan=lifespan, openapi_url=None, docs_url=None, redoc_url=None)
    app.state.settings = settings
    app.state.backend = backend
    app.state.renderer = build_renderer(static, settings.max_upload_mb)
    # Without the backend the page still explains itself, so the backend is not required to be ready.
    checks = [HealthCheck(name="backend", required=False, probe=backend_answers)]
    app.include_router(health_router("frontend", settings.service_version, checks))
    app.include_router(static_router(static))
    app.include_router(home.router)
    app.include_router(conversions.router)
    app.include_router(live.router)
    install_error_pages(app)
    app.add_middleware(FriendlyErrorMiddleware, renderer=app.state.renderer)
    app.add_middleware(SecurityHeadersMiddleware, own=HEADERS)
    app.add_middleware(RequestIdMiddleware)
    install_telemetry(app, settings)
    return app
