"""A service that exists only on a fake clock: its replicas start when they are started, and end when they are asked to.
Used by replay.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from supervisor.domain.plan import Action, Outcome, RemoveReplica, SignalReplica, StartReplica
from supervisor.domain.policy import MetricKind, MetricPolicy
from supervisor.domain.snapshot import (
    ContainerState,
    MetricReading,
    ReplicaView,
    ReportedHealth,
    ServiceView,
    Snapshot,
    UsageView,
)

_PROJECT = "replay"
_IMAGE_ID = "sha256:replay"


@dataclass(slots=True)
class _Replica:
    number: int
    ready_at: float
    is_clone: bool
    started_at: datetime
    is_running: bool = True


class World:
    """Times are unix seconds, which on this clock never jump."""

    def __init__(self, service: str, replicas: int, now: float, start_seconds: float) -> None:
        self._service = service
        self._now = now
        self._start_seconds = start_seconds
        self._replicas = {
            self._id(number): _Replica(number, now, is_clone=False, started_at=_wall(now) - timedelta(days=1))
            for number in range(1, replicas + 1)
        }

    @property
    def ready(self) -> int:
        return sum(replica.is_running and replica.ready_at <= self._now for replica in self._replicas.values())

    def advance(self, now: float) -> None:
        self._now = now

    def snapshot(self, values: Mapping[str, float | None], metrics: Sequence[MetricPolicy]) -> Snapshot:
        """The world as it is now, with the metrics' values."""
        by_kind = {metric.kind: values[metric.name] for metric in metrics}
        usage = UsageView(
            at=self._now,
            cpu_ratio=by_kind.get(MetricKind.CPU),
            memory_ratio=_or_nan(by_kind.get(MetricKind.MEMORY)),
            memory_bytes=0,
            cpu_seconds_total=0.0,
        )
        views = tuple(self._view(id_, replica, usage) for id_, replica in self._replicas.items())
        readings = {
            (self._service, metric.name): MetricReading(at=self._now, value=values[metric.name], problem="a gap")
            for metric in metrics
            if metric.kind is MetricKind.PROMQL
        }
        return Snapshot(
            at=self._now,
            wall=_wall(self._now),
            project=_PROJECT,
            services={self._service: ServiceView(name=self._service, replicas=views)},
            metrics=readings,
        )

    def carry_out(self, actions: Sequence[Action]) -> tuple[Outcome, ...]:
        """Everything succeeds at once; only to get ready takes time."""
        for action in actions:
            match action:
                case StartReplica():
                    ready_at = self._now + self._start_seconds
                    made = _Replica(action.number, ready_at, is_clone=True, started_at=_wall(self._now))
                    self._replicas[self._id(action.number)] = made
                case SignalReplica():
                    self._replicas[action.replica_id].is_running = False
                case RemoveReplica():
                    del self._replicas[action.replica_id]
        return tuple(Outcome(action=action, is_done=True, at=self._now) for action in actions)

    def _id(self, number: int) -> str:
        return f"{_PROJECT}-{self._service}-{number}"

    def _view(self, id_: str, replica: _Replica, usage: UsageView) -> ReplicaView:
        is_ready = replica.ready_at <= self._now
        return ReplicaView(
            id=id_,
            name=id_,
            service=self._service,
            number=replica.number,
            state=ContainerState.RUNNING if replica.is_running else ContainerState.EXITED,
            health=ReportedHealth.HEALTHY if is_ready else ReportedHealth.STARTING,
            image=self._service,
            image_id=_IMAGE_ID,
            config_hash="",
            is_clone=replica.is_clone,
            started_at=replica.started_at,
            restart_policy="unless-stopped",
            usage=usage,
        )


def _wall(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)


def _or_nan(value: float | None) -> float:
    return float("nan") if value is None else value
