"""Turns the last report into what is shown: the Status of /api/status, of the event stream and of every page.

Numbers are rounded to what people can read, so that the event stream does not carry noise.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Literal

from supervisor.api.rollouts import rollout_status
from supervisor.api.schemas import (
    AlertStatus,
    BalancerStatus,
    HoldStatus,
    HostStatus,
    ReasonStatus,
    ReplicaStatus,
    ServiceStatus,
    Status,
)
from supervisor.api.states import ServiceState, is_ready, replica_reason, replica_state, service_state
from supervisor.domain.memory import ServiceMemory
from supervisor.domain.plan import ServiceVerdict
from supervisor.domain.policy import Policies, ServicePolicy
from supervisor.domain.snapshot import BalancerView, ContainerState, HostView, ReplicaView, ServiceView, Snapshot
from supervisor.ports import CycleReport

ID_LENGTH = 12
_PAUSES: Mapping[str, tuple[Literal["pause_in", "pause_out", "pause_all"], str]] = {
    "in": ("pause_in", "scaling down is paused"),
    "out": ("pause_out", "scaling up is paused"),
    "all": ("pause_all", "scaling and healing are paused"),
}
_WORST = (ServiceState.DOWN, ServiceState.DEGRADED, ServiceState.UP)


def wall_time(snapshot: Snapshot, at: float) -> datetime:
    """A steady time of this snapshot as time of day."""
    return (snapshot.wall + timedelta(seconds=at - snapshot.at)).replace(microsecond=0)


def build_status(
    report: CycleReport, policies: Policies, label_problems: Sequence[str], alerts: Iterable[AlertStatus]
) -> Status:
    """Everything about now; `alerts` are those that Alertmanager told, beside the snapshot's own."""
    snapshot = report.snapshot
    services = {name: _service(view, report, policies.of(name)) for name, view in sorted(snapshot.services.items())}
    rates = [each.requests_per_second for each in services.values() if each.requests_per_second is not None]
    state = _overall(services.values()) if snapshot.is_complete else ServiceState.UNKNOWN
    return Status(
        project=snapshot.project,
        cycle=report.cycle,
        at=snapshot.wall.replace(microsecond=0),
        cycle_milliseconds=round(report.duration_seconds * 1000, 1),
        state=state,
        sentence=_overall_sentence(state, services),
        ready=sum(each.ready for each in services.values()),
        # A one-shot that has done its work is no replica that is missing.
        replicas=sum(max(each.desired, each.running) for each in services.values()),
        requests_per_second=round(sum(rates), 1) if rates else None,
        is_complete=snapshot.is_complete,
        is_standby=report.is_standby,
        is_dry_run=policies.is_dry_run,
        problems=_problems(report, label_problems),
        alerts=_alerts(snapshot, alerts),
        host=_host(snapshot.host),
        balancer=_balancer(snapshot.balancer),
        services=services,
    )


def _service(view: ServiceView, report: CycleReport, policy: ServicePolicy | None) -> ServiceStatus:
    snapshot, memory = report.snapshot, report.memory.of(view.name)
    members = snapshot.balancer.members.get(view.name, ()) if snapshot.balancer else ()
    weights = {member.replica_id: member.weight for member in members}
    shown = sorted(view.replicas, key=lambda replica: replica.number)
    replicas = {replica.name: _replica(replica, memory, weights.get(replica.id), snapshot) for replica in shown}
    ready = sum(is_ready(replica, memory.replicas.get(replica.id)) for replica in shown)
    running = sum(replica.state is ContainerState.RUNNING for replica in shown)
    verdict = report.plan.verdicts.get(view.name)
    is_managed = policy is not None and policy.is_enabled
    is_scaled = policy is not None and policy.scale.is_enabled
    cpu = [replica.cpu_ratio for replica in replicas.values() if replica.cpu_ratio is not None]
    memories = [replica.memory_ratio for replica in replicas.values() if replica.memory_ratio is not None]
    rates = [replica.requests_per_second for replica in replicas.values() if replica.requests_per_second is not None]
    p95s = [replica.p95_seconds for replica in replicas.values() if replica.p95_seconds is not None]
    return ServiceStatus(
        name=view.name,
        state=service_state([replica.state for replica in replicas.values()], ready, policy),
        sentence=verdict.sentence if verdict else _plain_sentence(ready, len(shown), is_managed=is_managed),
        is_managed=is_managed,
        is_balanced=policy is not None and policy.is_balanced,
        desired=verdict.desired if verdict else memory.desired if memory.desired is not None else running,
        running=running,
        ready=ready,
        min=policy.scale.min if policy is not None and is_scaled else None,
        max=policy.scale.max if policy is not None and is_scaled else None,
        cpu_ratio=round(sum(cpu) / len(cpu), 3) if cpu else None,
        memory_ratio=round(sum(memories) / len(memories), 3) if memories else None,
        memory_bytes=sum(replica.memory_bytes or 0 for replica in replicas.values()) if memories else None,
        requests_per_second=round(sum(rates), 1) if rates else None,
        p95_seconds=max(p95s) if p95s else None,
        restarts=sum(replica.restarts for replica in replicas.values()),
        reasons=_reasons(verdict),
        holds=_holds(memory, snapshot),
        rollout=rollout_status(view, memory, policy, snapshot),
        replicas=replicas,
    )


