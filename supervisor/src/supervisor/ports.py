"""What the loop needs from the world, by role. Adapters implement these; nothing here or above knows which.

Every method may raise Unavailable: the other side cannot be asked right now. That is a fact of the cycle, not a crash.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

from supervisor.domain.command import Command, Refusal
from supervisor.domain.memory import Memory
from supervisor.domain.plan import Outcome, Plan
from supervisor.domain.records import (
    AuditRecord,
    CallRecord,
    DecisionRecord,
    IncidentRecord,
    RolloutRecord,
    UptimeDay,
)
from supervisor.domain.snapshot import (
    AlertView,
    BalancerView,
    HostView,
    LoadView,
    Member,
    MetricReading,
    ReplicaView,
    ServiceView,
    Snapshot,
    TrafficView,
    UsageView,
)


class Unavailable(Exception):  # noqa: N818 - a state of the world, as a word
    """The other side did not answer, or answered nonsense. The text is a sentence for people."""


class Refused(Exception):  # noqa: N818
    """The other side understood and said no (the guard; an image that does not exist). Repeating it is in vain."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageView:
    reference: str
    id: str


class Clock(Protocol):
    def now(self) -> float:
        """Steady seconds: go on at the same pace whatever happens to the wall clock."""

    def wall(self) -> datetime:
        """The time of day, timezone-aware (UTC)."""


class ContainerRuntime(Protocol):
    """Where replicas run. Docker is one; a fake with the same behaviour is another (tests run one suite on both)."""

    async def services(self) -> Mapping[str, ServiceView]:
        """All services of the project with their containers (no probe, usage, load, traffic). Raises Unavailable."""

    async def usage(self, replicas: Sequence[ReplicaView]) -> Mapping[str, UsageView]:
        """CPU and memory by replica id, as fresh as the adapter's budget of calls allows (see its docstring)."""

    async def start_replica(self, template_id: str, *, number: int, image: str, cause: str) -> str:
        """Clone, connect, start. Returns the id. A container of that name that exists already is adopted."""

    async def start_stopped(self, replica_id: str, *, cause: str) -> None: ...

    async def signal(self, replica_id: str, signal: str, *, cause: str) -> None: ...

    async def remove(self, replica_id: str, *, cause: str) -> None:
        """Removes a stopped container with its anonymous volumes; one that is gone already is success."""

    async def tag_image(self, image_id: str, reference: str, *, cause: str) -> None: ...

    async def image(self, reference: str) -> ImageView:
        """Raises Refused when there is no such image, or it is not one of the project's."""

    async def log_tail(self, replica_id: str, lines: int) -> str: ...

    def events(self) -> AsyncIterator[str]:
        """Yields the service's name (or an empty string: something, look) whenever something happened. Never ends;
        reconnects by itself. Only a reason to look early: what is true is in services()."""


class HealthProbe(Protocol):
    async def ready(self, address: str, path: str, timeout_seconds: float) -> ProbeAnswer: ...

    async def load(self, address: str, balancer_addresses: frozenset[str]) -> LoadView | None:
        """What the replica has in hand, None when it does not say. Connections count only from those addresses."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeAnswer:
    is_ready: bool
    latency_seconds: float
    is_timeout: bool = False
    is_draining: bool = False
    detail: str = ""


class MetricsSource(Protocol):
    async def query(self, promql: str) -> MetricReading:
        """A scalar or a vector of one; anything else is a reading without a value and with the problem in words."""

    async def query_range(self, promql: str, start: datetime, end: datetime, step_seconds: float) -> Series: ...

    async def alerts(self) -> tuple[AlertView, ...]: ...


Series = tuple[tuple[float, float], ...]  # (unix seconds, value)


class HostMetrics(Protocol):
    async def read(self) -> HostView: ...


class LoadBalancer(Protocol):
    async def view(self) -> BalancerView: ...

    async def set_members(self, members: Mapping[str, Sequence[Member]], *, cause: str) -> int:
        """Write the lists of these services (others stay), reload once, return the generation written. At most one
        reload per 200 ms. Whether it is in force is seen in view()."""

    def traffic(self, at: float) -> Mapping[str, TrafficView]:
        """What was seen of each address (ip:port) so far."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CycleReport:
    """Everything about one cycle; what API and page read, and what History keeps of."""

    cycle: int
    snapshot: Snapshot
    memory: Memory
    plan: Plan
    outcomes: tuple[Outcome, ...]
    duration_seconds: float
    is_standby: bool = False
    policy_problem: str = ""  # why the newest policies.yml is not in force
    history_problem: str = ""


class History(Protocol):
    """Keeps what happened. Never stops the loop: problems are told by `problem`, not raised."""

    @property
    def problem(self) -> str: ...

    async def load_memory(self) -> Memory | None: ...

    async def save_memory(self, memory: Memory) -> bool:
        """True when it is on the disk. Called before a plan that depends on it is carried out."""

    async def record(self, report: CycleReport) -> None: ...


class EventSink(Protocol):
    """Told of each report; must not block (metrics, SSE, log)."""

    def publish(self, report: CycleReport) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardEntry:
    """A call in docker-guard's book. `number` counts within the book."""

    number: int
    at: datetime
    kind: str  # create, start, kill, ...; the method for a call on no list
    service: str
    cause: str
    call: CallRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardBook:
    """What docker-guard wrote down since it started. `id` is another one after a restart, which forgets all entries."""

    id: str
    entries: tuple[GuardEntry, ...]  # oldest first
    reads: int  # calls that only read: counted, not written down


class GuardAudit(Protocol):
    async def book(self, after: int) -> GuardBook:
        """With the entries of a greater number."""


class CallKeeper(Protocol):
    """The writing side of the audit for docker-guard's calls."""

    async def keep_calls(self, book: GuardBook) -> None:
        """Each once, however often it is handed in. Raises Unavailable when the disk does not take it now."""


AuditSource = Literal["", "operators", "docker"]


class Archive(Protocol):
    """The reading side of the history, newest first; `before` is the id to go on from (paging)."""

    async def decisions(
        self, *, service: str = "", limit: int = 50, before: int | None = None, only_actions: bool = False
    ) -> list[DecisionRecord]: ...

    async def incidents(
        self, *, service: str = "", limit: int = 50, before: int | None = None, only_open: bool = False
    ) -> list[IncidentRecord]: ...

    async def incident(self, incident_id: int) -> IncidentRecord | None: ...

    async def rollouts(self, *, service: str = "", limit: int = 50) -> list[RolloutRecord]: ...

    async def audit(
        self, *, limit: int = 50, before: int | None = None, source: AuditSource = "", only_refused: bool = False
    ) -> list[AuditRecord]:
        """By the time at which it happened, which need not be the order of the ids."""

    async def add_audit(self, *, by: str, what: str, service: str, detail: str, is_accepted: bool) -> None: ...

    async def series(self, service: str, name: str, *, since: datetime, replica: str = "") -> Series:
        """Recorded points of a service: cpu_ratio, memory_ratio, requests_per_second, p95_seconds, ready, desired,
        running; of a replica (by name): the first four."""

    async def uptime(self, service: str, days: int = 90) -> list[UptimeDay]: ...


class Desk(Protocol):
    """Where operators' commands are handed in; answers after the cycle that considered them."""

    async def submit(self, command: Command) -> Refusal | None: ...
