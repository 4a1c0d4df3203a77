"""What happened: decisions, incidents and rollouts, newest first, a page of fifty at a time."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from common.problems import Problem
from supervisor.api.context import Context, Reader
from supervisor.api.dashboard.paging import Before, paged
from supervisor.api.dashboard.rendering import Pages

PAGE_SIZE = 50

router = APIRouter(include_in_schema=False)

Service = Annotated[str, Query(max_length=64)]


@router.get("/decisions")
async def decisions(
    request: Request,
    context: Context,
    pages: Pages,
    reader: Reader,
    service: Service = "",
    before: Before = None,
    only_actions: bool = False,
) -> Response:
    found = await context.archive.decisions(
        service=service, limit=PAGE_SIZE + 1, before=before, only_actions=only_actions
    )
    shown, older = paged(found, {"service": service, "only_actions": "true" if only_actions else ""}, PAGE_SIZE)
    return pages.page(
        request,
        "decisions.html",
        operator=reader,
        status=context.board.current,
        decisions=shown,
        older=older,
        service=service,
        only_actions=only_actions,
        is_first=before is None,
    )


@router.get("/incidents")
async def incidents(
    request: Request, context: Context, pages: Pages, reader: Reader, service: Service = "", before: Before = None
) -> Response:
    found = await context.archive.incidents(service=service, limit=PAGE_SIZE + 1, before=before)
    shown, older = paged(found, {"service": service}, PAGE_SIZE)
    return pages.page(
        request,
        "incidents.html",
        operator=reader,
        status=context.board.current,
        incidents=shown,
        older=older,
        service=service,
        is_first=before is None,
    )


@router.get("/incidents/{incident_id}")
async def incident(request: Request, context: Context, pages: Pages, reader: Reader, incident_id: int) -> Response:
    found = await context.archive.incident(incident_id)
    if found is None:
        raise Problem(404, "incident_unknown", f"There is no incident {incident_id}.")
    return pages.page(request, "incident.html", operator=reader, status=context.board.current, incident=found)


@router.get("/rollouts")
async def rollouts(request: Request, context: Context, pages: Pages, reader: Reader, service: Service = "") -> Response:
    status = context.board.current
    running = [each for each in status.services.values() if each.rollout is not None]
    return pages.page(
        request,
        "rollouts.html",
        operator=reader,
        status=status,
        running=[each for each in running if service in ("", each.name)],
        rollouts=await context.archive.rollouts(service=service, limit=PAGE_SIZE),
        service=service,
    )
