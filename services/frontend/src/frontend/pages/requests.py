"""What every page takes from its request: the renderer, and the backend on behalf of the visitor."""

from typing import Annotated

from fastapi import Depends, Request

from common.requests import current_request_id
from frontend.backend_client import Visitor
from frontend.rendering import Renderer


def _renderer(request: Request) -> Renderer:
    renderer = request.app.state.renderer
    assert isinstance(renderer, Renderer)  # noqa: S101 - create_app put it there
    return renderer


def _visitor(request: Request) -> Visitor:
    """The visitor's cookie, address and request id go along, and nothing else of what they sent."""
    headers = {"Accept": "application/json"}
    if cookie := request.headers.get("cookie"):
        headers["Cookie"] = cookie
    if request_id := current_request_id():
        headers["X-Request-ID"] = request_id
    if request.client is not None:
        headers["X-Forwarded-For"] = request.client.host
    return Visitor(request.app.state.backend, headers)


def is_htmx(request: Request) -> bool:
    """Whether htmx asks for a fragment (and not, while going back in its history, for the whole page)."""
    return "hx-request" in request.headers and "hx-history-restore-request" not in request.headers


PageRenderer = Annotated[Renderer, Depends(_renderer)]
PageVisitor = Annotated[Visitor, Depends(_visitor)]
