"""What the history keeps, as it is read back: the page, the API and the command line show these."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from supervisor.domain.plan import Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class OutcomeRecord:
    kind: str  # StartReplica, SetMembers, ...
    cause: str
    why: str
    replica: str
    is_done: bool
    error: str = ""
    duration_seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionRecord:
    """A cycle's verdict about a service, kept when it acted or when the verdict differs from the one before."""

    id: int
    at: datetime
    cycle: int
    service: str
    sentence: str
    desired: int
    running: int
    ready: int
    reasons: tuple[Reason, ...] = ()
    outcomes: tuple[OutcomeRecord, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentEntry:
    at: datetime
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentRecord:
    """Opened when a service or replica is in trouble, closed by itself when that is over."""

    id: int
    service: str
    replica: str  # empty: the service as a whole
    kind: str  # crash, hang, unhealthy, never_ready, flapping, oom, dependency, below_min, rollback, balancer, docker
    title: str
    opened_at: datetime
    closed_at: datetime | None = None
    exit_code: int | None = None
    is_oom_killed: bool = False
    probe_output: str = ""
    log_tail: str = ""
    timeline: tuple[IncidentEntry, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutRecord:
    id: str
    service: str
    image: str
    previous_image: str
    by: str
    phase: str
    verdict: str
    started_at: datetime
    finished_at: datetime | None = None
    steps: tuple[IncidentEntry, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRecord:
    """A call to Docker as docker-guard wrote it down: every one that changes something, and every one it refused."""

    verdict: str  # allowed, refused, failed (allowed, but Docker was not there)
    method: str
    path: str
    subject: str  # the replica, image or network by name, as far as the guard knows it
    status: int  # what was answered
    reason: str = ""  # why it was refused, or failed
    listener: str = ""  # full, or read: a reader's socket
    duration_seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRecord:
    """What a person or a program asked of the supervisor; or, with `call`, what the supervisor asked of Docker. Then
    `what` is the kind of call and `detail` the cause that the supervisor gave."""

    id: int
    at: datetime
    by: str
    what: str
    service: str
    detail: str
    is_accepted: bool
    call: CallRecord | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UptimeDay:
    """Seconds of one day (UTC) by state. What was not observed is `unknown_seconds`, never up."""

    day: date
    up_seconds: float
    degraded_seconds: float
    down_seconds: float
    unknown_seconds: float
