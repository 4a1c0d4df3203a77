"""Alertmanager's webhook. What fires is shown on the page until it is told to be over."""

from __future__ import annotations

from fastapi import APIRouter, Request

from supervisor.api.alerts import AlertmanagerMessage
from supervisor.api.audit import AuditedRoute
from supervisor.api.context import Changer, Context

router = APIRouter(tags=["alerts"], route_class=AuditedRoute)


@router.post("/alerts", summary="Alertmanager's webhook, version 4")
async def alerts(context: Context, _operator: Changer, request: Request, body: AlertmanagerMessage) -> dict[str, int]:
    """Answers with the number of alerts that fire now. Repetitions are not audited."""
    request.state.audit = "; ".join(context.alerts.take(body.alerts))
    return {"active": len(context.alerts.active)}
