"""For machines that may ask without a token: is it alive, is it ready, its metrics, and badges."""

from __future__ import annotations

from html import escape

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from common.problems import Problem
from supervisor.api.context import Context
from supervisor.api.states import ServiceState

router = APIRouter(tags=["probes"])

_COLOURS = {ServiceState.UP: "#1e7347", ServiceState.DEGRADED: "#8a5a06", ServiceState.DOWN: "#b3261e"}
_GREY = "#55605b"
_LETTER_WIDTH = 6.6  # of 11 px text, a little generous: the badge sets the length of each text itself


@router.get("/livez", summary="503 when the loop has not ended a cycle for three cycles")
async def livez(context: Context, response: Response) -> dict[str, str | float]:
    response.status_code = 503 if context.is_stale else 200
    return {
        "status": "stuck" if context.is_stale else "alive",
        "cycle_age_seconds": round(context.reports.age_seconds, 1),
    }


@router.get("/readyz", summary="503 until the containers were seen, and while another supervisor is in charge")
async def readyz(context: Context, response: Response) -> dict[str, str]:
    report = context.reports.latest
    if report is None:
        status = "starting"
    elif report.is_standby:
        status = "standby"
    elif context.is_stale:
        status = "stuck"
    else:
        return {"status": "ready"}
    response.status_code = 503
    return {"status": status}


@router.get("/metrics", summary="Prometheus")
async def metrics(context: Context) -> Response:
    return Response(generate_latest(context.registry), media_type=CONTENT_TYPE_LATEST)


@router.get("/badge/{service}.svg", summary="A picture of a service's state", response_class=Response)
async def badge(context: Context, service: str) -> Response:
    """`backend | up 3/3`. 404, still as a picture, for a service that does not exist."""
    status, colour, code = "unknown", _GREY, 404
    try:
        found = context.service(service)
        status, colour, code = f"{found.state} {found.ready}/{found.desired}", _COLOURS.get(found.state, _GREY), 200
    except Problem as problem:
        code = problem.status
    headers = {"Cache-Control": "no-cache"}
    return Response(_badge(service[:40], status, colour), status_code=code, media_type="image/svg+xml", headers=headers)


def _badge(label: str, status: str, colour: str) -> str:
    left, right = (round(len(text) * _LETTER_WIDTH) + 14 for text in (label, status))
    name = escape(f"{label}: {status}")
    texts = "".join(
        f'<text x="{x}" y="14" textLength="{width - 14}" lengthAdjust="spacingAndGlyphs">{escape(text)}</text>'
        for x, width, text in ((7, left, label), (left + 7, right, status))
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + right}" height="20" role="img" '
        f'aria-label="{name}"><clipPath id="r"><rect width="{left + right}" height="20" rx="4"/>'
        f'</clipPath><g clip-path="url(#r)"><rect width="{left}" height="20" fill="#2b3431"/>'
        f'<rect x="{left}" width="{right}" height="20" fill="{colour}"/></g>'
        f'<g fill="#fff" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11">{texts}</g></svg>'
    )
