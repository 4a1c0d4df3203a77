"""The overview, a service and a replica: what is now, and how it was lately."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote

from fastapi import APIRouter, Request, Response

from supervisor.api.context import ApiContext, Context, Reader
from supervisor.api.dashboard.rendering import Pages
from supervisor.api.dashboard.uptime import UptimeBars, uptime_bars
from supervisor.domain.records import IncidentRecord
from supervisor.ports import Unavailable

UPTIME_LIFETIME_SECONDS = 30.0
RECENT_INCIDENTS = 5
RECENT_DECISIONS = 20

router = APIRouter(include_in_schema=False)


@dataclass
class UptimeCache:
    """The 90-day bars of all services; they move too slowly to be asked for with every page."""

    _bars: dict[str, UptimeBars] = field(default_factory=dict)
    _taken_at: float = float("-inf")

    async def bars(self, context: ApiContext) -> Mapping[str, UptimeBars]:
        services = context.board.current.services
        if time.monotonic() - self._taken_at > UPTIME_LIFETIME_SECONDS or self._bars.keys() != services.keys():
            try:
                days = await asyncio.gather(*(context.archive.uptime(name) for name in services))
            except Unavailable:
                days = [[] for _ in services]
            self._bars = {name: uptime_bars(each) for name, each in zip(services, days, strict=True)}
            self._taken_at = time.monotonic()
        return self._bars


def uptime_cache_of(request: Request) -> UptimeCache:
    """One per application, made on first use."""
    cache = getattr(request.app.state, "uptime_cache", None)
    if not isinstance(cache, UptimeCache):
        cache = request.app.state.uptime_cache = UptimeCache()
    return cache


@router.get("/")
async def overview(request: Request, context: Context, pages: Pages, reader: Reader) -> Response:
    status = context.board.current
    return pages.page(
        request,
        "overview.html",
        operator=reader,
        status=status,
        services=sorted(status.services.values(), key=lambda each: (not each.is_managed, each.name)),
        bars=await uptime_cache_of(request).bars(context),
        incidents=await _recent_incidents(context),
    )


@router.get("/services/{service}")
async def service(request: Request, context: Context, pages: Pages, reader: Reader, service: str) -> Response:
    found = context.service(service)
    bars = await uptime_cache_of(request).bars(context)
    return pages.page(
        request,
        "service.html",
        operator=reader,
        status=context.board.current,
        service=found,
        bars=bars[service],
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


async def _recent_incidents(context: ApiContext) -> list[IncidentRecord]:
    """The open ones first; none when the history is away, which the page says elsewhere."""
    try:
        found = await context.archive.incidents(limit=RECENT_INCIDENTS)
        still_open = await context.archive.incidents(limit=50, only_open=True)
    except Unavailable:
        return []
    known = {each.id for each in still_open}
    return [*still_open, *(each for each in found if each.id not in known)]
