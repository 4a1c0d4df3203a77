"""The replicas of a service as a rollout sees them: new ones, old ones, those on their way out, and what ails the new.

Made anew from each snapshot by rollout.py; which replica is new is told by its image alone, so nothing here can be
out of step with what runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from supervisor.domain.memory import Departure, Errand, ReplicaMemory, Rollout, ServiceMemory
from supervisor.domain.plan import Cause, StartReplica
from supervisor.domain.policy import ServicePolicy
from supervisor.domain.snapshot import ContainerState, ReplicaView, ReportedHealth, ServiceView, Snapshot

# A new replica that a person stopped may be part of a `docker compose down` that stops one after the other.
STOPPED_BY_PERSON_SECONDS = 90.0
# When what all replicas need fails, one of them notices first; a new one that is out of the list costs nobody anything.
NOTICED_BY_ALL_SECONDS = 3.0
_STOPPED = frozenset({ContainerState.EXITED, ContainerState.DEAD, ContainerState.REMOVING})
_RESTARTED_BY_ENGINE = frozenset({"always", "unless-stopped"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """`new` and `old` stay unless a rollout decides otherwise; `leaving` are being removed already."""

    new: tuple[ReplicaView, ...]
    old: tuple[ReplicaView, ...]
    leaving: tuple[ReplicaView, ...]
    ready: frozenset[str]  # ids
    warm: frozenset[str]  # of those, the ones that are ready for a while: a cold start says nothing about latency
    pending: int  # started, not seen yet
    next_number: int
    target: int  # how many replicas the service is to have

    @property
    def is_stopped(self) -> bool:
        """Nothing runs. A rollout never stops the last one, so somebody takes the project down."""
        return not self.pending and all(is_stopped(view) for view in (*self.new, *self.old, *self.leaving))

    @property
    def running(self) -> int:
        """Containers that run or are about to, those on their way out included."""
        return self.pending + sum(not is_stopped(view) for view in (*self.new, *self.old, *self.leaving))

    @property
    def is_new_ready(self) -> bool:
        """All of the new ones, and at least one."""
        return bool(self.new) and all(self.is_ready(view) for view in self.new)

    def is_ready(self, view: ReplicaView) -> bool:
        return view.id in self.ready


def look(
    service: ServiceView, memory: ServiceMemory, rollout: Rollout, policy: ServicePolicy, snapshot: Snapshot
) -> Fleet:
    """Sort the service's containers. `memory` is of this cycle: its `ready_since` says who is ready."""
    since = {id_: known.ready_since for id_, known in memory.replicas.items() if known.ready_since is not None}
    leaving_ids = {id_ for id_, departure in memory.departures.items() if departure.errand is Errand.REMOVE}
    staying = [view for view in service.replicas if view.id not in leaving_ids]
    seen = {view.name for view in service.replicas}
    pending = [name for name in memory.pending_starts if name not in seen]
    numbers = [view.number for view in service.replicas]
    numbers += [int(tail) for name in pending if (tail := name.rpartition("-")[2]).isdigit()]
    return Fleet(
        new=tuple(view for view in staying if view.image_id == rollout.image_id),
        old=tuple(view for view in staying if view.image_id != rollout.image_id),
        leaving=tuple(view for view in service.replicas if view.id in leaving_ids),
        ready=frozenset(since),
        warm=frozenset(id_ for id_, at in since.items() if snapshot.at - at >= policy.rollout.step_seconds),
        pending=len(pending),
        next_number=max(numbers, default=0) + 1,
        # A person's `up --scale` in the middle of a rollout is obeyed by it, and so is what scaling did while it baked.
        target=max(1, rollout.replicas if memory.desired is None else memory.desired),
    )


def is_stopped(view: ReplicaView) -> bool:
    return view.state in _STOPPED


def is_hung(view: ReplicaView, policy: ServicePolicy) -> bool:
    probe = view.probe
    return probe is not None and probe.is_timeout and probe.failures >= policy.heal.probe_failures


