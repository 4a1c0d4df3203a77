"""Reading what happened: decisions, incidents, rollouts, audit. Newest first; `before` goes on from an id."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from common.problems import Problem
from supervisor.api.context import Context, Reader
from supervisor.domain.records import AuditRecord, DecisionRecord, IncidentRecord, RolloutRecord
from supervisor.ports import AuditSource

router = APIRouter(prefix="/api", tags=["history"])

Service = Annotated[str, Query(max_length=64, description="only of this service")]
Limit = Annotated[int, Query(ge=1, le=500)]
Before = Annotated[int | None, Query(ge=1, description="only older than this id")]


@router.get("/decisions", summary="What was concluded, why and why not, and what came of it")
async def decisions(
    context: Context,
    _reader: Reader,
    service: Service = "",
    limit: Limit = 50,
    before: Before = None,
    only_actions: bool = False,
) -> list[DecisionRecord]:
    return await context.archive.decisions(service=service, limit=limit, before=before, only_actions=only_actions)


@router.get("/incidents", summary="What went wrong, opened and closed by itself")
async def incidents(
    context: Context,
    _reader: Reader,
    service: Service = "",
    limit: Limit = 50,
    before: Before = None,
    only_open: bool = False,
) -> list[IncidentRecord]:
    return await context.archive.incidents(service=service, limit=limit, before=before, only_open=only_open)


@router.get("/incidents/{incident_id}", summary="One incident with its timeline and log tail")
async def incident(context: Context, _reader: Reader, incident_id: int) -> IncidentRecord:
    found = await context.archive.incident(incident_id)
    if found is None:
        raise Problem(404, "incident_unknown", f"There is no incident {incident_id}.")
    return found


@router.get("/rollouts", summary="Deployments and rollbacks with their steps")
async def rollouts(context: Context, _reader: Reader, service: Service = "", limit: Limit = 50) -> list[RolloutRecord]:
    return await context.archive.rollouts(service=service, limit=limit)


@router.get("/audit", summary="What operators asked for and what was asked of Docker, also what was refused")
async def audit(
    context: Context,
    _reader: Reader,
    response: Response,
    limit: Limit = 50,
    before: Before = None,
    source: Annotated[AuditSource, Query(description="only what operators asked for, or only calls to Docker")] = "",
    only_refused: bool = False,
) -> list[AuditRecord]:
    """Calls to Docker are docker-guard's. While it is away, X-Audit-Problem says that some may be missing."""
    await context.calls.collect()
    if context.calls.problem:
        response.headers["X-Audit-Problem"] = context.calls.problem.encode("ascii", "replace").decode()
    return await context.archive.audit(limit=limit, before=before, source=source, only_refused=only_refused)
