"""The public view, which NGINX shows at /status/: words, bars and what went wrong; nothing that names a machine.

Everything that it shows is chosen here, word by word: no title, sentence or reason of the supervisor's gets through,
because those hold names of replicas, images and addresses. Links are relative, so that any prefix will do.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from fastapi import APIRouter, Request, Response

from supervisor.api.context import ApiContext, Context
from supervisor.api.dashboard.rendering import renderer_of
from supervisor.api.dashboard.trends import trends_of
from supervisor.api.dashboard.uptime import UptimeBars
from supervisor.api.states import ServiceState
from supervisor.domain.records import IncidentRecord
from supervisor.ports import Unavailable

INCIDENTS = 10
KEEP_SECONDS = 2

router = APIRouter(include_in_schema=False)

_TITLES: Mapping[str, str] = {
    "crash": "a replica stopped unexpectedly",
    "hang": "a replica stopped answering",
    "unhealthy": "a replica was not well",
    "never_ready": "a replica did not start",
    "flapping": "a replica kept stopping",
    "oom": "a replica ran out of memory",
    "dependency": "something that it needs was not available",
    "below_min": "fewer replicas than planned",
    "rollback": "an update was taken back",
    "balancer": "requests could not be distributed as planned",
    "docker": "the containers could not be observed",
}
_SENTENCES = {
    ServiceState.UP: "Everything is up.",
    ServiceState.DEGRADED: "Some parts are slower or weaker than usual.",
    ServiceState.DOWN: "Some parts do not answer.",
    ServiceState.STOPPED: "Everything is stopped.",
    ServiceState.UNKNOWN: "The state is not known right now.",
}


@dataclass(frozen=True, slots=True)
class PublicService:
    name: str
    state: str
    bars: UptimeBars


@dataclass(frozen=True, slots=True)
class PublicIncident:
    title: str
    opened_at: datetime
    closed_at: datetime | None


@router.get("/public/")
async def public(request: Request, context: Context) -> Response:
    """The page, with an ETag, so that asking every ten seconds costs next to nothing."""
    content = await _content(request, context)
    etag = f'"{hashlib.sha256(content.encode()).hexdigest()[:20]}"'
    headers = {"ETag": etag, "Cache-Control": f"public, max-age={KEEP_SECONDS}"}
    if request.headers.get("if-none-match") == etag:
        return Response(status_code=304, headers=headers)
    return Response(content, media_type="text/html; charset=utf-8", headers=headers)


async def _content(request: Request, context: ApiContext) -> str:
    """The page as text; anybody may ask, so it is made at most once a report."""
    report = context.reports.latest
    kept = getattr(request.app.state, "public_content", None)
    if report is not None and kept is not None and kept[0] is report and kept[1] == context.is_stale:
        return str(kept[2])
    status = context.board.current
    state = ServiceState.UNKNOWN if context.is_stale else status.state
    trends = await trends_of(request).of_all(context)
    services = [
        PublicService(each.name, str(ServiceState.UNKNOWN if context.is_stale else each.state), trends[each.name].bars)
        for each in status.services.values()
        if each.is_managed or each.state is not ServiceState.STOPPED  # a one-shot that has done its work serves nobody
    ]
    content = renderer_of(request).html(
        "public.html",
        state=str(state),
        sentence=_SENTENCES[state],
        services=services,
        incidents=await _incidents(context),
    )
    request.app.state.public_content = (report, context.is_stale, content)
    return content


async def _incidents(context: ApiContext) -> list[PublicIncident]:
    try:
        found = await context.archive.incidents(limit=INCIDENTS)
    except Unavailable:
        return []
    return [PublicIncident(public_title(each), each.opened_at, each.closed_at) for each in found]


def public_title(incident: IncidentRecord) -> str:
    """Such as "backend: a replica stopped answering"."""
    text = _TITLES.get(incident.kind, "something was not as it should be")
    return f"{incident.service}: {text}" if incident.service else text.capitalize()
