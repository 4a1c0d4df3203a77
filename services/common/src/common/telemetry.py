"""Counts and times the requests of a service, and tells Prometheus at /metrics. NGINX keeps that route private.

`install_telemetry` is called by each service's `create_app` after all other middleware. Requests to /health and
/metrics are the operators' own and count nowhere.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any

from fastapi import FastAPI, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Gauge, Histogram, Info, generate_latest
from prometheus_client.process_collector import ProcessCollector
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from common.load import Load, load_of
from common.requests import is_operators
from common.settings import ServiceSettings

# Fine where p95 targets lie (0.1 to 1 s), and up to what NGINX waits.
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.5, 5.0, 10.0, 30.0)
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
UNMATCHED = "unmatched"
EVENT_STREAM = "text/event-stream"


@dataclass(slots=True)
class Telemetry:
    """A service adds its own metrics to `registry`; `before_scrape` brings those up to date that must be asked for."""

    registry: CollectorRegistry
    before_scrape: list[Callable[[], Awaitable[None]]] = field(default_factory=list)


def install_telemetry(app: FastAPI, settings: ServiceSettings) -> Telemetry:
    """Add the middleware and the route /metrics."""
    telemetry = Telemetry(CollectorRegistry())
    load = load_of(app)
    duration = Histogram(
        "http_request_duration_seconds",
        "Time to the first byte of the answer",
        ["method", "route", "status_class"],
        buckets=BUCKETS,
        registry=telemetry.registry,
    )
    in_progress = Gauge(
        "http_requests_in_progress", "Requests that are being answered, streams included", registry=telemetry.registry
    )
    in_progress.set_function(lambda: load.requests + load.streams)
    build = Info("modporter_build", "Which service this is, and its version", registry=telemetry.registry)
    build.info({"service": settings.service_name, "version": settings.service_version})
    ProcessCollector(registry=telemetry.registry)

    @app.get("/metrics", include_in_schema=False)
    async def metrics() -> Response:
        for bring_up_to_date in telemetry.before_scrape:
            await bring_up_to_date()
        return Response(generate_latest(telemetry.registry), media_type=CONTENT_TYPE_LATEST)

    app.add_middleware(TelemetryMiddleware, load=load, duration=duration)
    return telemetry


class TelemetryMiddleware:
    """Pure ASGI, outermost, so that it sees what the client sees."""

    def __init__(self, app: ASGIApp, load: Load, duration: Histogram) -> None:
        self.app = app
        self._load = load
        self._duration = duration

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket") or is_operators(scope["path"]):
            await self.app(scope, receive, send)
            return
        began = time.perf_counter()
        load, is_stream = self._load, False

        async def send_timed(message: Message) -> None:
            nonlocal is_stream
            if message["type"] == "http.response.start":
                self._observe(scope, message["status"], time.perf_counter() - began)
                if not is_stream and Headers(scope=message).get("content-type", "").startswith(EVENT_STREAM):
                    is_stream = True
                    load.requests -= 1
                    load.streams += 1
            await send(message)

        load.requests += 1
        try:
            await self.app(scope, receive, send_timed)
        finally:
            if is_stream:
                load.streams -= 1
            else:
                load.requests -= 1

    def _observe(self, scope: Scope, status: int, seconds: float) -> None:
        method = scope["method"] if scope["method"] in METHODS else "other"
        self._duration.labels(method, route_of(scope), f"{status // 100}xx").observe(seconds)


def route_of(scope: MutableMapping[str, Any]) -> str:
    """The template of the route that answered, such as /api/v1/conversions/{conversion_id}: never a part of an id."""
    route = scope.get("route")
    path: str = scope["path"]
    if route is not None:
        return _prefix(path, route) + str(route.path)
    if scope.get("endpoint") is None:
        return UNMATCHED
    # A mounted application (static files) is one route, whatever it serves; a plain route has no parameters.
    return scope.get("root_path") or (UNMATCHED if scope.get("path_params") else path)


def _prefix(path: str, route: Any) -> str:
    """What the routers around the route put in front of its own template; prefixes have no parameters."""
    start = 0
    while start >= 0:
        if route.path_regex.match(path[start:]):
            return path[:start]
        start = path.find("/", start + 1)
    return ""
