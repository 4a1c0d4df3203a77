"""The shapes of the API's answers and requests, with examples for the OpenAPI document.

What is not known is left out of an answer; it is never zero. Ratios are 0 to 1, times are ISO 8601 in UTC.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

from supervisor.api.states import ReplicaState, ServiceState


class Answer(BaseModel):
    model_config = ConfigDict(frozen=True)


class Request(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Problem(BaseModel):
    """RFC 9457. `code` is stable, for programs; `detail` is one sentence for people."""

    type: str
    title: str
    status: int
    detail: str
    code: str


class ReplicaStatus(Answer):
    name: str
    id: str = Field(description="the first 12 characters of the container's id")
    number: int
    state: ReplicaState
    reason: str = Field(default="", description="why it is so, in words; empty when it is ready")
    image: str
    is_clone: bool = Field(description="made by the supervisor, not by Compose")
    is_listed: bool = Field(description="the load balancer sends it requests")
    weight: int | None = Field(default=None, description="its share at the load balancer; 100 is a full one")
    started_at: datetime | None = None
    restarts: int = 0
    exit_code: int | None = None
    is_oom_killed: bool = False
    cpu_ratio: float | None = Field(default=None, description="of its limit")
    memory_ratio: float | None = Field(default=None, description="of its limit")
    memory_bytes: int | None = None
    requests_per_second: float | None = Field(default=None, description="over the last minute, seen by NGINX")
    p95_seconds: float | None = Field(default=None, description="over the last minute, seen by NGINX")
    requests_in_flight: int | None = None
    connections: int | None = None
    jobs: int | None = None


class HoldStatus(Answer):
    """Something that an operator or an event imposed on a service for a time."""

    kind: Literal["manual_hold", "pause_in", "pause_out", "pause_all", "panic"]
    text: str
    until: datetime


class Evidence(Answer):
    """What the load balancer saw of one side of a rollout in its present step."""

    replicas: int
    requests: int
    errors: int
    p95_seconds: float | None = Field(default=None, description="not above this")


class RolloutStatus(Answer):
    id: str
    phase: str
    image: str
    previous_image: str
    by: str
    weight: int = Field(description="the share of a full replica's traffic that the new ones get, in percent")
    replaced: int
    replicas: int
    started_at: datetime
    new: Evidence
    old: Evidence


class ReasonStatus(Answer):
    text: str
    is_for: bool
    code: str = Field(default="", description="the cause or the hold, as the metrics name it")
    inputs: dict[str, float | int | str | None] = {}


class ServiceStatus(Answer):
    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "name": "backend",
                "state": "up",
                "sentence": "3 of 3 replicas are ready; CPU 41 % of 70 %: nothing to do.",
                "is_managed": True,
                "is_balanced": True,
                "desired": 3,
                "running": 3,
                "ready": 3,
                "min": 2,
                "max": 8,
                "cpu_ratio": 0.41,
                "requests_per_second": 84.2,
                "p95_seconds": 0.083,
                "restarts": 0,
                "replicas": {},
            }
        }
    )

    name: str
    state: ServiceState
    sentence: str
    is_managed: bool = Field(description="there is a policy for it; otherwise it is shown and never touched")
    is_balanced: bool = Field(default=False, description="behind the load balancer: can be drained and rolled out to")
    desired: int
    running: int
    ready: int
    min: int | None = Field(default=None, description="lower limit of scaling; absent when it is not scaled")
    max: int | None = None
    cpu_ratio: float | None = Field(default=None, description="mean over the replicas")
    memory_ratio: float | None = Field(default=None, description="mean over the replicas")
    memory_bytes: int | None = Field(default=None, description="all replicas together")
    requests_per_second: float | None = None
    p95_seconds: float | None = Field(default=None, description="of the slowest replica, over the last minute")
    restarts: int = 0
    reasons: list[ReasonStatus] = []
    holds: dict[str, HoldStatus] = {}
    rollout: RolloutStatus | None = None
    replicas: dict[str, ReplicaStatus]


class AlertStatus(Answer):
    name: str
    service: str
    severity: str
    summary: str
    since: datetime | None = None


class HostStatus(Answer):
    cpus: int
    cpu_ratio: float | None = None
    memory_bytes: int
    memory_ratio: float


class BalancerStatus(Answer):
    written: int
    applied: int | None = None
    is_applied: bool


class Status(Answer):
    """Everything about now. Also what /api/events patches."""

    project: str
    cycle: int
    at: datetime
    cycle_milliseconds: float
    state: ServiceState = Field(description="the worst of the services")
    sentence: str
    ready: int = Field(description="replicas of all services")
    replicas: int
    requests_per_second: float | None = None
    is_complete: bool = Field(description="False: Docker could not be asked, and nothing is done")
    is_standby: bool
    is_dry_run: bool
    problems: list[str]
    alerts: list[AlertStatus]
    host: HostStatus | None = None
    balancer: BalancerStatus | None = None
    services: dict[str, ServiceStatus]


class HealthyAnswer(Answer):
    service: str
    is_healthy: bool
    ready: int
    min: int


class Undo(Answer):
    """The request that takes a command back, relative to the service's address."""

    action: str
    body: dict[str, Any] = {}