def _replica(replica: ReplicaView, memory: ServiceMemory, weight: int | None, snapshot: Snapshot) -> ReplicaStatus:
    remembered, departure = memory.replicas.get(replica.id), memory.departures.get(replica.id)
    state = replica_state(replica, remembered, departure, snapshot.at)
    usage, load, traffic = replica.usage, replica.load, replica.traffic
    restarts = len(remembered.restart_times) if remembered else 0
    return ReplicaStatus(
        name=replica.name,
        id=replica.id[:ID_LENGTH],
        number=replica.number,
        state=state,
        reason=replica_reason(state, replica, departure),
        image=replica.image,
        is_clone=replica.is_clone,
        is_listed=weight is not None,
        weight=weight,
        started_at=replica.started_at.replace(microsecond=0) if replica.started_at else None,
        restarts=max(restarts, replica.restart_count),
        exit_code=replica.exit_code if replica.state is not ContainerState.RUNNING else None,
        is_oom_killed=replica.is_oom_killed,
        cpu_ratio=round(usage.cpu_ratio, 3) if usage and usage.cpu_ratio is not None else None,
        memory_ratio=round(usage.memory_ratio, 3) if usage else None,
        memory_bytes=round(usage.memory_bytes, -5) if usage else None,
        requests_per_second=round(traffic.requests_per_second, 1) if traffic else None,
        p95_seconds=round(traffic.p95_seconds, 3) if traffic and traffic.p95_seconds is not None else None,
        requests_in_flight=load.requests if load else None,
        connections=load.connections if load else None,
        jobs=load.jobs if load else None,
    )


def _plain_sentence(ready: int, replicas: int, *, is_managed: bool) -> str:
    tail = "" if is_managed else " It has no policy: shown, never touched."
    return f"{ready} of {replicas} replica{'' if replicas == 1 else 's'} ready.{tail}"


def _reasons(verdict: ServiceVerdict | None) -> list[ReasonStatus]:
    return [
        ReasonStatus(
            text=reason.text,
            is_for=reason.is_for,
            code=str(reason.cause or reason.hold or ""),
            inputs={
                name: round(value, 4) if isinstance(value, float) else value for name, value in reason.inputs.items()
            },
        )
        for reason in (verdict.reasons if verdict else ())
    ]


def _holds(memory: ServiceMemory, snapshot: Snapshot) -> dict[str, HoldStatus]:
    holds: dict[str, HoldStatus] = {}
    if memory.manual_hold_until is not None and memory.manual_hold_until > snapshot.at:
        text = f"kept at {memory.manual_replicas} replicas by a person"
        holds["manual_hold"] = _hold("manual_hold", text, memory.manual_hold_until, snapshot)
    for direction, until in memory.pauses.items():
        if until > snapshot.at:
            kind, text = _PAUSES[direction]
            holds[kind] = _hold(kind, text, until, snapshot)
    if memory.panic_until is not None and memory.panic_until > snapshot.at:
        holds["panic"] = _hold("panic", "load doubled: no scaling down", memory.panic_until, snapshot)
    return holds


def _hold(
    kind: Literal["manual_hold", "pause_in", "pause_out", "pause_all", "panic"],
    text: str,
    until: float,
    snapshot: Snapshot,
) -> HoldStatus:
    return HoldStatus(kind=kind, text=text, until=wall_time(snapshot, until))


def _overall(services: Iterable[ServiceStatus]) -> ServiceState:
    states = {service.state for service in services}
    return next(
        (state for state in _WORST if state in states), ServiceState.STOPPED if states else ServiceState.UNKNOWN
    )


def _overall_sentence(state: ServiceState, services: Mapping[str, ServiceStatus]) -> str:
    if state is ServiceState.UNKNOWN:
        return "Docker cannot be asked right now: what runs goes on, and nothing is changed."
    if state is ServiceState.STOPPED:
        return "Everything is stopped."
    troubled = {word: [name for name, each in services.items() if each.state is word] for word in _WORST[:2]}
    parts = [
        f"{_listed(names)} {'is' if len(names) == 1 else 'are'} {word}" for word, names in troubled.items() if names
    ]
    if parts:
        return "; ".join(parts) + "."
    running = sum(each.state is ServiceState.UP for each in services.values())
    return "The service is up." if running == 1 else f"All {running} services are up."


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _problems(report: CycleReport, label_problems: Sequence[str]) -> list[str]:
    problems = [*report.snapshot.problems, *label_problems]
    if report.snapshot.balancer is not None and report.snapshot.balancer.problem:
        problems.append(report.snapshot.balancer.problem)
    if report.policy_problem:
        problems.append(f"The newest policies.yml is not in force: {report.policy_problem}")
    if report.history_problem:
        problems.append(f"The history is not being written: {report.history_problem}")
    return list(dict.fromkeys(problems))


def _alerts(snapshot: Snapshot, told: Iterable[AlertStatus]) -> list[AlertStatus]:
    """Alertmanager's word goes before Prometheus's about the same alert."""
    own = [
        AlertStatus(
            name=each.name, service=each.service, severity=each.severity, summary=each.summary, since=each.since
        )
        for each in snapshot.alerts
    ]
    return list({(alert.name, alert.service): alert for alert in [*own, *told]}.values())


def _host(host: HostView | None) -> HostStatus | None:
    if host is None:
        return None
    return HostStatus(
        cpus=host.cpus,
        cpu_ratio=round(host.cpu_ratio, 2) if host.cpu_ratio is not None else None,
        memory_bytes=host.memory_bytes,
        memory_ratio=round(1 - host.memory_available_bytes / max(host.memory_bytes, 1), 2),
    )


def _balancer(balancer: BalancerView | None) -> BalancerStatus | None:
    if balancer is None:
        return None
    is_applied = balancer.applied == balancer.written
    return BalancerStatus(written=balancer.written, applied=balancer.applied, is_applied=is_applied)
