"""The overview, a service and a replica: what is now, and how it was lately."""

from __future__ import annotations

from urllib.parse import quote

from fastapi import APIRouter, Request, Response

from supervisor.api.context import ApiContext, Context, Reader
from supervisor.api.dashboard.rendering import Pages
from supervisor.api.dashboard.trends import trends_of
from supervisor.api.schemas import ServiceStatus
from supervisor.api.states import ServiceState
from supervisor.domain.records import IncidentRecord
from supervisor.ports import Unavailable

RECENT_INCIDENTS = 5
RECENT_DECISIONS = 20

router = APIRouter(include_in_schema=False)


@router.get("/")
async def overview(request: Request, context: Context, pages: Pages, reader: Reader) -> Response:
    status = context.board.current
    return pages.page(
        request,
        "overview.html",
        operator=reader,
        status=status,
        services=sorted(status.services.values(), key=_urgency),
        trends=await trends_of(request).of_all(context),
        incidents=await _recent_incidents(context),
    )


@router.get("/services/{service}")
async def service(request: Request, context: Context, pages: Pages, reader: Reader, service: str) -> Response:
    found = context.service(service)
    trends = await trends_of(request).of_all(context)
    return pages.page(
        request,
        "service.html",
        operator=reader,
        status=context.board.current,
        service=found,
        bars=trends[service].bars,
        decisions=await context.archive.decisions(service=service, limit=RECENT_DECISIONS),
        incidents=await context.archive.incidents(service=service, limit=RECENT_INCIDENTS),
        is_scaled=found.max is not None,
    )


@router.get("/services/{service}/replicas/{replica}")
async def replica(
    request: Request, context: Context, pages: Pages, reader: Reader, service: str, replica: str
) -> Response:
    view = context.replica(service, replica)
    found = context.service(service)
    incidents = await context.archive.incidents(service=service, limit=100)
    return pages.page(
        request,
        "replica.html",
        operator=reader,
        status=context.board.current,
        service=found,
        replica=found.replicas[view.name],
        view=view,
        incident=next((each for each in incidents if each.replica == view.name), None),
        links=replica_links(context, service, view.name),
    )


def replica_links(context: ApiContext, service: str, replica: str) -> dict[str, str]:
    """Where else to look at this replica: only what is configured."""
    settings = context.settings
    known = {"Grafana": settings.grafana_url, "Logs": settings.loki_url, "Traces": settings.jaeger_url}
    return {
        name: url.replace("{service}", quote(service, safe="")).replace("{replica}", quote(replica, safe=""))
        for name, url in known.items()
        if url
    }


def _urgency(service: ServiceStatus) -> tuple[bool, bool, bool, str]:
    """What needs somebody comes first; what nobody looks after comes last."""
    is_down, is_degraded = (service.state is state for state in (ServiceState.DOWN, ServiceState.DEGRADED))
    return not is_down, not is_degraded, not service.is_managed, service.name


async def _recent_incidents(context: ApiContext) -> list[IncidentRecord]:
    """The open ones first; none when the history is away, which the page says elsewhere."""
    try:
        found = await context.archive.incidents(limit=RECENT_INCIDENTS)
        still_open = await context.archive.incidents(limit=50, only_open=True)
    except Unavailable:
        return []
    known = {each.id for each in still_open}
    return [*still_open, *(each for each in found if each.id not in known)]
