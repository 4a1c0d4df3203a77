"""Decides which replicas to restart, to recreate or to keep stopped, and which not to touch. Called by decide.py.

It only sends them on their way (a Departure); departures.py takes the steps, staffing.py starts replacements, and the
list of the load balancer is without them anyway.

    bad --back-off over, nobody else is being healed--> restart --twice in vain--> recreate (clone, then remove)
    5 restarts in 10 min --> quarantine: stopped; started again after a while (half open), each time a longer one
    more than half of the service bad --> a dependency's fault: no restarts, but a rare trial when none is visibly ill
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from supervisor.domain.dependency import DependencyTrouble, dependency_trouble, ill_dependencies, parent_change
from supervisor.domain.health import BAD, Verdict
from supervisor.domain.memory import Departure, Errand, ReplicaMemory
from supervisor.domain.plan import Cause, Hold, Reason
from supervisor.domain.recollection import HEAL_CAUSES, backoff_seconds
from supervisor.domain.scene import Scene
from supervisor.domain.snapshot import ReplicaView

QUARANTINE_MAX_SECONDS = 3600.0
# Replicas that failed together do not recover in the same moment; the last of them is not at fault either.
RECOVERY_SECONDS = 15.0
# On a host that is this busy, silence may only be waiting for the CPU: then it takes so many times as many failed
# probes to be sure that a replica hangs, unless it uses next to no CPU, as one that is frozen or deadlocked.
BUSY_CPU_RATIO = 0.9
BUSY_PATIENCE = 4
IDLE_CPU_RATIO = 0.002
_FLAPPING_WHILE = (Verdict.CRASHED, Verdict.STARTING, *sorted(BAD))
_CAUSES = {
    Verdict.UNREADY: Cause.UNHEALTHY,
    Verdict.LYING: Cause.UNHEALTHY,
    Verdict.HUNG: Cause.HUNG,
    Verdict.NEVER_READY: Cause.NEVER_READY,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Healing:
    """under_way: names of those being healed; while there are any, nothing is scaled. trouble: why restarts would not
    help."""

    scene: Scene
    reasons: tuple[Reason, ...] = ()
    under_way: tuple[str, ...] = ()
    trouble: DependencyTrouble | None = None


def healed(scene: Scene, *, is_rollout: bool = False) -> Healing:
    """`is_rollout`: one owns the service; its new replicas are its own business, and nothing is made anew."""
    if not scene.policy.heal.is_enabled:
        return Healing(scene=scene, reasons=tuple(_told(scene, Hold.DISABLED, "healing is off in the policy")))
    if "all" in scene.memory.pauses:
        return Healing(scene=scene, reasons=tuple(_told(scene, Hold.PAUSED, "an operator paused healing")))
    reasons: list[Reason] = []
    scene = _released(scene)
    rollout = scene.memory.rollout
    spared = {r.id for r in scene.staying if is_rollout and rollout is not None and r.image_id == rollout.image_id}
    is_together = dependency_trouble(scene) is not None
    for replica in scene.staying:
        if replica.id in spared:
            continue
        scene, flapping = _quarantined(scene, replica, is_together=is_together)
        reasons += flapping
    trouble = dependency_trouble(scene)
    if trouble is not None:
        scene = scene.with_memory(replace(scene.memory, dependency_at=scene.at))
    for replica in sorted(scene.staying, key=lambda r: scene.healths[r.id].verdict is not Verdict.HUNG):
        if replica.id in spared:
            continue
        scene, reason = _one(scene, replica, trouble, may_recreate=scene.can_clone and not is_rollout)
        if reason is not None:
            reasons.append(reason)
    if trouble is not None:
        reasons.insert(0, Reason(text=trouble.text, is_for=False, hold=Hold.DEPENDENCY, inputs=trouble.inputs))
    return Healing(scene=scene, reasons=tuple(reasons), under_way=_under_way(scene), trouble=trouble)


def _told(scene: Scene, hold: Hold, text: str) -> Iterator[Reason]:
    for replica in scene.being(*BAD):
        yield Reason(text=f"{replica.name}: {scene.healths[replica.id].why}, and {text}", is_for=False, hold=hold)


def _under_way(scene: Scene) -> tuple[str, ...]:
    """Names of replicas that are being healed: on their way, or started again and not ready yet."""
    names = []
    for replica in scene.service.replicas:
        departure, known = scene.memory.departures.get(replica.id), scene.memory.replicas[replica.id]
        verdict = scene.healths[replica.id].verdict
        if departure is not None:
            is_quarantined = known.quarantined_until is not None and known.quarantined_until > scene.at
            is_healed = departure.cause in HEAL_CAUSES and departure.errand is not Errand.DRAIN
            if is_healed and not is_quarantined:
                names.append(replica.name)
        elif verdict is Verdict.STARTING and known.failed_restarts > 0:
            names.append(replica.name)
    return tuple(names)


def _quarantined(scene: Scene, replica: ReplicaView, *, is_together: bool) -> tuple[Scene, list[Reason]]:
    """Stop a replica that is restarted again and again; also one whose half-open trial fails, unless most replicas fail
    together and all that it does is the same."""
    known, heal = scene.memory.replicas[replica.id], scene.policy.heal
    verdict = scene.healths[replica.id].verdict
    if verdict not in _FLAPPING_WHILE:
        return scene, []
    is_trial = known.quarantined_until is not None
    if is_trial and is_together and verdict in BAD:
        return scene, []
    if is_trial:
        is_flapping = verdict is not Verdict.STARTING or len(known.restart_times) > 1
        why = "failed again after its quarantine"
    else:
        is_flapping = len(known.restart_times) >= heal.flapping_restarts
        why = f"was restarted {len(known.restart_times)} times within {heal.flapping_window_seconds:g} s"
    if not is_flapping:
        return scene, []
    seconds = min(QUARANTINE_MAX_SECONDS, heal.quarantine_seconds * 2.0 ** min(known.quarantines, 16))
    seconds += 0.1 * backoff_seconds(replica.id, known.quarantines, heal)  # so that several do not wake together
    why = f"{replica.name} {why}: it is kept stopped for {seconds:.0f} s"
    kept = replace(
        known,
        quarantined_until=scene.at + seconds,
        quarantines=known.quarantines + 1,
        waits_for=ill_dependencies(scene),
    )
    departure = Departure(replica_id=replica.id, errand=Errand.RESTART, cause=Cause.FLAPPING, why=why, since=scene.at)
    reason = Reason(text=why, is_for=True, cause=Cause.FLAPPING, inputs={"seconds": seconds})
    return _with_replica(scene, kept).departing(departure), [reason]


def _released(scene: Scene) -> Scene:
    """End the quarantine of those whose dependency was ill and is well again. That it is ill may be seen only later."""
    ill = set(ill_dependencies(scene))
    for known in scene.memory.replicas.values():
        if known.quarantined_until is None or known.quarantined_until <= scene.at:
            continue
        if ill - set(known.waits_for):
            scene = _with_replica(scene, replace(known, waits_for=tuple(sorted({*known.waits_for, *ill}))))
        elif known.waits_for and not ill & set(known.waits_for):
            scene = _with_replica(scene, replace(known, quarantined_until=scene.at, waits_for=()))
    return scene


def _with_replica(scene: Scene, known: ReplicaMemory) -> Scene:
    replicas = {**scene.memory.replicas, known.replica_id: known}
    return scene.with_memory(replace(scene.memory, replicas=replicas))


def _one(
    scene: Scene, replica: ReplicaView, trouble: DependencyTrouble | None, *, may_recreate: bool
) -> tuple[Scene, Reason | None]:
    """Heal one replica, or say what speaks against it."""
    moved = parent_change(replica, scene)
    health = scene.healths[replica.id]
    if not moved and health.verdict not in BAD:
        return scene, None
    why = f"{replica.name}: {moved or health.why}"
    against = _against(scene, replica, why, trouble)
    if against is not None:
        return scene, against
    known, heal = scene.memory.replicas[replica.id], scene.policy.heal
    is_hung = health.verdict is Verdict.HUNG
    cause = Cause.NETWORK_PARENT_CHANGED if moved else _CAUSES[health.verdict]
    is_in_vain = known.failed_restarts >= heal.recreate_after_restarts
    errand = Errand.REMOVE if may_recreate and (moved or is_in_vain) else Errand.RESTART
    if errand is Errand.REMOVE and not moved:
        why += f"; {known.failed_restarts} restarts did not help, so it is made anew"
    departure = Departure(replica_id=replica.id, errand=errand, cause=cause, why=why, since=scene.at, is_hung=is_hung)
    tried = replace(known, failed_restarts=known.failed_restarts + 1)
    return _with_replica(scene, tried).departing(departure), Reason(text=why, is_for=True, cause=cause)


def _against(scene: Scene, replica: ReplicaView, why: str, trouble: DependencyTrouble | None) -> Reason | None:
    known, heal, now = scene.memory.replicas[replica.id], scene.policy.heal, scene.at
    hold: Hold
    others = _under_way(scene)
    ill_seconds = 0.0 if known.unready_since is None else now - known.unready_since
    verdict = scene.healths[replica.id].verdict
    is_hung = verdict is Verdict.HUNG
    # Out of the list a liar has no more errors, and would be back before its time is over.
    is_patient = verdict not in (Verdict.HUNG, Verdict.LYING)
    if trouble is not None and not trouble.is_trial_due:
        hold, text = Hold.DEPENDENCY, "restarting it would not help"
    elif is_hung and (doubt := _doubt(scene, replica)):
        hold, text = Hold.HOST_SATURATED, doubt
    elif trouble is None and _has_just_recovered(scene):
        hold, text = Hold.DEPENDENCY, f"all failed together a moment ago, and get {RECOVERY_SECONDS:g} s to recover"
    elif now < known.next_attempt_at:
        hold, text = Hold.BACK_OFF, f"the next restart is due in {known.next_attempt_at - now:.0f} s"
    elif is_patient and ill_seconds < heal.unhealthy_seconds:
        hold, text = Hold.BACK_OFF, f"for {ill_seconds:.0f} of {heal.unhealthy_seconds:g} s"
    elif others and (not is_hung or trouble is not None):
        hold, text = Hold.BUDGET, f"one at a time, and {others[0]} is being healed"
    else:
        return None
    return Reason(text=f"{why}; {text}", is_for=False, hold=hold)


def _has_just_recovered(scene: Scene) -> bool:
    at = scene.memory.dependency_at
    return at is not None and scene.at - at < RECOVERY_SECONDS


def _doubt(scene: Scene, replica: ReplicaView) -> str:
    """Why its silence may not be a hang; empty when that is certain enough to kill it."""
    host, probe, usage = scene.snapshot.host, replica.probe, replica.usage
    if host is None or host.cpu_ratio is None or host.cpu_ratio < BUSY_CPU_RATIO or probe is None:
        return ""
    if probe.failures >= BUSY_PATIENCE * scene.policy.heal.probe_failures:
        return ""
    if usage is not None and usage.cpu_ratio is not None and usage.cpu_ratio < IDLE_CPU_RATIO:
        return ""
    return f"the host is {host.cpu_ratio:.0%} busy, and it may only be waiting for its turn"
