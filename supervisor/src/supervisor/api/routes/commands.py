"""Changing: scale, restart, drain, deploy, roll back, pause, resume. Each waits for the cycle that considers it."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

from fastapi import APIRouter

from common.problems import Problem
from supervisor.api import schemas
from supervisor.api.audit import AuditedRoute
from supervisor.api.context import ApiContext, Changer, Context
from supervisor.api.schemas import CommandAnswer, ServiceStatus, Undo
from supervisor.domain.command import Command, Deploy, DrainOne, Pause, RestartOne, Resume, RollBack, ScaleTo
from supervisor.domain.policy import ServicePolicy

ANSWER_SECONDS = 20.0

router = APIRouter(
    prefix="/api/services/{service}",
    tags=["commands"],
    route_class=AuditedRoute,
    responses={status: {"model": schemas.Problem} for status in (401, 403, 404, 409, 422, 503)},
)


@router.post("/scale", status_code=202, summary="Set the number of replicas, and keep it for a time")
async def scale(context: Context, operator: Changer, service: str, body: schemas.ScaleRequest) -> CommandAnswer:
    found, policy = managed(context, service)
    replicas = wanted_replicas(body.replicas, policy)
    command = ScaleTo(**_identity(service, operator.by), replicas=replicas, hold_seconds=body.hold_seconds)
    text = f"{service} is scaled from {found.desired} to {replicas} replicas."
    return await carry_out(context, command, text, Undo(action="scale", body={"replicas": found.desired}))


@router.post("/restart", status_code=202, summary="Drain a replica, and start it again")
async def restart(context: Context, operator: Changer, service: str, body: schemas.ReplicaRequest) -> CommandAnswer:
    managed(context, service)
    replica = context.replica(service, body.replica)
    command = RestartOne(**_identity(service, operator.by), replica_id=replica.id)
    return await carry_out(context, command, f"{replica.name} finishes what it has in hand, then starts again.")


@router.post("/drain", status_code=202, summary="Take a replica out of the load balancer until resumed")
async def drain(context: Context, operator: Changer, service: str, body: schemas.ReplicaRequest) -> CommandAnswer:
    managed(context, service)
    replica = context.replica(service, body.replica)
    command = DrainOne(**_identity(service, operator.by), replica_id=replica.id)
    text = f"{replica.name} gets no new requests until {service} is resumed."
    return await carry_out(context, command, text, Undo(action="resume"))


@router.post("/deploy", status_code=202, summary="Roll an image out, one replica after the other")
async def deploy(context: Context, operator: Changer, service: str, body: schemas.DeployRequest) -> CommandAnswer:
    managed(context, service)
    command = Deploy(**_identity(service, operator.by), image=body.image)
    text = f"{body.image} is rolled out to {service}, beginning with one replica."
    return await carry_out(context, command, text, Undo(action="rollback"))


@router.post("/rollback", status_code=202, summary="End the running rollout, or go back to the image before")
async def rollback(context: Context, operator: Changer, service: str) -> CommandAnswer:
    managed(context, service)
    return await carry_out(
        context, RollBack(**_identity(service, operator.by)), f"{service} goes back to the image before."
    )


@router.post("/pause", status_code=202, summary="No scaling down, no scaling up, or nothing at all, for a time")
async def pause(context: Context, operator: Changer, service: str, body: schemas.PauseRequest) -> CommandAnswer:
    managed(context, service)
    command = Pause(**_identity(service, operator.by), direction=body.direction, seconds=body.seconds)
    what = {"in": "Scaling down", "out": "Scaling up", "all": "Scaling and healing"}[body.direction]
    text = f"{what} of {service} pauses for {body.seconds / 60:.3g} min."
    return await carry_out(context, command, text, Undo(action="resume"))


@router.post("/resume", status_code=202, summary="End pauses, the manual hold, drains and quarantines")
async def resume(context: Context, operator: Changer, service: str) -> CommandAnswer:
    managed(context, service)
    text = f"{service} goes on by its policy: no pause, hold, drain or quarantine is left."
    return await carry_out(context, Resume(**_identity(service, operator.by)), text)


def managed(context: ApiContext, service: str) -> tuple[ServiceStatus, ServicePolicy]:
    """The service and its policy. Raises Problem 404 when unknown, 409 when it has no policy, 503 on standby."""
    found = context.service(service)
    policy = context.policy(service)
    if policy is None or not found.is_managed:
        raise Problem(
            409, "service_not_managed", f"{service} has no policy in policies.yml: it is shown, never touched."
        )
    if context.board.current.is_standby:
        raise Problem(503, "standby", "Another supervisor is in charge; this one stands by.")
    return found, policy


def wanted_replicas(value: Any, policy: ServicePolicy) -> int:
    """A number of replicas within the policy's limits. Raises Problem 409 or 422 that name them."""
    if not policy.scale.is_enabled:
        detail = f"{policy.service} is not scaled: its policy keeps the number that Compose started."
        raise Problem(409, "scaling_disabled", detail)
    low, high = policy.scale.min, policy.scale.max
    if type(value) is not int or not low <= value <= high:
        shown = repr(value)[:40]
        detail = f"replicas must be a whole number from {low} to {high} ({policy.service}'s policy); {shown} is not."
        raise Problem(422, "replicas_out_of_range", detail, extra={"min": low, "max": high})
    return value


async def carry_out(context: ApiContext, command: Command, text: str, undo: Undo | None = None) -> CommandAnswer:
    """Hand a command in and wait for the cycle that considers it. Raises what it was refused with, or 503."""
    try:
        async with asyncio.timeout(max(ANSWER_SECONDS, 5 * context.settings.cycle_seconds)):
            refusal = await context.desk.submit(command)
    except TimeoutError as error:
        detail = "No cycle has considered it yet. It may still be carried out: look at the decisions."
        raise Problem(503, "no_answer", detail) from error
    if refusal is not None:
        raise Problem(refusal.status, refusal.code, refusal.text)
    return CommandAnswer(id=command.id, service=command.service, text=text, undo=undo)


def _identity(service: str, by: str) -> dict[str, str]:
    return {"id": uuid.uuid4().hex[:12], "service": service, "by": by}
