"""What is known at one moment: the input of every decision. Built by loop/observe.py, read by everything else.

All times named `at` are steady seconds (see ports.Clock): they never jump. `wall` is for people and calendars only.
What could not be read is None or absent, never zero; what is old says so by its `at`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

# Upper bounds in seconds of the latency histogram; one more bucket counts what is slower.
LATENCY_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 1.5, 2.5, 5.0, 10.0)


class ContainerState(StrEnum):
    CREATED = "created"
    RUNNING = "running"
    PAUSED = "paused"
    RESTARTING = "restarting"
    EXITED = "exited"
    REMOVING = "removing"
    DEAD = "dead"


class ReportedHealth(StrEnum):
    """What the container's own health check says."""

    NONE = "none"  # it has no health check
    STARTING = "starting"
    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeView:
    """The last answer of the replica's /health/ready to us. `failures` counts the failed probes in a row."""

    at: float
    is_ready: bool
    failures: int
    latency_seconds: float
    is_timeout: bool = False  # nobody answered in time: a hang, where a refusal or a 503 is not
    is_draining: bool = False  # it says that it was asked to end
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageView:
    """CPU and memory as ratios of the container's own limits (of the host where it has none), and raw totals."""

    at: float
    cpu_ratio: float | None  # None until two samples exist
    memory_ratio: float
    memory_bytes: int
    cpu_seconds_total: float
    cpu_cores: float | None = None  # used over the same time: what one more replica may cost the host
    network_receive_bytes_total: int = 0
    network_transmit_bytes_total: int = 0
    block_read_bytes_total: int = 0
    block_write_bytes_total: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadView:
    """What the replica has in hand: connections from the load balancer, requests in progress, jobs in progress."""

    at: float
    connections: int
    requests: int
    jobs: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TrafficView:
    """What the load balancer saw of a replica since it was first listed. Cumulative; starts again with the supervisor.

    errors: answers 5xx and attempts that broke off; latency_counts: one count a bucket of LATENCY_BUCKETS, plus one.
    """

    at: float
    requests: int
    errors: int
    latency_counts: tuple[int, ...]
    p95_seconds: float | None = None  # over the last minute
    requests_per_second: float = 0.0  # over the last minute


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaView:
    """One container of a service."""

    id: str  # the container's full id: a recreated replica is another replica
    name: str  # such as modporter-backend-2
    service: str
    number: int
    state: ContainerState
    health: ReportedHealth
    image: str  # the reference it was made from
    image_id: str
    config_hash: str
    is_clone: bool  # made by the supervisor, not by Compose
    created_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    exit_code: int | None = None
    is_oom_killed: bool = False
    restart_count: int = 0
    restart_policy: str = ""  # no, always, unless-stopped, on-failure
    addresses: Mapping[str, str] = field(default_factory=dict)  # network -> IPv4
    network_parent: str = ""  # id of the container whose network namespace it shares
    last_probe_output: str = ""  # of the container's own health check
    probe: ProbeView | None = None
    usage: UsageView | None = None
    load: LoadView | None = None
    traffic: TrafficView | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceView:
    """A Compose service as it runs. `labels`: those that begin with `supervisor.`, of its newest replica."""

    name: str
    replicas: tuple[ReplicaView, ...]
    depends_on: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricReading:
    """The answer to a policy's PromQL. value is None when there was none, or NaN; `problem` then says why."""

    at: float  # when the sample was taken, not when it was asked for
    value: float | None
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostView:
    at: float
    cpus: int
    cpu_ratio: float | None
    memory_bytes: int
    memory_available_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A line of an upstream: where NGINX sends requests. weight is 1 to 100; 100 is a full share."""

    replica_id: str
    address: str  # ip:port
    weight: int = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class BalancerView:
    """The load balancer's lists. `applied`: the generation that it answers with; `written`: the newest."""

    at: float
    written: int
    applied: int | None
    members: Mapping[str, tuple[Member, ...]] = field(default_factory=dict)  # service -> list as applied
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertView:
    name: str
    service: str
    severity: str
    summary: str
    since: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """Everything that one cycle knows. `is_complete` is False when Docker could not be asked: then nothing is done."""

    at: float
    wall: datetime  # timezone-aware, UTC
    project: str
    services: Mapping[str, ServiceView]
    metrics: Mapping[tuple[str, str], MetricReading] = field(default_factory=dict)  # (service, metric name)
    host: HostView | None = None
    balancer: BalancerView | None = None
    alerts: tuple[AlertView, ...] = ()
    is_complete: bool = True
    problems: tuple[str, ...] = ()  # what could not be read, in words
