"""Decides what is wrong right now, with each replica, each service and the stack. Read by incidents.py, which decides
what of it becomes an incident.

Verdicts of the cycle itself are preferred (a departure, a hold, a quarantine): an incident says what the arbiter
thought. What nobody acts on, because healing is off or held, is judged here by what the replica itself says.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from supervisor.domain.memory import Departure, Memory, ReplicaMemory, RolloutPhase
from supervisor.domain.plan import Cause, Hold, Outcome, Plan
from supervisor.domain.snapshot import ContainerState, ReplicaView, ReportedHealth, ServiceView, Snapshot

PROBE_FAILURES = 3  # in a row, of a replica that was ready before
BELOW_MIN_SECONDS = 10.0  # a single replica that crashed is back before that
DOCKER_SECONDS = 6.0  # one slow answer of the daemon is none of anybody's business
ROLLED_BACK_SECONDS = 10.0  # so long a rollback that has ended already is news


class Kind(StrEnum):
    """Of an incident, the mildest first. Also the label `kind` of supervisor_incidents_open."""

    UNHEALTHY = "unhealthy"
    NEVER_READY = "never_ready"
    CRASH = "crash"
    OOM = "oom"
    HANG = "hang"
    FLAPPING = "flapping"
    DEPENDENCY = "dependency"
    BELOW_MIN = "below_min"
    ROLLBACK = "rollback"
    BALANCER = "balancer"
    DOCKER = "docker"


_OF_CAUSE = {
    Cause.CRASHED: Kind.CRASH,
    Cause.HUNG: Kind.HANG,
    Cause.UNHEALTHY: Kind.UNHEALTHY,
    Cause.NEVER_READY: Kind.NEVER_READY,
    Cause.FLAPPING: Kind.FLAPPING,
}
_RESTARTED_BY_DAEMON = frozenset({"always", "unless-stopped"})
_ENDED = (ContainerState.EXITED, ContainerState.DEAD)


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """One cycle, as far as incidents are concerned."""

    snapshot: Snapshot
    memory: Memory
    plan: Plan
    outcomes: tuple[Outcome, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What a replica looked like in the last complete cycle: a crash is a difference."""

    state: ContainerState
    restart_count: int
    is_oom_killed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """`is_event`: it happened in this cycle (each time is worth an entry); otherwise it is a state that goes on.
    `is_crash`: the replica itself ended, and not only a process in it."""

    service: str  # empty: the stack as a whole
    replica: str  # by name; empty: the service as a whole
    kind: Kind
    text: str
    is_event: bool = False
    is_crash: bool = False
    delay_seconds: float = 0.0  # so long it must go on before it is an incident
    exit_code: int | None = None
    probe_output: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """What must be known of earlier cycles: replicas by name, and the services that once had a ready replica."""

    seen: Mapping[str, Seen] = field(default_factory=dict)
    once_ready: frozenset[str] = frozenset()


def remembered(past: Past, cycle: Observation) -> Past:
    """The past as of the next cycle."""
    if not cycle.snapshot.is_complete:
        return past
    ready = {name for name, verdict in cycle.plan.verdicts.items() if verdict.ready}
    services = cycle.snapshot.services.values()
    return Past(
        seen={replica.name: _look(replica) for service in services for replica in service.replicas},
        once_ready=frozenset(past.once_ready | ready),
    )


def _look(replica: ReplicaView) -> Seen:
    return Seen(
        state=replica.state,
        restart_count=replica.restart_count,
        is_oom_killed=replica.is_oom_killed,
    )


def troubles(past: Past, cycle: Observation) -> Iterator[Trouble]:
    """All that is wrong in this cycle. Without Docker's answer nothing is known but that."""
    snapshot = cycle.snapshot
    if not snapshot.is_complete:
        text = next(iter(snapshot.problems), "Docker does not answer")
        yield Trouble(service="", replica="", kind=Kind.DOCKER, text=text, delay_seconds=DOCKER_SECONDS)
        return
    if snapshot.balancer is not None and snapshot.balancer.problem:
        yield Trouble(service="", replica="", kind=Kind.BALANCER, text=snapshot.balancer.problem)
    for service in snapshot.services.values():
        of_service = list(_of_service(service, past, cycle))
        yield from of_service
        depends = any(trouble.kind is Kind.DEPENDENCY for trouble in of_service)
        for replica in service.replicas:
            trouble = _of_replica(replica, past.seen.get(replica.name), cycle)
            # When all fail for one reason, the reason is the incident; a crash remains a fact of its own.
            if trouble is not None and (trouble.is_event or not depends):
                yield trouble


def _of_service(service: ServiceView, past: Past, cycle: Observation) -> Iterator[Trouble]:
    name, memory, now = service.name, cycle.memory.of(service.name), cycle.snapshot.at
    verdict = cycle.plan.verdicts.get(name)
    if verdict is not None:
        for reason in verdict.reasons:
            if reason.hold is Hold.DEPENDENCY:
                yield Trouble(service=name, replica="", kind=Kind.DEPENDENCY, text=reason.text)
                break
        if verdict.ready == 0 and verdict.desired > 0 and name in past.once_ready and _is_wanted(service, cycle):
            text = f"{name} has no ready replica; {verdict.desired} are wanted"
            yield Trouble(service=name, replica="", kind=Kind.BELOW_MIN, text=text, delay_seconds=BELOW_MIN_SECONDS)
    rollout = memory.rollout
    if rollout is not None:
        ended = rollout.finished_at
        is_news = ended is not None and now - ended < ROLLED_BACK_SECONDS
        if rollout.phase is RolloutPhase.ROLLING_BACK or (rollout.phase is RolloutPhase.ROLLED_BACK and is_news):
            text = f"{rollout.image} was taken back: {rollout.verdict}"
            yield Trouble(service=name, replica="", kind=Kind.ROLLBACK, text=text)


