"""What is to be done, as data: made by decide, executed by loop/act.py, shown by the page, compared by tests.

Every action is short (Docker answers at once): waiting for a drain, an exit or readiness is done by looking again in
the next cycle. So an action under way never blocks another service, and a supervisor that dies loses nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from supervisor.domain.snapshot import Member


class Cause(StrEnum):
    """Why something is done. Also the label `cause` of supervisor_actions_total, so the list is closed."""

    METRIC_ABOVE_TARGET = "metric_above_target"
    METRIC_BELOW_TARGET = "metric_below_target"
    PANIC = "panic"
    SCHEDULE = "schedule"
    BELOW_MIN = "below_min"
    ABOVE_MAX = "above_max"
    OPERATOR = "operator"
    CRASHED = "crashed"
    HUNG = "hung"
    UNHEALTHY = "unhealthy"
    NEVER_READY = "never_ready"
    FLAPPING = "flapping"
    HALF_OPEN = "half_open"
    REPLACEMENT = "replacement"
    SURPLUS = "surplus"
    NETWORK_PARENT_CHANGED = "network_parent_changed"
    ROLLOUT = "rollout"
    ROLLBACK = "rollback"
    PROJECT_DOWN = "project_down"
    READY = "ready"
    NOT_READY = "not_ready"
    DRAIN = "drain"


class Hold(StrEnum):
    """Why something is not done. Also the label `reason` of supervisor_decisions_held_total."""

    NO_DATA = "no_data"
    WITHIN_TOLERANCE = "within_tolerance"
    RATE_LIMIT = "rate_limit"
    STABILISING = "stabilising"
    PANIC = "panic"
    MANUAL_HOLD = "manual_hold"
    PAUSED = "paused"
    HOST_SATURATED = "host_saturated"
    AT_MIN = "at_min"
    AT_MAX = "at_max"
    BUDGET = "budget"
    BACK_OFF = "back_off"
    QUARANTINE = "quarantine"
    DEPENDENCY = "dependency"
    STOPPED_BY_PERSON = "stopped_by_person"
    ROLLOUT = "rollout"
    HEALING = "healing"
    DRAINING = "draining"
    STARTING = "starting"
    DISABLED = "disabled"
    INCOMPLETE = "incomplete"


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """Common to all actions. `id` is deterministic within a cycle and appears in the guard's audit log."""

    id: str
    service: str
    cause: Cause
    why: str  # one sentence for people, with the numbers


@dataclass(frozen=True, slots=True, kw_only=True)
class StartReplica(Action):
    """Make a clone of `template_id` and start it. With an image: of that image. A name that is taken is adopted."""

    template_id: str
    number: int
    image: str = ""
    image_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StartStopped(Action):
    """Start a container that has exited (a restart's second half)."""

    replica_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalReplica(Action):
    """Send TERM (ask it to leave) or KILL (it does not, or hangs)."""

    replica_id: str
    signal: str  # "TERM" | "KILL"


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveReplica(Action):
    """Remove a container that has exited. Never one that runs."""

    replica_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SetMembers(Action):
    """Write the list of an upstream, and reload."""

    members: tuple[Member, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TagImage(Action):
    """Let the service's own tag (the one that Compose starts) point at an image."""

    image_id: str
    reference: str  # repository:tag


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """One argument for or against, as it is shown. `inputs` are the numbers that it rests on."""

    text: str
    is_for: bool
    hold: Hold | None = None
    cause: Cause | None = None
    inputs: Mapping[str, float | int | str | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceVerdict:
    """What a cycle concluded about a service: the sentence is the log line and what the page shows."""

    service: str
    sentence: str
    desired: int
    running: int
    ready: int
    reasons: tuple[Reason, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    actions: tuple[Action, ...] = ()
    verdicts: Mapping[str, ServiceVerdict] = field(default_factory=dict)
    look_again_at: float | None = None  # something is due then, and the next cycle's time may be later

    @property
    def is_empty(self) -> bool:
        return not self.actions


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of an action. `replica_id` is the new container's of a StartReplica."""

    action: Action
    is_done: bool
    at: float
    duration_seconds: float = 0.0
    error: str = ""
    replica_id: str = ""
