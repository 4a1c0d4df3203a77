"""What must be remembered from one cycle to the next. Made by decide (and by outcomes), saved before a plan is carried
out, so that a supervisor that dies in the middle goes on where it was.

Everything is frozen; decide returns a new one. All times are steady seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from supervisor.domain.plan import Cause


class Errand(StrEnum):
    """What a replica leaves the list for."""

    REMOVE = "remove"  # drain, TERM, remove
    RESTART = "restart"  # drain, TERM, start again
    DRAIN = "drain"  # an operator's: out of the list, kept running, until resumed


@dataclass(frozen=True, slots=True, kw_only=True)
class Departure:
    """A replica on its way out. Its steps are seen, not remembered: listed? connections? running?"""

    replica_id: str
    errand: Errand
    cause: Cause
    why: str
    since: float
    is_hung: bool = False  # no drain: requests wait in it, and only its end sends them elsewhere
    generation: int | None = None  # of the list without it, once NGINX answers with it
    left_at: float | None = None  # when that was seen: the drain counts from here
    signalled_at: float | None = None
    killed_at: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaMemory:
    replica_id: str
    first_seen: float
    started_at: str = ""  # of the container: a change is a restart
    restart_times: tuple[float, ...] = ()  # within the flapping window, whoever restarted it
    ready_since: float | None = None
    unready_since: float | None = None
    failed_restarts: int = 0  # ours, in a row
    next_attempt_at: float = 0.0
    quarantined_until: float | None = None
    quarantines: int = 0  # in a row: each one lasts longer
    waits_for: tuple[str, ...] = ()  # dependencies that were ill when its quarantine began: it ends when they are well
    is_own_stop: bool = False  # we stopped it; otherwise an exit that nobody restarts was a person's wish
    was_ready: bool = False  # this process, since it was started
    was_ever_ready: bool = False
    process_since: float = 0.0  # when this process was first seen
    restart_count: int = 0  # of the container, as seen last
    traffic_mark: TrafficMark | None = None  # where its counts stood when they were last looked at
    traffic_mark_at: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Recommendation:
    at: float
    replicas: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadSample:
    """The load in units of replicas at target (ready * value / target), for the panic window."""

    at: float
    replicas: float


class RolloutPhase(StrEnum):
    """starting -> canary -> replacing -> baking -> done; from each of the first four: rolling_back -> rolled_back."""

    STARTING = "starting"
    CANARY = "canary"
    REPLACING = "replacing"
    BAKING = "baking"
    DONE = "done"
    ROLLING_BACK = "rolling_back"
    ROLLED_BACK = "rolled_back"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrafficMark:
    """Requests as the load balancer counted them: where a replica's counts stood, or a sum of what came since."""

    requests: int = 0
    errors: int = 0
    latency_counts: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    id: str
    service: str
    image: str
    image_id: str
    previous_image: str
    previous_image_id: str
    by: str
    phase: RolloutPhase
    started_at: float
    phase_since: float
    replicas: int  # how many the service had
    weight_step: int = 0
    new_ids: tuple[str, ...] = ()
    marks: Mapping[str, TrafficMark] = field(default_factory=dict)  # replica id -> its counts in the last cycle
    verdict: str = ""  # why it was rolled back, or that it was good
    finished_at: float | None = None
    is_quick: bool = False  # back to an image that ran before: without the small shares of a canary
    step_since: float | None = None  # when the new replica was started, or when its share took effect
    new_traffic: TrafficMark = field(default_factory=TrafficMark)  # of the new replicas, in this step
    old_traffic: TrafficMark = field(default_factory=TrafficMark)  # of the old ones at the same time
    baseline: TrafficMark = field(default_factory=TrafficMark)  # of the old ones in all steps: for when they are gone
    missing_since: float | None = None  # since when one more new replica was asked for and has not come


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceMemory:
    service: str
    desired: int | None = None  # None: not seen yet; then it is what runs
    known_ids: frozenset[str] = frozenset()  # containers seen in the last complete cycle
    departures: Mapping[str, Departure] = field(default_factory=dict)
    replicas: Mapping[str, ReplicaMemory] = field(default_factory=dict)
    recommendations: tuple[Recommendation, ...] = ()
    load: tuple[LoadSample, ...] = ()
    panic_until: float | None = None
    ups: tuple[Recommendation, ...] = ()  # replicas added within the up period: at, how many
    downs: tuple[Recommendation, ...] = ()
    manual_hold_until: float | None = None
    manual_replicas: int | None = None
    pauses: Mapping[str, float] = field(default_factory=dict)  # "in" | "out" | "all" -> until
    rollout: Rollout | None = None  # the running one, or the last
    pending_starts: Mapping[str, float] = field(default_factory=dict)  # clone name -> since; until it is seen
    dependency_at: float | None = None  # when its replicas failed together for the last time
    down_since: float | None = None  # nothing runs, and others stopped it


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    services: Mapping[str, ServiceMemory] = field(default_factory=dict)
    cycle: int = 0
    saved_at: float = 0.0

    def of(self, service: str) -> ServiceMemory:
        return self.services.get(service) or ServiceMemory(service=service)