def trouble(fleet: Fleet, memory: ServiceMemory, policy: ServicePolicy, snapshot: Snapshot) -> str:
    """What a new replica does that a good one does not, as a sentence; empty when nothing is wrong.

    A process that was not ready yet is none: that has a deadline of its own. Nor is it the image's fault when somebody
    asked the replica to end, or when no replica at all is ready: what they depend on fails them one after the other.
    """
    for view in fleet.new:
        known = memory.replicas.get(view.id)
        is_comparable = bool(fleet.ready) and known is not None and _has_been_ready(known)
        is_due = is_hung(view, policy) or _is_ill_for_long(known, snapshot.at)
        is_ill = is_comparable and is_due and not _is_asked_to_end(view, memory)
        found = _end(view, snapshot) or (_illness(view, policy) if is_ill else "")
        if found:
            return f"{view.name} {found}"
    return ""


def _has_been_ready(known: ReplicaMemory) -> bool:
    """This process, or the one before it that healing restarted."""
    return known.was_ready or (known.was_ever_ready and known.failed_restarts > 0)


def _is_ill_for_long(known: ReplicaMemory | None, at: float) -> bool:
    return known is not None and known.unready_since is not None and at - known.unready_since >= NOTICED_BY_ALL_SECONDS


def _is_asked_to_end(view: ReplicaView, memory: ServiceMemory) -> bool:
    """By a person, with a command or with Docker."""
    departure = memory.departures.get(view.id)
    if departure is not None:
        return departure.cause is Cause.OPERATOR
    return view.probe is not None and view.probe.is_draining


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


def start(fleet: Fleet, rollout: Rollout, service: ServiceView) -> StartReplica:
    """One more of the new image."""
    why = f"{rollout.image} is rolled out"
    return _clone(fleet, rollout, service, _Kind(rollout.image, rollout.image_id, Cause.ROLLOUT, why), 0)


def start_back(fleet: Fleet, rollout: Rollout, service: ServiceView, count: int) -> tuple[StartReplica, ...]:
    """`count` of the previous image."""
    why = f"back to {rollout.previous_image}: {rollout.verdict}"
    kind = _Kind(rollout.previous_image, rollout.previous_image_id, Cause.ROLLBACK, why)
    return tuple(_clone(fleet, rollout, service, kind, index) for index in range(count))


@dataclass(frozen=True, slots=True)
class _Kind:
    image: str
    image_id: str
    cause: Cause
    why: str


def _clone(fleet: Fleet, rollout: Rollout, service: ServiceView, kind: _Kind, index: int) -> StartReplica:
    """Where a replica of the image is there already, a clone of that: names of images may move, it does not."""
    same = [view for view in service.replicas if view.image_id == kind.image_id]
    number = fleet.next_number + index
    return StartReplica(
        id=f"{rollout.id}-{number}",
        service=service.name,
        cause=kind.cause,
        why=kind.why,
        template_id=_template(same or service.replicas).id,
        number=number,
        image="" if same else kind.image,
        image_id="" if same else kind.image_id,
    )


def farewell(view: ReplicaView, cause: Cause, why: str, at: float, *, is_hung: bool = False) -> Departure:
    """The departure of a replica for good."""
    return Departure(replica_id=view.id, errand=Errand.REMOVE, cause=cause, why=why, since=at, is_hung=is_hung)


def weakest(fleet: Fleet) -> ReplicaView:
    """The old one that leaves first: not ready, then with the fewest requests in hand, then the newest."""
    return min(fleet.old, key=lambda view: (fleet.is_ready(view), view.load.requests if view.load else 0, -view.number))


def _template(views: Sequence[ReplicaView]) -> ReplicaView:
    """One that runs, of those one that Compose made."""
    return min(views, key=lambda view: (is_stopped(view), view.is_clone, view.number))
