"""What people decided beforehand: the frozen form of policies.yml. Read by the deciding modules; built by policies/.

All durations are seconds, all ratios 0 to 1. Each key is documented in supervisor/policies.yml, with its default.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import time
from enum import StrEnum


class MetricKind(StrEnum):
    CPU = "cpu"  # mean over the ready replicas of CPU used, as a ratio of the limit
    MEMORY = "memory"
    PROMQL = "promql"


class MetricScope(StrEnum):
    """What a PromQL answer means."""

    PER_REPLICA = "per_replica"  # already a mean over replicas (latency, CPU): desired = ready * value / target
    TOTAL = "total"  # a sum over the service (queue depth): desired = value / target


class Fallback(StrEnum):
    """What an invalid metric means."""

    HOLD = "hold"  # it forbids scaling down
    IGNORE = "ignore"  # it is left out as if it were not written


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricPolicy:
    name: str
    kind: MetricKind
    target: float  # > 0
    query: str = ""  # for promql
    scope: MetricScope = MetricScope.PER_REPLICA
    max_age_seconds: float = 30.0
    interval_seconds: float = 10.0  # between two values of its source; what is older than three of these is invalid too
    window_seconds: float = 5.0  # how far back a value reaches; a replica that became ready within it is not in it yet
    fallback: Fallback = Fallback.HOLD


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulePolicy:
    """A floor under the number of replicas for known peaks. Days are 0 (Monday) to 6; times are of `timezone`."""

    name: str
    days: frozenset[int]
    start: time
    end: time  # earlier than start: it ends on the next day
    min: int
    timezone: str = "UTC"


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalePolicy:
    is_enabled: bool = False
    min: int = 1
    max: int = 1
    metrics: tuple[MetricPolicy, ...] = ()
    schedules: tuple[SchedulePolicy, ...] = ()
    tolerance_ratio: float = 0.1
    panic_window_seconds: float = 6.0
    panic_factor: float = 2.0
    panic_hold_seconds: float = 60.0
    up_period_seconds: float = 15.0
    up_ratio: float = 1.0  # at most +100 % ...
    up_replicas: int = 2  # ... or +2 per period, whichever is more
    down_period_seconds: float = 30.0
    down_ratio: float = 0.25
    down_replicas: int = 1
    stabilisation_seconds: float = 180.0
    manual_hold_seconds: float = 600.0
    host_cpu_ratio: float = 0.85
    host_memory_ratio: float = 0.80


@dataclass(frozen=True, slots=True, kw_only=True)
class HealPolicy:
    is_enabled: bool = True
    probe_path: str = ""  # empty: only the container's own health check counts
    live_path: str = ""  # asked when probe_path is not answered in time: who answers here does not hang
    probe_port: int = 8000
    probe_timeout_seconds: float = 1.0
    probe_failures: int = 2
    unhealthy_seconds: float = 0.0  # how long it must be unhealthy before something is done
    start_seconds: float = 120.0  # a replica that is not ready by then has failed to start
    backoff_min_seconds: float = 0.5
    backoff_max_seconds: float = 300.0
    backoff_reset_seconds: float = 60.0
    flapping_restarts: int = 5
    flapping_window_seconds: float = 600.0
    quarantine_seconds: float = 300.0  # between half-open retries
    recreate_after_restarts: int = 2
    hang_kill_seconds: float = 1.0  # a hung replica holds requests: it is killed this long after it left the list
    min_ready: int = 1
    dependency_ratio: float = 0.5  # more than this share failing together is a dependency's fault


@dataclass(frozen=True, slots=True, kw_only=True)
class DrainPolicy:
    timeout_seconds: float = 60.0
    stream_timeout_seconds: float = 30.0  # connections that carry a stream or a WebSocket
    stop_seconds: float = 60.0  # between SIGTERM and SIGKILL


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutPolicy:
    ready_seconds: float = 120.0  # a new replica must be ready by then
    canary_weights: tuple[int, ...] = (5, 20, 50, 100)
    step_seconds: float = 5.0  # at least this long at each weight
    step_max_seconds: float = 20.0  # without traffic the step ends here when nothing is wrong
    bake_seconds: float = 60.0  # after the last replacement, evidence still rolls back
    error_ratio_max: float = 0.01  # an error ratio of the old ones plus this is a bad image
    latency_factor_max: float = 2.0  # this many times slower at the old image's quantiles is bad
    false_alarm_probability: float = 0.01  # in each step
    missed_alarm_probability: float = 0.05
    min_requests: int = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class ServicePolicy:
    service: str
    is_enabled: bool = True
    is_balanced: bool = False  # NGINX has an upstream of the same name
    port: int = 8000
    scale: ScalePolicy = field(default_factory=ScalePolicy)
    heal: HealPolicy = field(default_factory=HealPolicy)
    drain: DrainPolicy = field(default_factory=DrainPolicy)
    rollout: RolloutPolicy = field(default_factory=RolloutPolicy)


@dataclass(frozen=True, slots=True, kw_only=True)
class Policies:
    services: Mapping[str, ServicePolicy]
    version: str = ""  # digest of the text it was read from
    is_dry_run: bool = False

    def of(self, service: str) -> ServicePolicy | None:
        """The policy of a service; None: it is shown and never touched."""
        return self.services.get(service)
