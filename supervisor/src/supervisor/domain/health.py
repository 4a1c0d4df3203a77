"""Says how each replica is: one word and why. Called by decide.py for every replica in every cycle; nothing is decided
here about what to do.

Our own probe is believed first, the container's health check where there is none; but what Docker calls unhealthy is
not ready, whatever it answers to us. What is too old counts as not known, and not known is not bad.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from supervisor.domain.memory import ReplicaMemory, TrafficMark
from supervisor.domain.policy import HealPolicy
from supervisor.domain.snapshot import ContainerState, LoadView, ProbeView, ReplicaView, ReportedHealth

ENDING_SECONDS = 90.0  # who says for longer that it is leaving does not leave
VALID_SECONDS = 6.0  # three cycles: older readings say nothing
# A replica that says it is ready while most of what it answers is an error, and the others' answers are not.
LYING_WINDOW_SECONDS = 30.0
LYING_REQUESTS = 20
LYING_ERROR_RATIO = 0.5
HONEST_ERROR_RATIO = 0.1
_RESTARTED_BY_DAEMON = frozenset({"always", "unless-stopped"})


class Verdict(StrEnum):
    READY = "ready"
    STARTING = "starting"
    UNREADY = "unready"
    HUNG = "hung"
    LYING = "lying"  # says that it is ready, and answers with errors
    NEVER_READY = "never_ready"  # since this process was started, within its time
    CRASHED = "crashed"  # the daemon restarts it
    QUARANTINED = "quarantined"  # we keep it stopped for a while
    ENDING = "ending"  # somebody asked it to end, and it finishes what it has
    STOPPED = "stopped"  # by a person, or by us on its way out
    FINISHED = "finished"  # ended, and is not meant to be restarted
    PAUSED = "paused"  # frozen by a person
    CREATED = "created"
    UNKNOWN = "unknown"


# What healing may do something about.
BAD = frozenset({Verdict.UNREADY, Verdict.HUNG, Verdict.LYING, Verdict.NEVER_READY})
# What a person decided, or what is over: its place in the fleet stays as it is.
LEFT_ALONE = frozenset({Verdict.ENDING, Verdict.STOPPED, Verdict.FINISHED, Verdict.PAUSED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    verdict: Verdict
    why: str = ""


def is_valid(at: float, now: float) -> bool:
    return now - at <= VALID_SECONDS


def fresh_load(replica: ReplicaView, now: float) -> LoadView | None:
    return replica.load if replica.load is not None and is_valid(replica.load.at, now) else None


def judge(replica: ReplicaView, memory: ReplicaMemory, heal: HealPolicy, now: float) -> Health:
    """How a replica is by its own signs. `memory` knows this process already (see recollection.py)."""
    if memory.quarantined_until is not None and memory.quarantined_until > now:
        return Health(verdict=Verdict.QUARANTINED, why="in quarantine")
    match replica.state:
        case ContainerState.RUNNING:
            return _judge_running(replica, memory, heal, now)
        case ContainerState.RESTARTING:
            return Health(verdict=Verdict.CRASHED, why=f"crashed{_with_code(replica)}; Docker restarts it")
        case ContainerState.PAUSED:
            return Health(verdict=Verdict.PAUSED, why="somebody froze it")
        case ContainerState.CREATED:
            return Health(verdict=Verdict.CREATED, why="made, and not started")
        case _:
            return _judge_ended(replica)


def _judge_ended(replica: ReplicaView) -> Health:
    if replica.restart_policy in _RESTARTED_BY_DAEMON:
        # The daemon would have restarted it, had it ended by itself.
        return Health(verdict=Verdict.STOPPED, why="a person stopped it")
    return Health(verdict=Verdict.FINISHED, why=f"ended{_with_code(replica)} and is not meant to be restarted")


def _with_code(replica: ReplicaView) -> str:
    if replica.is_oom_killed:
        return " (out of memory)"
    return f" (exit code {replica.exit_code})" if replica.exit_code else ""


def _judge_running(replica: ReplicaView, memory: ReplicaMemory, heal: HealPolicy, now: float) -> Health:
    probe = replica.probe
    is_probed = probe is not None and is_valid(probe.at, now)
    if probe is not None and is_probed and memory.was_ready and probe.is_timeout:
        return _judge_probe(probe, memory, heal, now)  # a hang is worse than being unhealthy, and known sooner
    if replica.health is ReportedHealth.UNHEALTHY:
        output = replica.last_probe_output.strip().splitlines()
        why = "its health check fails" + (f": {output[-1][:120]}" if output else "")
        return _not_ready(memory, heal, now, Health(verdict=Verdict.UNREADY, why=why))
    if probe is not None and is_probed:
        return _judge_probe(probe, memory, heal, now)
    if replica.health is ReportedHealth.HEALTHY:
        return Health(verdict=Verdict.READY)
    if replica.health is ReportedHealth.STARTING:
        return _not_ready(
            memory, heal, now, Health(verdict=Verdict.STARTING, why="its health check has not passed yet")
        )
    if not heal.probe_path:
        return Health(verdict=Verdict.READY, why="it runs, and nothing checks it")
    if memory.was_ready:
        return Health(verdict=Verdict.UNKNOWN, why=f"not asked within the last {VALID_SECONDS:.0f} s")
    return _not_ready(memory, heal, now, Health(verdict=Verdict.STARTING, why="not asked yet"))


def _judge_probe(probe: ProbeView, memory: ReplicaMemory, heal: HealPolicy, now: float) -> Health:
    if probe.is_ready:
        return Health(verdict=Verdict.READY)
    if probe.is_draining and now - (memory.unready_since or now) < ENDING_SECONDS:
        return Health(verdict=Verdict.ENDING, why="somebody asked it to end")
    what = "no answer in time" if probe.is_timeout else probe.detail or "it says that it is not ready"
    if not memory.was_ready:
        return _not_ready(memory, heal, now, Health(verdict=Verdict.STARTING, why=what))
    if probe.failures < heal.probe_failures:
        return Health(verdict=Verdict.READY, why=f"{probe.failures} of {heal.probe_failures} failed probes")
    count = f"{probe.failures} probes failed: {what}"
    return Health(verdict=Verdict.HUNG if probe.is_timeout else Verdict.UNREADY, why=count)


def _not_ready(memory: ReplicaMemory, heal: HealPolicy, now: float, otherwise: Health) -> Health:
    """A process that was never ready is starting, until its time is over."""
    if memory.was_ready:
        return Health(verdict=Verdict.UNREADY, why=otherwise.why)
    if now - memory.process_since < heal.start_seconds:
        return Health(verdict=Verdict.STARTING, why=otherwise.why)
    why = f"not ready within {heal.start_seconds:g} s: {otherwise.why}"
    return Health(verdict=Verdict.NEVER_READY, why=why)


def liars(replicas: Iterable[ReplicaView], memories: dict[str, ReplicaMemory], now: float) -> dict[str, Health]:
    """Those of the ready `replicas` whose answers are mostly errors while the others' are not; by id."""
    seen = {r.id: since(r, memories[r.id]) for r in replicas}
    total = sum((mark.requests for mark in seen.values()), 0)
    errors = sum((mark.errors for mark in seen.values()), 0)
    found = {}
    for replica_id, mark in seen.items():
        others = total - mark.requests
        if mark.requests < LYING_REQUESTS or mark.errors < LYING_ERROR_RATIO * mark.requests:
            continue
        if others < LYING_REQUESTS or errors - mark.errors > HONEST_ERROR_RATIO * others:
            continue  # all of them answer so: then it is not this replica
        why = f"{mark.errors} of its last {mark.requests} answers were errors; of the others' {errors - mark.errors}"
        found[replica_id] = Health(verdict=Verdict.LYING, why=f"{why} of {others}")
    return found


def since(replica: ReplicaView, memory: ReplicaMemory) -> TrafficMark:
    """What the load balancer counted of a replica since its mark."""
    traffic, mark = replica.traffic, memory.traffic_mark
    if traffic is None or mark is None or traffic.requests < mark.requests:
        return TrafficMark()
    return TrafficMark(requests=traffic.requests - mark.requests, errors=max(0, traffic.errors - mark.errors))
