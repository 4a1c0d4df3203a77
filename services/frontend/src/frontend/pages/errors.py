"""Pages for what goes wrong: not found, refused, too fast, backend away, and a bug of our own."""

from dataclasses import dataclass

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from common.requests import current_request_id
from frontend.backend_client import BackendAwayError, BackendRefusedError
from frontend.rendering import Renderer

log = structlog.stdlib.get_logger("pages")


@dataclass(frozen=True, slots=True)
class ErrorText:
    title: str
    advice: str


_TEXTS = {
    403: ErrorText("That was not sent from this page", "Go back, reload the page and try again."),
    404: ErrorText(
        "There is nothing here",
        "The address may be mistyped, the conversion deleted, or it belongs to another browser: "
        "conversions are shown only to whoever uploaded them.",
    ),
    405: ErrorText("This page cannot do that", "Go to the start page and try again from there."),
    429: ErrorText("That was a little too fast", "Wait a moment, then reload this page."),
    500: ErrorText(
        "Something broke on our side", "It was logged. Try again; if it stays, report it with the number below."
    ),
    503: ErrorText(
        "Back in a moment",
        "The converter is restarting or under maintenance. "
        "Running conversions go on meanwhile; reload in a few seconds.",
    ),
}


def install_error_pages(app: FastAPI) -> None:
    """Every expected error becomes a page; unexpected ones are FriendlyErrorMiddleware's."""
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(RequestValidationError, _on_bad_address)
    app.add_exception_handler(BackendRefusedError, _on_backend_problem)
    app.add_exception_handler(BackendAwayError, _on_backend_away)
    app.add_exception_handler(ValidationError, _on_strange_answer)


class FriendlyErrorMiddleware:
    """A bug gets a page as well, unless the answer has begun."""

    def __init__(self, app: ASGIApp, renderer: Renderer) -> None:
        self.app = app
        self.renderer = renderer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        has_begun = False

        async def send_noting_begin(message: Message) -> None:
            nonlocal has_begun
            has_begun = True
            await send(message)

        try:
            await self.app(scope, receive, send_noting_begin)
        except Exception:
            if has_begun:
                raise
            log.exception("page failed", path=scope["path"])
            await _error_page(Request(scope), 500, self.renderer)(scope, receive, send)


def _error_page(request: Request, status: int, renderer: Renderer | None = None) -> HTMLResponse:
    shown = status if status in _TEXTS else (404 if status < 500 else 500)
    headers = {"Retry-After": "5"} if status == 503 else {}
    pages = renderer or request.app.state.renderer
    return pages.page(
        request,
        "error.html",
        status=status,
        headers=headers,
        text=_TEXTS[shown],
        code=status,
        reference=current_request_id(),
    )


async def _on_http_exception(request: Request, exc: Exception) -> HTMLResponse:
    return _error_page(request, exc.status_code if isinstance(exc, HTTPException) else 500)


async def _on_bad_address(request: Request, _exc: Exception) -> HTMLResponse:
    return _error_page(request, 404)


async def _on_backend_problem(request: Request, exc: Exception) -> HTMLResponse:
    status = exc.status if isinstance(exc, BackendRefusedError) else 500
    if status >= 500:
        log.error("backend failed", path=request.url.path, reason=str(exc))
        return _error_page(request, 503)
    return _error_page(request, status)


async def _on_backend_away(request: Request, exc: Exception) -> HTMLResponse:
    log.warning("backend away", path=request.url.path, reason=str(exc))
    return _error_page(request, 503)


async def _on_strange_answer(request: Request, exc: Exception) -> HTMLResponse:
    log.error("backend's answer not understood", path=request.url.path, reason=str(exc))
    return _error_page(request, 503)
