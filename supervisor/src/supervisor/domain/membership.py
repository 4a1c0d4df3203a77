"""Decides the load balancer's list of a service: who gets requests, and how large a share. Called by decide.py.

Missing data never empties a list: without anybody ready, those of the old list that still run stay in it, and behind
them NGINX has a backup line of its own. When most of them do not answer in time, those stay as well: the few others
would get everything and be next, and on a busy host a late answer is better than none.
"""

from __future__ import annotations

from collections.abc import Mapping

from supervisor.domain.addresses import balancer_networks, reachable_ip
from supervisor.domain.health import Verdict, is_valid
from supervisor.domain.memory import ServiceMemory
from supervisor.domain.plan import Cause, SetMembers
from supervisor.domain.policy import ServicePolicy
from supervisor.domain.scene import Scene
from supervisor.domain.snapshot import ContainerState, Member, ServiceView, Snapshot

FULL_WEIGHT = 100


def members(
    service: ServiceView,
    memory: ServiceMemory,
    policy: ServicePolicy,
    snapshot: Snapshot,
    weights: Mapping[str, int],
) -> tuple[Member, ...]:
    """The list as it should be. `memory` is of this cycle: `ready_since` says who is ready, `departures` who leaves.
    `weights`: of those that get less than a full share, by replica id."""
    running = [r for r in service.replicas if r.state is ContainerState.RUNNING and r.id not in memory.departures]
    listed = _listed(service, snapshot)
    # Where nothing new is known of a replica, ready_since stays as it was, and so does its place.
    ready = [r for r in running if (known := memory.replicas.get(r.id)) is not None and known.ready_since is not None]
    late = [r for r in running if r not in ready and r.id in listed and r.probe is not None and r.probe.is_timeout]
    if not ready:
        ready = [r for r in running if r.id in listed]
    elif len(late) > policy.heal.dependency_ratio * len(running):
        ready += late
    networks = balancer_networks(snapshot.services)
    found = []
    for replica in sorted(ready, key=lambda r: r.number):
        address = reachable_ip(replica, networks)
        if address is not None:
            weight = weights.get(replica.id, FULL_WEIGHT)
            found.append(Member(replica_id=replica.id, address=f"{address}:{policy.port}", weight=weight))
    return tuple(found)


def set_members(scene: Scene, weights: Mapping[str, int]) -> SetMembers | None:
    """The action that puts the right list in force; None when it is, or when nobody knows."""
    balancer = scene.snapshot.balancer
    if not scene.policy.is_balanced or balancer is None or not is_valid(balancer.at, scene.at):
        return None
    wanted = members(scene.service, scene.memory, scene.policy, scene.snapshot, weights)
    present = balancer.members.get(scene.name)
    if wanted == (present or ()):
        return None
    names = {r.id: r.name for r in scene.service.replicas}
    before = {m.replica_id: m for m in present or ()}
    after = {m.replica_id: m for m in wanted}
    out = [names.get(id_, "one that is gone") for id_ in before if id_ not in after]
    new = [names[id_] for id_ in after if id_ not in before]
    changed = [f"{names[id_]} to weight {m.weight}" for id_, m in after.items() if id_ in before and before[id_] != m]
    parts = [f"{', '.join(some)} {verb}" for some, verb in ((out, "out"), (new, "in"), (changed, "")) if some]
    return SetMembers(
        id="",
        service=scene.name,
        cause=_cause(scene, [id_ for id_ in before if id_ not in after], is_weight=bool(changed)),
        why=f"the list gets {len(wanted)} replicas: {'; '.join(parts).strip()}",
        members=wanted,
    )


def _listed(service: ServiceView, snapshot: Snapshot) -> frozenset[str]:
    present = snapshot.balancer.members.get(service.name, ()) if snapshot.balancer else ()
    return frozenset(member.replica_id for member in present)


def _cause(scene: Scene, out: list[str], *, is_weight: bool) -> Cause:
    for id_ in out:
        departure = scene.memory.departures.get(id_)
        if departure is not None:
            return departure.cause
        health, known = scene.healths.get(id_), scene.memory.replicas.get(id_)
        if health is None or known is None or health.verdict is Verdict.CRASHED:
            return Cause.CRASHED
        return Cause.CRASHED if known.process_since == scene.at else Cause.NOT_READY
    return Cause.ROLLOUT if is_weight else Cause.READY