def _is_wanted(service: ServiceView, cycle: Observation) -> bool:
    """Whether somebody means it to run: not when all its containers were stopped by a person."""
    memory = cycle.memory.of(service.name)
    return any(replica.state not in _ENDED or _is_own_stop(replica, memory.replicas) for replica in service.replicas)


def _is_own_stop(replica: ReplicaView, memories: Mapping[str, ReplicaMemory]) -> bool:
    memory = memories.get(replica.id)
    return memory is not None and memory.is_own_stop


def _of_replica(replica: ReplicaView, before: Seen | None, cycle: Observation) -> Trouble | None:
    """The gravest trouble of one replica, an event before a state."""
    service = cycle.memory.of(replica.service)
    departure, memory = service.departures.get(replica.id), service.replicas.get(replica.id)
    if departure is not None and departure.cause not in _OF_CAUSE:
        return None  # it leaves because somebody wants it to
    is_ours = departure is not None or (memory is not None and memory.is_own_stop)
    if before is not None and not is_ours:
        event = _event(replica, before)
        if event is not None:
            return event
    return _state(replica, departure, memory, cycle.snapshot.at)


def _event(replica: ReplicaView, before: Seen) -> Trouble | None:
    is_oom = replica.is_oom_killed and not before.is_oom_killed
    if _crashed(replica, before):
        kind = Kind.OOM if replica.is_oom_killed else Kind.CRASH
        code = _exit_code(replica)
        what = "was killed because its memory was full" if kind is Kind.OOM else "crashed"
        text = f"{replica.name} {what}" + (f" (exit code {code})" if code is not None else "")
        return replace(_trouble(replica, kind, text, is_event=True), is_crash=True)
    if is_oom:
        text = f"A process of {replica.name} was killed because its memory was full"
        return _trouble(replica, Kind.OOM, text, is_event=True)
    return None


def _crashed(replica: ReplicaView, before: Seen) -> bool:
    """Whether it ended by itself since the last look. The daemon counts a restart when the process ends, so that the
    start itself, some time later, is no other one; nor is a list that still calls it restarting, read before the count.
    """
    if replica.state in _ENDED:
        return before.state not in _ENDED and _is_dead(replica)
    return replica.restart_count > before.restart_count


def _is_dead(replica: ReplicaView) -> bool:
    """Whether it ended badly and nobody restarts it. What the daemon would have restarted was stopped by a person."""
    if replica.state is ContainerState.DEAD:
        return True
    is_left = replica.restart_policy not in _RESTARTED_BY_DAEMON
    return replica.state is ContainerState.EXITED and is_left and replica.exit_code not in (0, None)


def _state(
    replica: ReplicaView, departure: Departure | None, memory: ReplicaMemory | None, now: float
) -> Trouble | None:
    if memory is not None and memory.quarantined_until is not None:
        return _trouble(replica, Kind.FLAPPING, f"{replica.name} was restarted too often and is in quarantine")
    if departure is not None:
        return _trouble(replica, _OF_CAUSE[departure.cause], departure.why)
    if replica.state is not ContainerState.RUNNING:
        return None
    probe, was_ready = replica.probe, memory is None or memory.was_ready
    if probe is not None and was_ready and probe.failures >= PROBE_FAILURES:
        kind = Kind.HANG if probe.is_timeout else Kind.UNHEALTHY
        what = "does not answer in time" if probe.is_timeout else "says that it is not ready"
        return _trouble(replica, kind, f"{replica.name} {what}" + (f": {probe.detail}" if probe.detail else ""))
    if replica.health is ReportedHealth.UNHEALTHY:
        kind = Kind.UNHEALTHY if was_ready else Kind.NEVER_READY
        return _trouble(replica, kind, f"The health check of {replica.name} fails")
    return None


def _trouble(replica: ReplicaView, kind: Kind, text: str, *, is_event: bool = False) -> Trouble:
    detail = replica.probe.detail if replica.probe is not None and not replica.probe.is_ready else ""
    # Of what runs, the code is that of an earlier process: it says something only when that one has just ended.
    has_ended = is_event or replica.state is not ContainerState.RUNNING
    return Trouble(
        service=replica.service,
        replica=replica.name,
        kind=kind,
        text=text,
        is_event=is_event,
        exit_code=_exit_code(replica) if has_ended else None,
        probe_output=replica.last_probe_output or detail,
    )


def _exit_code(replica: ReplicaView) -> int | None:
    """Docker says 0 of what runs; only that of an ended process means something."""
    return None if replica.state is ContainerState.RUNNING and not replica.exit_code else replica.exit_code


def is_well(replica: ReplicaView, cycle: Observation) -> bool:
    """Whether nothing is to be said against it: ready, or stopped by a person who may do that."""
    service = cycle.memory.of(replica.service)
    memory = service.replicas.get(replica.id)
    if replica.id in service.departures or (memory is not None and memory.quarantined_until is not None):
        return False
    if replica.state in _ENDED:
        return not _is_dead(replica) and not _is_own_stop(replica, service.replicas)
    is_healthy = replica.health in (ReportedHealth.NONE, ReportedHealth.HEALTHY)
    answers = replica.probe is None or replica.probe.is_ready
    return replica.state is ContainerState.RUNNING and is_healthy and answers
