"""Gives every request an id and one log line, and turns a bug into a plain 500 that carries the id.

The outermost middleware of each service: `app.add_middleware(RequestIdMiddleware)` after all others.
"""

from __future__ import annotations

import re
import time
import uuid

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from common.problems import problem_response, unexpected_problem

HEADER = "X-Request-ID"
ACCEPTED_ID = re.compile(r"[A-Za-z0-9-]{8,64}")

log = structlog.stdlib.get_logger("request")


class RequestIdMiddleware:
    """Pure ASGI, so that streams and disconnects pass through untouched."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id = accepted_or_new(Headers(scope=scope).get(HEADER))
        status = 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[HEADER] = request_id
            await send(message)

        started = time.perf_counter()
        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                await self.app(scope, receive, send_with_id)
            except Exception:
                log.exception("unexpected error", method=scope["method"], path=scope["path"])
                if status:  # the answer has begun: only a broken connection can tell the client now
                    raise
                await problem_response(unexpected_problem())(scope, receive, send_with_id)
            if not is_operators(scope["path"]):
                milliseconds = round((time.perf_counter() - started) * 1000, 1)
                log.info("served", method=scope["method"], path=scope["path"], status=status, duration_ms=milliseconds)


def is_operators(path: str) -> bool:
    """Whether an address is asked every few seconds by what looks after the service: neither logged nor counted."""
    return path == "/metrics" or path == "/health" or path.startswith("/health/")


def accepted_or_new(request_id: str | None) -> str:
    """The caller's id when it is harmless to log and echo, else a new one."""
    if request_id is not None and ACCEPTED_ID.fullmatch(request_id):
        return request_id
    return str(uuid.uuid4())


def current_request_id() -> str | None:
    """The id of the request being served, to pass on to other services; None outside a request."""
    value = structlog.contextvars.get_contextvars().get("request_id")
    return value if isinstance(value, str) else None
