"""One service in one cycle: everything that the deciding modules look at, and the questions that they share.

Made by decide.py; passed to intent, healing, staffing, departures and membership, each of which returns it with the
memory that it changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from supervisor.domain.health import Health, Verdict
from supervisor.domain.memory import Departure, ServiceMemory
from supervisor.domain.policy import ServicePolicy
from supervisor.domain.snapshot import ReplicaView, ServiceView, Snapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    service: ServiceView
    memory: ServiceMemory
    policy: ServicePolicy
    snapshot: Snapshot
    healths: Mapping[str, Health]

    @property
    def name(self) -> str:
        return self.service.name

    @property
    def at(self) -> float:
        return self.snapshot.at

    @property
    def can_clone(self) -> bool:
        """Only what stands behind the load balancer, or is scaled, may exist once more: never a database."""
        return self.policy.is_balanced or self.policy.scale.is_enabled

    @property
    def staying(self) -> tuple[ReplicaView, ...]:
        """Those that are not on their way anywhere."""
        return tuple(r for r in self.service.replicas if r.id not in self.memory.departures)

    @property
    def ready(self) -> tuple[ReplicaView, ...]:
        return self.being(Verdict.READY)

    @property
    def spare(self) -> int:
        """How many ready replicas may leave at once without going below the disruption budget."""
        return max(0, len(self.ready) - self.policy.heal.min_ready)

    def being(self, *verdicts: Verdict) -> tuple[ReplicaView, ...]:
        """The staying replicas of these verdicts."""
        return tuple(r for r in self.staying if self.healths[r.id].verdict in verdicts)

    def with_memory(self, memory: ServiceMemory) -> Scene:
        return replace(self, memory=memory)

    def departing(self, *departures: Departure) -> Scene:
        """With these replicas on their way out as well; who is on the way already stays on it."""
        added = {d.replica_id: d for d in departures if d.replica_id not in self.memory.departures}
        return self.with_memory(replace(self.memory, departures={**self.memory.departures, **added}))