class CommandAnswer(Answer):
    """The command was considered by a cycle and not refused; what follows is shown by the status and the decisions."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "id": "6f1c0a52b3de",
                "service": "backend",
                "text": "backend is scaled from 3 to 5 replicas.",
                "undo": {"action": "scale", "body": {"replicas": 3}},
            }
        }
    )

    id: str
    service: str
    text: str
    undo: Undo | None = None


class ScaleRequest(Request):
    """`replicas` is checked against the service's policy, so that the answer can name its limits."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"replicas": 5, "hold_seconds": 900}]})

    replicas: Annotated[Any, WithJsonSchema({"type": "integer", "minimum": 0})]
    hold_seconds: Annotated[float, Field(gt=0, le=7 * 86_400)] | None = Field(
        default=None, description="how long the policy leaves it so; absent: the policy's manual_hold_seconds"
    )


class ReplicaRequest(Request):
    model_config = ConfigDict(json_schema_extra={"examples": [{"replica": "modporter-backend-2"}, {"replica": 2}]})

    replica: Annotated[str, Field(min_length=1, max_length=128)] | int = Field(
        description="its name, its number, or the first characters (at least 6) of the container's id"
    )


class DeployRequest(Request):
    model_config = ConfigDict(json_schema_extra={"examples": [{"image": "modporter/backend:2026-11-21"}]})

    image: str = Field(min_length=1, max_length=255, pattern=r"^[A-Za-z0-9][A-Za-z0-9._/:@-]*$")


class PauseRequest(Request):
    """in: no scaling down. out: no scaling up. all: neither, and no healing."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"direction": "in", "seconds": 1800}]})

    direction: Literal["in", "out", "all"]
    seconds: float = Field(gt=0, le=7 * 86_400)


class PoliciesAnswer(Answer):
    version: str
    is_dry_run: bool
    problem: str = Field(description="why the newest policies.yml is not in force; empty when it is")
    services: dict[str, Any]


class PreviewRequest(Request):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"service": "backend", "changes": {"services": {"backend": {"scale": {"max": 10}}}}, "hours": 1}
            ]
        }
    )

    service: str = Field(max_length=64)
    changes: dict[str, Any] = Field(description="as for PATCH /api/policies")
    hours: float = Field(default=1, gt=0, le=3, description="how much of the past is replayed")


class PreviewAnswer(Answer):
    """The wanted number of replicas over time: pairs of unix seconds and replicas, at both sides of every change."""

    now: tuple[tuple[float, float], ...]
    proposed: tuple[tuple[float, float], ...]
    sentences: tuple[str, ...]
