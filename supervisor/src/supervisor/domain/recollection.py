"""Brings the memory of a service's replicas up to what is seen now, before anything is decided. Called by decide.py.

A restart is a difference (another start time, a higher count), whoever did it. What is gone is forgotten, and a
departure whose purpose is fulfilled ends here, so that it need not matter who fulfilled it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from hashlib import sha256

from supervisor.domain.health import LYING_WINDOW_SECONDS, Health, Verdict, judge, liars
from supervisor.domain.memory import Departure, Errand, ReplicaMemory, ServiceMemory, TrafficMark
from supervisor.domain.plan import Cause
from supervisor.domain.policy import HealPolicy, ServicePolicy
from supervisor.domain.rollout_request import is_running
from supervisor.domain.snapshot import ContainerState, ReplicaView, ServiceView, Snapshot

PENDING_SECONDS = 60.0  # a replica that was started and is not seen by then is started again
HEAL_CAUSES = frozenset(
    {
        Cause.CRASHED,
        Cause.HUNG,
        Cause.UNHEALTHY,
        Cause.NEVER_READY,
        Cause.FLAPPING,
        Cause.NETWORK_PARENT_CHANGED,
    }
)


def recollected(
    service: ServiceView, memory: ServiceMemory, policy: ServicePolicy, snapshot: Snapshot
) -> tuple[ServiceMemory, Mapping[str, Health]]:
    """The memory as of this snapshot, and how each replica is, by id."""
    now, heal = snapshot.at, policy.heal
    processes = {r.id: _process(r, memory, heal, now) for r in service.replicas}
    healths = {r.id: judge(r, processes[r.id], heal, now) for r in service.replicas}
    honest = [r for r in service.replicas if healths[r.id].verdict is Verdict.READY]
    if not is_running(memory):  # a rollout weighs the errors of its replicas itself
        healths.update(liars(honest, processes, now))
    kept = {r.id: _departure(r, memory, processes[r.id], now) for r in service.replicas}
    seen = {r.name for r in service.replicas}
    return (
        replace(
            memory,
            replicas={r.id: _after_verdict(r, processes[r.id], healths[r.id], heal, now) for r in service.replicas},
            departures={id_: departure for id_, departure in kept.items() if departure is not None},
            pauses={direction: until for direction, until in memory.pauses.items() if until > now},
            pending_starts={
                name: at
                for name, at in memory.pending_starts.items()
                if name not in seen and now - at < PENDING_SECONDS
            },
        ),
        healths,
    )


def backoff_seconds(replica_id: str, attempt: int, heal: HealPolicy) -> float:
    """How long to wait before the next restart: doubling, with full jitter, which is the same for the same input."""
    ceiling = min(heal.backoff_max_seconds, heal.backoff_min_seconds * 2.0 ** min(attempt, 32))
    digest = sha256(f"{replica_id}:{attempt}".encode()).digest()
    fraction = int.from_bytes(digest[:4], "big") / 2**32
    return max(heal.backoff_min_seconds, ceiling * fraction)


def _process(replica: ReplicaView, memory: ServiceMemory, heal: HealPolicy, now: float) -> ReplicaMemory:
    """The memory of a replica, begun anew where its process is another one."""
    started_at = replica.started_at.isoformat() if replica.started_at else ""
    before = memory.replicas.get(replica.id)
    if before is None:
        first = ReplicaMemory(
            replica_id=replica.id,
            first_seen=now,
            started_at=started_at,
            process_since=now,
            restart_count=replica.restart_count,
        )
        return _inheriting(first, replica, memory, heal, now)
    window = tuple(t for t in before.restart_times if now - t < heal.flapping_window_seconds)
    counted = replace(before, restart_times=window, restart_count=replica.restart_count)
    is_other = before.started_at not in ("", started_at)
    restarts = _restarts(before, replica, is_other=is_other)
    if restarts:
        counted = replace(counted, restart_times=(*window, *(now for _ in range(restarts))))
    if not is_other and not (before.started_at == "" and started_at):
        return counted
    counted = replace(
        counted,
        started_at=started_at,
        process_since=now,
        was_ready=False,
        ready_since=None,
        traffic_mark=None,
        is_own_stop=False,
        next_attempt_at=now + backoff_seconds(replica.id, before.failed_restarts, heal),
    )
    is_trial = before.quarantined_until is not None and before.quarantined_until <= now
    if is_trial and replica.id in memory.departures:
        # Half open: what counts from here is how this one process does.
        counted = replace(counted, restart_times=(now,))
    return counted


def _restarts(before: ReplicaMemory, replica: ReplicaView, *, is_other: bool) -> int:
    """How many restarts lie between then and now. A restart that the daemon has only announced is counted already."""
    if replica.restart_count > before.restart_count:
        return replica.restart_count - before.restart_count
    if not is_other:
        return 0
    # The same count above zero: the announced one happened. Zero or lower: somebody else's start, which resets it.
    return 0 if replica.restart_count == before.restart_count > 0 else 1 + replica.restart_count


def _inheriting(
    first: ReplicaMemory, replica: ReplicaView, memory: ServiceMemory, heal: HealPolicy, now: float
) -> ReplicaMemory:
    """A clone that takes the place of one that restarts did not help goes on counting where that one stopped."""
    if not replica.is_clone:
        return first
    for id_, departure in sorted(memory.departures.items()):
        past = memory.replicas.get(id_)
        is_recreated = departure.errand is Errand.REMOVE and departure.cause in HEAL_CAUSES
        if past is None or not is_recreated or departure.cause is Cause.NETWORK_PARENT_CHANGED:
            continue
        return replace(
            first,
            failed_restarts=past.failed_restarts,
            restart_times=(*past.restart_times, now),
            next_attempt_at=now + backoff_seconds(replica.id, past.failed_restarts, heal),
        )
    return first


def _after_verdict(
    replica: ReplicaView, memory: ReplicaMemory, health: Health, heal: HealPolicy, now: float
) -> ReplicaMemory:
    memory = _marked(replica, memory, now)
    if health.verdict is Verdict.UNKNOWN:
        return memory
    if health.verdict is not Verdict.READY:
        unready_since = now if memory.unready_since is None else memory.unready_since
        return replace(memory, ready_since=None, unready_since=unready_since)
    ready_since = now if memory.ready_since is None else memory.ready_since
    memory = replace(memory, ready_since=ready_since, unready_since=None, was_ready=True, was_ever_ready=True)
    if now - ready_since < heal.backoff_reset_seconds:
        return memory
    if memory.quarantined_until is not None:
        memory = replace(memory, quarantined_until=None, quarantines=0, restart_times=())
    return replace(memory, failed_restarts=0, next_attempt_at=0.0)


def _marked(replica: ReplicaView, memory: ReplicaMemory, now: float) -> ReplicaMemory:
    traffic = replica.traffic
    if traffic is None:
        return memory
    is_old = now - memory.traffic_mark_at >= LYING_WINDOW_SECONDS
    if memory.traffic_mark is None or is_old or traffic.requests < memory.traffic_mark.requests:
        mark = TrafficMark(requests=traffic.requests, errors=traffic.errors)
        return replace(memory, traffic_mark=mark, traffic_mark_at=now)
    return memory


def _departure(replica: ReplicaView, memory: ServiceMemory, now_known: ReplicaMemory, now: float) -> Departure | None:
    """The replica's departure, unless it has come to its end: a restart has, when another process runs."""
    departure, before = memory.departures.get(replica.id), memory.replicas.get(replica.id)
    if departure is None or departure.errand is not Errand.RESTART:
        return departure
    is_restarted = before is not None and before.started_at not in ("", now_known.started_at)
    in_quarantine = now_known.quarantined_until is not None and now_known.quarantined_until > now
    is_back = is_restarted and not in_quarantine and replica.state is ContainerState.RUNNING
    return None if is_back else departure
