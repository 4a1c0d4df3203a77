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
class AuditRecord:
    id: int
    at: datetime
    by: str
    what: str
    service: str
    detail: str
    is_accepted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class UptimeDay:
    """Seconds of one day (UTC) by state. What was not observed is `unknown_seconds`, never up."""

    day: date
    up_seconds: float
    degraded_seconds: float
    down_seconds: float
    unknown_seconds: float
