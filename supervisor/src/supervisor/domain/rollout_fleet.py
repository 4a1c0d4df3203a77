"""The replicas of a service as a rollout sees them: new ones, old ones, those on their way out, and what ails the new.

Made anew from each snapshot by rollout.py; which replica is new is told by its image alone, so nothing here can be
out of step with what runs.
"""

from __future__ import annotations

from dataclasses import dataclass

from supervisor.domain.memory import Departure, Errand, Rollout, ServiceMemory
from supervisor.domain.plan import Cause, StartReplica
from supervisor.domain.policy import ServicePolicy
from supervisor.domain.snapshot import ContainerState, ReplicaView, ReportedHealth, ServiceView, Snapshot

# A new replica that a person stopped may be part of a `docker compose down` that stops one after the other.
STOPPED_BY_PERSON_SECONDS = 90.0
_STOPPED = frozenset({ContainerState.EXITED, ContainerState.DEAD, ContainerState.REMOVING})
_RESTARTED_BY_ENGINE = frozenset({"always", "unless-stopped"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """`new` and `old` stay unless a rollout decides otherwise; `leaving` are being removed already."""

    new: tuple[ReplicaView, ...]
    old: tuple[ReplicaView, ...]
    leaving: tuple[ReplicaView, ...]
    pending: int  # started, not seen yet
    next_number: int
    target: int  # how many replicas the service is to have

    @property
    def is_stopped(self) -> bool:
        """Nothing runs, and not by our doing: somebody takes the project down."""
        return not self.pending and not self.leaving and all(is_stopped(view) for view in (*self.new, *self.old))

    @property
    def running(self) -> int:
        """Containers that run or are about to, those on their way out included."""
        return self.pending + sum(not is_stopped(view) for view in (*self.new, *self.old, *self.leaving))

    @property
    def ready_old(self) -> int:
        return sum(is_ready(view) for view in self.old)

    @property
    def is_new_ready(self) -> bool:
        """All of the new ones, and at least one."""
        return bool(self.new) and all(is_ready(view) for view in self.new)


def look(service: ServiceView, memory: ServiceMemory, rollout: Rollout, snapshot: Snapshot) -> Fleet:
    """Sort the service's containers."""
    leaving_ids = {id_ for id_, departure in memory.departures.items() if departure.errand is Errand.REMOVE}
    staying = [view for view in service.replicas if view.id not in leaving_ids]
    seen = {view.name for view in service.replicas}
    pending = [name for name in memory.pending_starts if name not in seen]
    numbers = [view.number for view in service.replicas]
    numbers += [int(tail) for name in pending if (tail := name.rpartition("-")[2]).isdigit()]
    held = memory.manual_hold_until is not None and memory.manual_hold_until > snapshot.at
    return Fleet(
        new=tuple(view for view in staying if view.image_id == rollout.image_id),
        old=tuple(view for view in staying if view.image_id != rollout.image_id),
        leaving=tuple(view for view in service.replicas if view.id in leaving_ids),
        pending=len(pending),
        next_number=max(numbers, default=0) + 1,
        # A person's `up --scale` in the middle of a rollout is obeyed by it.
        target=max(1, memory.manual_replicas if held and memory.manual_replicas is not None else rollout.replicas),
    )


def is_ready(view: ReplicaView) -> bool:
    """Our own probe says so; where there is none, the container's health check (or nothing is known against it)."""
    if view.state is not ContainerState.RUNNING:
        return False
    if view.probe is not None:
        return view.probe.is_ready
    return view.health in (ReportedHealth.HEALTHY, ReportedHealth.NONE)


def is_stopped(view: ReplicaView) -> bool:
    return view.state in _STOPPED


def is_hung(view: ReplicaView, policy: ServicePolicy) -> bool:
    probe = view.probe
    return probe is not None and probe.is_timeout and probe.failures >= policy.heal.probe_failures


def trouble(fleet: Fleet, policy: ServicePolicy, snapshot: Snapshot) -> str:
    """What a new replica does that a good one does not, as a sentence; empty when nothing is wrong.

    Not being ready for the first time is none: that has a deadline of its own. Nor is it the image's fault when no
    replica at all is ready.
    """
    is_any_ready = any(is_ready(view) for view in (*fleet.new, *fleet.old))
    for view in fleet.new:
        found = _end(view, snapshot) or (_illness(view, policy) if is_any_ready else "")
        if found:
            return f"{view.name} {found}"
    return ""


def _end(view: ReplicaView, snapshot: Snapshot) -> str:
    if view.restart_count > 0 or view.state in (ContainerState.RESTARTING, ContainerState.DEAD):
        if view.is_oom_killed:
            return "ran out of memory"
        return f"crashed (exit code {view.exit_code})" if view.exit_code else "crashed"
    if view.state is not ContainerState.EXITED:
        return ""
    if view.restart_policy not in _RESTARTED_BY_ENGINE:
        return f"ended (exit code {view.exit_code})"
    if view.finished_at and (snapshot.wall - view.finished_at).total_seconds() > STOPPED_BY_PERSON_SECONDS:
        return "was stopped by a person and not started again"
    return ""


def _illness(view: ReplicaView, policy: ServicePolicy) -> str:
    if view.state is not ContainerState.RUNNING:
        return ""
    if is_hung(view, policy):
        return "hangs: it does not answer its probe"
    if view.probe is None:
        return "is unhealthy" if view.health is ReportedHealth.UNHEALTHY else ""
    if view.probe.is_ready or view.probe.failures < policy.heal.probe_failures:
        return ""
    return f"is not ready any more: {view.probe.detail or 'its probe says no'}"


def is_listed(fleet: Fleet, weight: int, policy: ServicePolicy, snapshot: Snapshot, service: str) -> bool:
    """Whether NGINX sends every new replica its share of requests. Always, for a service that it does not balance."""
    if not policy.is_balanced:
        return True
    members = snapshot.balancer.members.get(service, ()) if snapshot.balancer else ()
    weights = {member.replica_id: member.weight for member in members}
    return all(weights.get(view.id) == weight for view in fleet.new)


def start(
    fleet: Fleet, rollout: Rollout, service: ServiceView, *, is_back: bool = False, count: int = 1
) -> tuple[StartReplica, ...]:
    """Clones of the best template: one that runs and was made by Compose. `is_back`: of the previous image."""
    template = min(service.replicas, key=lambda view: (is_stopped(view), view.is_clone, view.number))
    image, image_id = rollout.image, rollout.image_id
    why = f"a replica of {rollout.image} beside the old ones"
    if is_back:
        image, image_id = rollout.previous_image, rollout.previous_image_id
        why = f"back to {image}: {rollout.verdict}"
    return tuple(
        StartReplica(
            id=f"{rollout.id}-{number}",
            service=service.name,
            cause=Cause.ROLLBACK if is_back else Cause.ROLLOUT,
            why=why,
            template_id=template.id,
            number=number,
            image=image,
            image_id=image_id,
        )
        for number in range(fleet.next_number, fleet.next_number + count)
    )


def farewell(view: ReplicaView, cause: Cause, why: str, at: float, *, is_hung: bool = False) -> Departure:
    """The departure of a replica for good."""
    return Departure(replica_id=view.id, errand=Errand.REMOVE, cause=cause, why=why, since=at, is_hung=is_hung)


def weakest(views: tuple[ReplicaView, ...]) -> ReplicaView:
    """Who leaves first: one that is not ready, then the one with the fewest requests in hand, then the newest."""
    return min(views, key=lambda view: (is_ready(view), view.load.requests if view.load else 0, -view.number))
