"""Reading: what is now, and how it was. From the last report and the archive, never from Docker."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Query, Response

from common.problems import Problem
from supervisor.api.context import Context, Reader
from supervisor.api.schemas import HealthyAnswer, ServiceStatus, Status
from supervisor.api.series import SERIES_NAMES, thinned
from supervisor.ports import Series, Unavailable

router = APIRouter(prefix="/api", tags=["status"])

HOURS_MAX = 24 * 90


@router.get("/status", response_model_exclude_none=True, summary="Everything about now")
async def status(context: Context, _reader: Reader) -> Status:
    return context.board.current


@router.get("/services", response_model_exclude_none=True, summary="All services with their replicas")
async def services(context: Context, _reader: Reader) -> list[ServiceStatus]:
    return list(context.board.current.services.values())


@router.get("/services/{service}", response_model_exclude_none=True, summary="One service with its replicas")
async def service(context: Context, _reader: Reader, service: str) -> ServiceStatus:
    return context.service(service)


@router.get("/services/{service}/healthy", summary="The status code is the answer: 200 or 503")
async def healthy(
    context: Context,
    _reader: Reader,
    response: Response,
    service: str,
    min_ready: Annotated[int | None, Query(alias="min", ge=0, le=1000)] = None,
) -> HealthyAnswer:
    """Whether at least `min` replicas are ready (absent: the policy's min_ready), as of a cycle that is not stale."""
    found = context.service(service)
    policy = context.policy(service)
    wanted = min_ready if min_ready is not None else policy.heal.min_ready if policy else 1
    is_healthy = found.ready >= wanted and not context.is_stale
    response.status_code = 200 if is_healthy else 503
    return HealthyAnswer(service=service, is_healthy=is_healthy, ready=found.ready, min=wanted)


@router.get("/services/{service}/series", summary="Recorded numbers over time, by name")
async def series(
    context: Context,
    _reader: Reader,
    service: str,
    hours: Annotated[float, Query(gt=0, le=HOURS_MAX)] = 3,
    replica: Annotated[str, Query(max_length=128)] = "",
) -> dict[str, Series]:
    """Pairs of unix seconds and value. A replica has cpu_ratio, memory_ratio, requests_per_second and p95_seconds; a
    service has ready, running and desired as well."""
    context.service(service)
    report = context.reports.latest
    assert report is not None  # noqa: S101 - context.service() has answered 503 otherwise
    since = report.snapshot.wall - timedelta(hours=hours)
    names = SERIES_NAMES[:4] if replica else SERIES_NAMES
    try:
        return {
            name: thinned(await context.archive.series(service, name, since=since, replica=replica)) for name in names
        }
    except Unavailable as error:
        raise Problem(503, "history_unavailable", str(error)) from error
