"""One word for how a replica or a service is, and the sentence beside it. Read by status.py; shown everywhere.

The words say what the supervisor itself concluded (memory and verdict), not what Docker calls it.
"""

from __future__ import annotations

from enum import StrEnum

from supervisor.domain.memory import Departure, Errand, ReplicaMemory
from supervisor.domain.policy import ServicePolicy
from supervisor.domain.snapshot import ContainerState, ReplicaView, ReportedHealth


class ReplicaState(StrEnum):
    READY = "ready"
    STARTING = "starting"
    NOT_READY = "not ready"
    HUNG = "hung"
    QUARANTINED = "quarantined"
    DRAINING = "draining"  # an operator's drain: it keeps running
    LEAVING = "leaving"
    RESTARTING = "restarting"
    STOPPED = "stopped"
    CRASHED = "crashed"


class ServiceState(StrEnum):
    UP = "up"
    DEGRADED = "degraded"
    DOWN = "down"
    STOPPED = "stopped"
    UNKNOWN = "unknown"


TROUBLE = frozenset({ReplicaState.NOT_READY, ReplicaState.HUNG, ReplicaState.QUARANTINED, ReplicaState.CRASHED})
_RUN_ONCE = frozenset({"no", "on-failure"})
_LEAVING_WORDS = {
    Errand.REMOVE: ReplicaState.LEAVING,
    Errand.RESTART: ReplicaState.RESTARTING,
    Errand.DRAIN: ReplicaState.DRAINING,
}
_NOT_RUNNING = {
    ContainerState.CREATED: ReplicaState.STARTING,
    ContainerState.RESTARTING: ReplicaState.CRASHED,
    ContainerState.PAUSED: ReplicaState.HUNG,
    ContainerState.REMOVING: ReplicaState.LEAVING,
    ContainerState.DEAD: ReplicaState.CRASHED,
}


def is_ready(replica: ReplicaView, memory: ReplicaMemory | None) -> bool:
    """Whether it takes requests, as far as the loop knows; for one that it never considered, as it says itself."""
    if replica.state is not ContainerState.RUNNING:
        return False
    if memory is not None:
        return memory.ready_since is not None
    if replica.probe is not None:
        return replica.probe.is_ready
    return replica.health in (ReportedHealth.HEALTHY, ReportedHealth.NONE)


def replica_state(
    replica: ReplicaView, memory: ReplicaMemory | None, departure: Departure | None, now: float
) -> ReplicaState:
    """The word for one replica; `now` in steady seconds."""
    if memory is not None and memory.quarantined_until is not None and memory.quarantined_until > now:
        return ReplicaState.QUARANTINED
    if departure is not None:
        return ReplicaState.HUNG if departure.is_hung else _LEAVING_WORDS[departure.errand]
    if replica.state is ContainerState.EXITED:
        return ReplicaState.CRASHED if replica.exit_code else ReplicaState.STOPPED
    if replica.state is not ContainerState.RUNNING:
        return _NOT_RUNNING[replica.state]
    if is_ready(replica, memory):
        return ReplicaState.READY
    if replica.probe is not None and replica.probe.is_timeout and replica.probe.failures > 1:
        return ReplicaState.HUNG
    was_ready = memory is not None and memory.was_ready
    return ReplicaState.NOT_READY if was_ready or replica.health is ReportedHealth.UNHEALTHY else ReplicaState.STARTING


def replica_reason(state: ReplicaState, replica: ReplicaView, departure: Departure | None) -> str:
    """Why it is so, in a sentence without moving numbers; empty for a ready one."""
    if departure is not None:
        return departure.why
    if state is ReplicaState.READY:
        return ""
    if replica.state is ContainerState.PAUSED:
        return "Paused: somebody froze the container."
    if replica.state in (ContainerState.EXITED, ContainerState.DEAD, ContainerState.RESTARTING):
        return _exit_sentence(replica)
    if state is ReplicaState.HUNG and replica.probe is not None:
        return f"Did not answer {replica.probe.failures} probes in a row."
    if replica.probe is not None and replica.probe.detail:
        return replica.probe.detail
    if replica.health is ReportedHealth.UNHEALTHY:
        return replica.last_probe_output.strip().split("\n")[-1][:200] or "Its health check fails."
    return "Has started and is not ready yet." if state is ReplicaState.STARTING else "Does not say that it is ready."


def _exit_sentence(replica: ReplicaView) -> str:
    if replica.is_oom_killed:
        return "Ended because it used more memory than it may."
    if replica.exit_code:
        return f"Ended with exit code {replica.exit_code}."
    if replica.exit_code == 0 and replica.restart_policy in _RUN_ONCE:
        return "Has done its work."
    return "Stopped by a person, and left alone." if replica.exit_code == 0 else "Ended."


def service_state(states: list[ReplicaState], ready: int, policy: ServicePolicy | None) -> ServiceState:
    """up: enough replicas are ready and none is in trouble; down: none is ready."""
    if not states or all(state is ReplicaState.STOPPED for state in states):
        return ServiceState.STOPPED
    if ready == 0:
        return ServiceState.DOWN
    floor = policy.scale.min if policy is not None and policy.scale.is_enabled else 1
    if ready < floor or any(state in TROUBLE for state in states):
        return ServiceState.DEGRADED
    return ServiceState.UP
