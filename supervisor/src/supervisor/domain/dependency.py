"""Tells whether replicas fail because of something that they need, and which it is. Called by healing.py.

More than half of a service failing together is not the replicas' fault; neither is a single one that is not ready while
something that it depends on has nobody ready. The graph is Compose's depends_on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from supervisor.domain.health import BAD, LEFT_ALONE, Verdict
from supervisor.domain.memory import Errand
from supervisor.domain.recollection import HEAL_CAUSES
from supervisor.domain.scene import Scene
from supervisor.domain.snapshot import ContainerState, ReplicaView, ReportedHealth, ServiceView

# Without a visibly ill dependency one restart is tried after this long, then after twice as long, and so on up to the
# policy's quarantine: it may be the replicas' fault after all.
FIRST_TRIAL_SECONDS = 60.0
_RUN_ONCE = ("no", "on-failure", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class DependencyTrouble:
    """text: a sentence that names the dependency. is_trial_due: one restart may be tried now."""

    text: str
    is_trial_due: bool
    inputs: Mapping[str, float | int | str | None]


def dependency_trouble(scene: Scene) -> DependencyTrouble | None:
    failing = [r for r in scene.service.replicas if _is_failing(r, scene)]
    total = sum(_counts(r, scene) for r in scene.service.replicas)
    ill = [illness(name, scene) for name in ill_dependencies(scene)]
    is_alone = total == 1 and scene.being(Verdict.UNREADY, Verdict.NEVER_READY) != () and bool(ill)
    is_most = total > 1 and len(failing) > scene.policy.heal.dependency_ratio * total
    if not (is_alone or is_most):
        return None
    who = f"{len(failing)} of {total} fail together" if is_most else f"{failing[0].name} is not ready"
    named = " and ".join(ill) if ill else "nothing that it depends on is visibly unhealthy"
    return DependencyTrouble(
        text=f"{who}: {named}; restarting would not help",
        is_trial_due=not ill and _is_trial_due(failing, scene),
        inputs={"failing": len(failing), "replicas": total, "dependencies": ", ".join(scene.service.depends_on)},
    )


def ill_dependencies(scene: Scene) -> tuple[str, ...]:
    return tuple(name for name in scene.service.depends_on if illness(name, scene))


def parent_change(replica: ReplicaView, scene: Scene) -> str:
    """Why the network namespace that a replica shares is not what it was; empty when it is, or has its own."""
    if not replica.network_parent or replica.state is not ContainerState.RUNNING:
        return ""
    everybody = (r for service in scene.snapshot.services.values() for r in service.replicas)
    parent = next((r for r in everybody if r.id == replica.network_parent), None)
    if parent is None:
        return "the container whose network it shares is gone"
    if parent.started_at and replica.started_at and parent.started_at > replica.started_at:
        return f"{parent.name}, whose network it shares, was started anew"
    return ""


def _counts(replica: ReplicaView, scene: Scene) -> bool:
    """Whether it should be serving: not stopped by a person, nor leaving for a reason that is no illness."""
    departure = scene.memory.departures.get(replica.id)
    if departure is not None and (departure.errand is Errand.DRAIN or departure.cause not in HEAL_CAUSES):
        return False
    return departure is not None or scene.healths[replica.id].verdict not in (*LEFT_ALONE, Verdict.CREATED)


def _is_failing(replica: ReplicaView, scene: Scene) -> bool:
    if not _counts(replica, scene):
        return False
    verdict, known = scene.healths[replica.id].verdict, scene.memory.replicas[replica.id]
    is_looping = len(known.restart_times) > 1 and verdict is not Verdict.READY
    return verdict in BAD or verdict is Verdict.QUARANTINED or is_looping or replica.id in scene.memory.departures


def _is_trial_due(failing: list[ReplicaView], scene: Scene) -> bool:
    known = [scene.memory.replicas[r.id] for r in failing]
    wait = FIRST_TRIAL_SECONDS * 2.0 ** min(16, max(k.failed_restarts for k in known))
    latest = max(scene.at if k.unready_since is None else k.unready_since for k in known)
    latest = max(latest, *(k.process_since for k in known))
    return scene.at - latest >= min(wait, max(FIRST_TRIAL_SECONDS, scene.policy.heal.quarantine_seconds))


def illness(name: str, scene: Scene) -> str:
    """What ails a service as a whole, as its replicas say themselves; empty when one of them is well."""
    service = scene.snapshot.services.get(name)
    if service is None or not service.replicas:
        return f"{name} is not there"
    if any(_is_well(r, service) for r in service.replicas):
        return ""
    return f"{name} does not run" if not _runs(service) else f"{name} is unhealthy"


def _runs(service: ServiceView) -> bool:
    return any(r.state is ContainerState.RUNNING for r in service.replicas)


def _is_well(replica: ReplicaView, service: ServiceView) -> bool:
    if replica.state is not ContainerState.RUNNING:
        # A job that has done its work, such as a migration.
        return replica.restart_policy in _RUN_ONCE and replica.exit_code == 0 and not _runs(service)
    if replica.probe is not None and not replica.probe.is_ready:
        return False
    return replica.health in (ReportedHealth.HEALTHY, ReportedHealth.NONE)
