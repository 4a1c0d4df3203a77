"""The event stream: the whole status once, then per cycle what changed in it.

    event: status   the document of /api/status
    event: patch    an RFC 7396 merge patch of that document, once a cycle; at least the cycle's number and time

A reader that is slow gets one patch over several cycles instead of a queue of them. The stream ends when the session
does, or the token is another one, and when the supervisor stops.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing

from fastapi import APIRouter
from fastapi.responses import Response
from sse_starlette import EventSourceResponse, ServerSentEvent

from common.problems import Problem
from supervisor.api.auth import Operator
from supervisor.api.context import ApiContext, Context, Reader
from supervisor.api.merge_patch import Document, merge_patch
from supervisor.ports import CycleReport

WATCHERS_MAX = 64
HEARTBEAT_SECONDS = 15
RECONNECT_MS = 2000
SEND_TIMEOUT_SECONDS = 30.0

router = APIRouter(prefix="/api", tags=["status"])


@router.get("/events", response_class=EventSourceResponse, summary="Server-sent events: what changed, once a cycle")
async def events(context: Context, reader: Reader) -> Response:
    if context.reports.watchers >= WATCHERS_MAX:
        raise Problem(503, "too_many_streams", f"{WATCHERS_MAX} event streams are open already.")
    return EventSourceResponse(_stream(context, reader), ping=HEARTBEAT_SECONDS, send_timeout=SEND_TIMEOUT_SECONDS)


async def _stream(context: ApiContext, reader: Operator) -> AsyncGenerator[ServerSentEvent, None]:
    gate = context.gate
    lasts_seconds = gate.sessions.seconds_left(reader.session) if reader.session else None
    known: Document = {}
    async with aclosing(_until(context.reports.subscribe(), lasts_seconds)) as reports:
        async for report in reports:
            if gate.is_over(reader):
                return
            document = context.board.document
            name, body = ("patch", merge_patch(known, document)) if known else ("status", document)
            known = document
            data = json.dumps(body, separators=(",", ":"))
            yield ServerSentEvent(event=name, data=data, id=str(report.cycle), retry=RECONNECT_MS)


async def _until(
    reports: AsyncGenerator[CycleReport, None], lasts_seconds: float | None
) -> AsyncGenerator[CycleReport, None]:
    """The reports of the next so many seconds (None: all), then closes their source."""
    now = asyncio.get_running_loop().time
    ends_at = now() + lasts_seconds if lasts_seconds is not None else None
    async with aclosing(reports):
        while True:
            try:
                yield await asyncio.wait_for(anext(reports), ends_at - now() if ends_at is not None else None)
            except (TimeoutError, StopAsyncIteration):
                return
