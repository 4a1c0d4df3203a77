"""Keeps answers of the API out of shared caches: they belong to one tenant, told apart by a cookie."""

from __future__ import annotations

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class NoStoreMiddleware:
    """`Cache-Control: no-store` on every answer below /api/v1 that does not say otherwise."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_uncached(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).setdefault("Cache-Control", "no-store")
            await send(message)

        is_api = scope["type"] == "http" and scope["path"].startswith("/api/v1/")
        await self.app(scope, receive, send_uncached if is_api else send)
