"""Live progress: the backend's events as HTML fragments, and the same by polling where a stream does not get through.

    backend SSE --progress--> "stage" (when it changed) and "progress" fragments --> swapped in by htmx
                --completed/failed--> "finished" --> the page asks /progress, which answers with the whole result

The browser reconnects by itself when the stream ends early (backend away, replica leaving).
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from typing import TypeVar
from uuid import UUID

import structlog
from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse
from pydantic import BaseModel, ConfigDict, ValidationError
from sse_starlette import EventSourceResponse, ServerSentEvent

from common.drain import Drain, drain_of
from frontend.backend_client import BackendAwayError, BackendRefusedError, Visitor
from frontend.messages import STAGES
from frontend.pages.conversions import finished_context, result_context
from frontend.pages.requests import PageRenderer, PageVisitor
from frontend.rendering import Renderer

RECONNECT_MS = 1500
HEARTBEAT_SECONDS = 15

Event = TypeVar("Event")

log = structlog.stdlib.get_logger("live")
router = APIRouter()


class Progress(BaseModel):
    """The part of a conversion that changes while it runs."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    stage: str | None = None
    progress: float = 0.0


@router.get("/conversions/{conversion_id}/events")
async def events(
    request: Request, renderer: PageRenderer, visitor: PageVisitor, conversion_id: UUID
) -> EventSourceResponse:
    """Server-sent fragments until the conversion is finished or either side leaves."""
    await visitor.conversion(conversion_id)  # a 404 must be an answer, not a stream that reconnects for ever
    fragments = _fragments(renderer, visitor, conversion_id, drain_of(request.app))
    return EventSourceResponse(fragments, ping=HEARTBEAT_SECONDS, headers={"Cache-Control": "no-store"})


@router.get("/conversions/{conversion_id}/progress")
async def progress(request: Request, renderer: PageRenderer, visitor: PageVisitor, conversion_id: UUID) -> HTMLResponse:
    """The progress fragment; once finished, the result, which takes the place of the whole live part."""
    conversion = await visitor.conversion(conversion_id)
    if not conversion.is_finished:
        return renderer.page(request, "_progress.html", visitor=visitor, conversion=conversion)
    context = await result_context(visitor, conversion)
    context |= finished_context(conversion, request.app.state.settings.max_upload_mb)
    headers = {"HX-Retarget": "#live", "HX-Reswap": "outerHTML"}
    return renderer.page(request, "_finished.html", visitor=visitor, headers=headers, **context)


async def _fragments(
    renderer: Renderer, visitor: Visitor, conversion_id: UUID, drain: Drain
) -> AsyncIterator[ServerSentEvent]:
    stage: str | None = None
    try:
        async for event in until_leaving(visitor.events(conversion_id), drain):
            if event.name in ("completed", "failed"):
                yield ServerSentEvent(event="finished", data=event.name)
                return
            current = Progress.model_validate_json(event.data)
            if current.stage != stage:
                stage = current.stage
                yield ServerSentEvent(event="stage", data=dict(STAGES).get(stage or "", ""), retry=RECONNECT_MS)
            yield ServerSentEvent(event="progress", data=renderer.html("_progress.html", conversion=current))
    except (BackendAwayError, BackendRefusedError, ValidationError) as error:
        log.warning("stream ended early", conversion_id=str(conversion_id), reason=str(error))


async def until_leaving(events: AsyncGenerator[Event, None], drain: Drain) -> AsyncGenerator[Event, None]:
    """The events until there are no more, this replica begins to leave, or nobody listens; then closes their source."""
    leaving = asyncio.ensure_future(drain.wait())
    upcoming: asyncio.Future[Event | None] | None = None
    try:
        while True:
            upcoming = asyncio.ensure_future(anext(events, None))
            await asyncio.wait({upcoming, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if not upcoming.done() or (event := upcoming.result()) is None:
                return
            yield event
    finally:
        leaving.cancel()
        if upcoming is not None:
            upcoming.cancel()  # a generator can be closed only when it is not running
            await asyncio.gather(upcoming, return_exceptions=True)
        await events.aclose()
