"""Puts the supervisor's HTTP side together: API, page and metrics. Called by bootstrap.py, and by the tests."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import FastAPI
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from common.page_headers import SecurityHeadersMiddleware
from common.requests import RequestIdMiddleware
from common.settings import is_placeholder
from supervisor.api.auth import Gate, PasswordCheck, Sessions, is_hash
from supervisor.api.context import ApiContext, CallBook, PolicyBook
from supervisor.api.dashboard import audit_page, pages, policies_page, public, records_pages, sign_in
from supervisor.api.dashboard.errors import install_error_handlers
from supervisor.api.dashboard.rendering import build_renderer
from supervisor.api.dashboard.static_files import load_static_files, static_router
from supervisor.api.middleware import HEADERS, BodyLimitMiddleware, OwnNamesMiddleware, SessionCookieMiddleware
from supervisor.api.reports import ReportSource
from supervisor.api.routes import alerts, commands, docs, events, probes, records, services
from supervisor.api.routes import policies as policy_routes
from supervisor.api.settings import ApiSettings
from supervisor.api.watched_secret import WatchedSecret
from supervisor.ports import Archive, Desk

DESCRIPTION = """Keeps the stack alive, scales it, deploys to it, and says why.

Programs say `Authorization: Bearer` with the token in `supervisor_api_token`. Errors are problems by RFC 9457."""


def create_app(
    *,
    settings: ApiSettings,
    reports: ReportSource,
    archive: Archive,
    desk: Desk,
    policies: PolicyBook,
    metrics_registry: CollectorRegistry,
    calls: CallBook,
) -> FastAPI:
    """The application. Raises BrowserFilesMissingError without npm's files, ValueError for a password hash that is
    none."""
    static = load_static_files(settings.static_vendor_dir)
    app = FastAPI(
        title="ModPorter supervisor", description=DESCRIPTION, openapi_url=None, docs_url=None, redoc_url=None
    )
    session_key = _watched(settings, "supervisor_session_key")
    password_hash = _watched(settings, "supervisor_password_hash", is_hash)
    app.state.context = ApiContext(
        settings=settings,
        reports=reports,
        archive=archive,
        desk=desk,
        policies=policies,
        registry=metrics_registry,
        calls=calls,
        gate=Gate(_watched(settings, "supervisor_api_token"), Sessions(session_key, password_hash)),
        password=PasswordCheck(password_hash),
    )
    app.state.renderer = build_renderer(static)
    for module in (probes, services, events, records, commands, policy_routes, alerts, docs):
        app.include_router(module.router)
    app.include_router(policy_routes.changing)
    for module in (sign_in, pages, records_pages, audit_page, policies_page, public):
        app.include_router(module.router)
    app.include_router(static_router(static))
    install_error_handlers(app)
    app.add_middleware(SessionCookieMiddleware)
    app.add_middleware(BodyLimitMiddleware)
    app.add_middleware(OwnNamesMiddleware, public_url=settings.public_url)
    app.add_middleware(SecurityHeadersMiddleware, own=HEADERS)
    app.add_middleware(RequestIdMiddleware)
    return app


def _watched(
    settings: ApiSettings, name: str, is_good: Callable[[str], bool] = lambda text: not is_placeholder(text)
) -> WatchedSecret:
    """The secret of that name in the settings, and from then on that in its file."""
    value: SecretStr = getattr(settings, name)
    return WatchedSecret(value.get_secret_value(), settings.secrets_dir / name, is_good)
