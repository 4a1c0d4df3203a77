"""Around every request: the session's cookie on the answers, an end for bodies too large and for names that are not
ours; and the headers that the supervisor's page adds to those of every page."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from common.problems import Problem, problem_response
from supervisor.api.auth import COOKIE, SESSION_SECONDS

BODY_MAX_BYTES = 1_000_000
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}  # beside those of common/page_headers.py


class SessionCookieMiddleware:
    """Sends the session's cookie when a route has left one in `request.state.session_cookie`; empty: it is deleted."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_cookie(message: Message) -> None:
            value = scope.get("state", {}).get("session_cookie")
            if message["type"] == "http.response.start" and value is not None:
                secure = "; Secure" if scope["scheme"] == "https" else ""
                seconds = SESSION_SECONDS if value else 0
                cookie = f"{COOKIE}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}"
                MutableHeaders(scope=message).append("Set-Cookie", cookie)
            await send(message)

        await self.app(scope, receive, send_with_cookie if scope["type"] == "http" else send)


class OwnNamesMiddleware:
    """421 for a request by a name that anybody could own: with DNS rebinding another site's page, open in a browser on
    this machine, would otherwise be this page's own origin, read what needs no sign-in, and guess passwords."""

    def __init__(self, app: ASGIApp, public_url: str) -> None:
        self.app = app
        self._public_name = urlsplit(public_url).hostname or "localhost"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not self._is_own(Headers(scope=scope).get("host", "")):
            detail = f"This is not reached by that name: use localhost, an IP address or {self._public_name}."
            await problem_response(Problem(421, "host_unknown", detail))(scope, receive, send)
            return
        await self.app(scope, receive, send)

    def _is_own(self, host: str) -> bool:
        """Addresses, names without a dot (localhost, those of containers), names that nobody can register, and the
        platform's own with those below it, for whoever puts a proxy in front."""
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        if name.endswith((".localhost", ".internal", f".{self._public_name}")) or name == self._public_name:
            return True
        return ("." not in name and bool(name)) or _is_address(name)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


class BodyLimitMiddleware:
    """413 for a body of more than a megabyte, before it is read; one of untold length ends there as a broken one."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        length = Headers(scope=scope).get("content-length", "0")
        if not length.isdecimal() or int(length) > BODY_MAX_BYTES:
            detail = f"A request's body may have {BODY_MAX_BYTES:,} bytes."
            await problem_response(Problem(413, "body_too_large", detail))(scope, receive, send)
            return
        received = 0

        async def receive_limited() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b"")) if message["type"] == "http.request" else 0
            return {"type": "http.disconnect"} if received > BODY_MAX_BYTES else message

        await self.app(scope, receive_limited, send)
