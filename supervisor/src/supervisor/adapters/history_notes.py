"""Decides what of a cycle is worth keeping: which verdicts are news, the steps of rollouts, points every ten seconds,
and the seconds that services were up. Called by sqlite_history.py with each report.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta

from supervisor.adapters.sqlite_points import TIERS, Point
from supervisor.adapters.sqlite_rows import Rows, Seconds
from supervisor.domain.memory import Rollout, RolloutPhase
from supervisor.domain.plan import Outcome, ServiceVerdict, StartReplica
from supervisor.domain.records import DecisionRecord, IncidentEntry, OutcomeRecord, RolloutRecord
from supervisor.domain.snapshot import ContainerState, ReplicaView, ReportedHealth, ServiceView, Snapshot
from supervisor.ports import CycleReport

POINT_SECONDS = TIERS[0].seconds
REPEAT_SECONDS = 30.0  # a verdict that comes and goes is told once in this time
GAP_SECONDS = 15.0  # between two cycles: what lies in a longer one was not observed
STALE_SECONDS = 30.0

_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")

Fingerprint = tuple[object, ...]


class HistoryNotes:
    """Remembers from cycle to cycle what was kept last."""

    def __init__(self) -> None:
        self._told: dict[str, dict[Fingerprint, float]] = defaultdict(dict)  # service -> verdict -> when
        self._last: dict[str, Fingerprint] = {}
        self._steps: dict[str, str] = {}  # rollout -> its last step
        self._point_slot = 0
        self._uptime: dict[tuple[str, str, str], float] = defaultdict(float)
        self._uptime_since: float | None = None
        self._uptime_kept_at = 0.0

    def resume(self, steps: Mapping[str, str]) -> None:
        """Go on after a restart: the last step of each rollout in the history."""
        self._steps = dict(steps)

    def rows(self, report: CycleReport) -> Rows:
        """The decisions that are news, and the rollouts that went a step further."""
        by_service: dict[str, list[Outcome]] = defaultdict(list)
        for outcome in report.outcomes:
            by_service[outcome.action.service].append(outcome)
        names = [*report.plan.verdicts, *(name for name in by_service if name not in report.plan.verdicts)]
        decisions = [
            self._decision(name, by_service[name], report)
            for name in names
            if by_service[name] or self._is_news(report.plan.verdicts[name], report.snapshot.at)
        ]
        return Rows(decisions=tuple(decisions), rollouts=tuple(self._rollouts(report)))

    def points(self, report: CycleReport) -> tuple[Point, ...]:
        """The numbers of all services and replicas, every ten seconds; else nothing."""
        slot = int(report.snapshot.wall.timestamp()) // POINT_SECONDS
        if slot == self._point_slot or not report.snapshot.is_complete:
            return ()
        self._point_slot = slot
        return tuple(_points(report))

    def uptime(self, report: CycleReport, troubled: set[str]) -> Seconds:
        """Seconds by (service, day, state) since they were last kept. `troubled`: services with an open incident."""
        snapshot, since = report.snapshot, self._uptime_since
        self._uptime_since = snapshot.at if snapshot.is_complete else None
        if since is not None and snapshot.is_complete and snapshot.at - since <= GAP_SECONDS:
            day = snapshot.wall.date().isoformat()
            for service in snapshot.services.values():
                state = _state(service, report.plan.verdicts.get(service.name), service.name in troubled)
                if state:
                    self._uptime[service.name, day, state] += snapshot.at - since
        if not self._uptime or snapshot.at - self._uptime_kept_at < POINT_SECONDS:
            return {}
        self._uptime_kept_at = snapshot.at
        return self.uptime_so_far()

    def uptime_so_far(self) -> Seconds:
        """What is not kept yet; the caller keeps it."""
        kept, self._uptime = self._uptime, defaultdict(float)
        return kept

    def _is_news(self, verdict: ServiceVerdict, now: float) -> bool:
        """Whether the verdict is another one than the last; moving numbers alone make no other."""
        fingerprint = _fingerprint(verdict)
        if self._last.get(verdict.service) == fingerprint:
            return False
        self._last[verdict.service] = fingerprint
        told = self._told[verdict.service]
        for old in [key for key, at in told.items() if now - at >= REPEAT_SECONDS]:
            del told[old]
        if fingerprint in told:
            return False
        told[fingerprint] = now
        return True

    def _decision(self, service: str, outcomes: Sequence[Outcome], report: CycleReport) -> DecisionRecord:
        verdict = report.plan.verdicts.get(service)
        if verdict is None:
            verdict = ServiceVerdict(service=service, sentence=outcomes[0].action.why, desired=0, running=0, ready=0)
        self._last[service] = _fingerprint(verdict)
        view = report.snapshot.services.get(service)
        names = {replica.id: replica.name for replica in view.replicas} if view else {}
        return DecisionRecord(
            id=0,
            at=report.snapshot.wall,
            cycle=report.cycle,
            service=service,
            sentence=verdict.sentence,
            desired=verdict.desired,
            running=verdict.running,
            ready=verdict.ready,
            reasons=verdict.reasons,
            outcomes=tuple(_outcome(outcome, names, report.snapshot.project) for outcome in outcomes),
        )

    def _rollouts(self, report: CycleReport) -> Iterator[RolloutRecord]:
        for memory in report.memory.services.values():
            rollout = memory.rollout
            if rollout is None:
                continue
            step = _step(rollout)
            if self._steps.get(rollout.id) != step:
                self._steps[rollout.id] = step
                yield _rollout(rollout, step, report.snapshot)


def _fingerprint(verdict: ServiceVerdict) -> Fingerprint:
    reasons = frozenset((reason.is_for, reason.hold, reason.cause) for reason in verdict.reasons)
    return _NUMBER.sub("#", verdict.sentence), verdict.desired, verdict.running, verdict.ready, reasons


def _outcome(outcome: Outcome, names: Mapping[str, str], project: str) -> OutcomeRecord:
    action = outcome.action
    replica = names.get(getattr(action, "replica_id", ""), "")
    if isinstance(action, StartReplica):
        replica = f"{project}-{action.service}-{action.number}"
    return OutcomeRecord(
        kind=type(action).__name__,
        cause=str(action.cause),
        why=action.why,
        replica=replica,
        is_done=outcome.is_done,
        error=outcome.error,
        duration_seconds=outcome.duration_seconds,
    )


def _step(rollout: Rollout) -> str:
    """Where it stands, as a sentence that changes only when it goes on."""
    if rollout.phase is RolloutPhase.STARTING:
        return f"A replica of {rollout.image} is started."
    if rollout.phase is RolloutPhase.CANARY:
        return f"It gets a share of the requests (step {rollout.weight_step + 1})."
    if rollout.phase is RolloutPhase.REPLACING:
        return f"{len(rollout.new_ids)} of {rollout.replicas} replicas are new."
    if rollout.phase is RolloutPhase.BAKING:
        return "All replicas are new; their errors and latency are still watched."
    if rollout.phase is RolloutPhase.ROLLING_BACK:
        return f"It is taken back. {rollout.verdict}".strip()
    done = "It is done." if rollout.phase is RolloutPhase.DONE else f"{rollout.previous_image} runs again."
    return f"{done} {rollout.verdict}".strip()


def _rollout(rollout: Rollout, step: str, snapshot: Snapshot) -> RolloutRecord:
    ended = rollout.finished_at
    return RolloutRecord(
        id=rollout.id,
        service=rollout.service,
        image=rollout.image,
        previous_image=rollout.previous_image,
        by=rollout.by,
        phase=str(rollout.phase),
        verdict=rollout.verdict,
        started_at=snapshot.wall + timedelta(seconds=rollout.started_at - snapshot.at),
        finished_at=None if ended is None else snapshot.wall + timedelta(seconds=ended - snapshot.at),
        steps=(IncidentEntry(at=snapshot.wall, text=step),),
    )


def _points(report: CycleReport) -> Iterator[Point]:
    for service in report.snapshot.services.values():
        verdict = report.plan.verdicts.get(service.name)
        replicas = [_replica_point(replica, report.snapshot.at) for replica in _running(service)]
        if verdict is None and not replicas:
            continue  # it has done its work, such as a migration
        ready = sum(_is_ready(replica) for replica in _running(service))
        rates = [point.requests_per_second for point in replicas if point.requests_per_second is not None]
        yield Point(
            service=service.name,
            cpu_ratio=_mean(replicas, lambda point: point.cpu_ratio),
            memory_ratio=_mean(replicas, lambda point: point.memory_ratio),
            requests_per_second=sum(rates) if rates else None,
            p95_seconds=max((point.p95_seconds for point in replicas if point.p95_seconds is not None), default=None),
            ready=verdict.ready if verdict else ready,
            running=verdict.running if verdict else len(replicas),
            desired=verdict.desired if verdict else None,
        )
        yield from replicas


def _replica_point(replica: ReplicaView, now: float) -> Point:
    usage = replica.usage if replica.usage and now - replica.usage.at <= STALE_SECONDS else None
    traffic = replica.traffic if replica.traffic and now - replica.traffic.at <= STALE_SECONDS else None
    return Point(
        service=replica.service,
        replica=replica.name,
        cpu_ratio=usage.cpu_ratio if usage else None,
        memory_ratio=usage.memory_ratio if usage else None,
        requests_per_second=traffic.requests_per_second if traffic else None,
        p95_seconds=traffic.p95_seconds if traffic else None,
    )


def _running(service: ServiceView) -> list[ReplicaView]:
    return [replica for replica in service.replicas if replica.state is ContainerState.RUNNING]


def _is_ready(replica: ReplicaView) -> bool:
    """For services that nobody decides about."""
    return replica.health in (ReportedHealth.NONE, ReportedHealth.HEALTHY)


def _mean(points: Sequence[Point], number: Callable[[Point], float | None]) -> float | None:
    known = [value for point in points if (value := number(point)) is not None]
    return sum(known) / len(known) if known else None


def _state(service: ServiceView, verdict: ServiceVerdict | None, is_troubled: bool) -> str:
    """up, degraded or down; nothing for what has done its work and ended."""
    replicas = _running(service)
    if not replicas and all(replica.restart_policy in ("", "no") for replica in service.replicas):
        return ""
    ready = verdict.ready if verdict else sum(_is_ready(replica) for replica in replicas)
    if ready == 0:
        return "down"
    return "degraded" if is_troubled else "up"
