"""Takes each replica that is on its way out one step further. Called by decide.py; the steps are seen, not remembered:

    listed --our list without it is in force--> draining --nothing in hand, or time is up--> TERM
        --it does not end--> KILL --> exited --> removed, or started again (after its quarantine)

A hung one has nothing to drain: what waits in it is asked of another replica as soon as it is killed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from supervisor.domain.health import Verdict, fresh_load, is_valid
from supervisor.domain.memory import Departure, Errand
from supervisor.domain.plan import Action, Cause, Hold, Reason, RemoveReplica, SignalReplica, StartStopped
from supervisor.domain.recollection import HEAL_CAUSES
from supervisor.domain.scene import Scene
from supervisor.domain.snapshot import ContainerState, ReplicaView

# A replica that does not say what it has in hand gets this long.
UNKNOWN_LOAD_SECONDS = 10.0
# A load balancer that does not confirm the list keeps a hung replica alive no longer than this.
UNCONFIRMED_SECONDS = 3.0
KILL_AGAIN_SECONDS = 10.0
_ENDED = (ContainerState.EXITED, ContainerState.DEAD, ContainerState.CREATED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    scene: Scene
    actions: tuple[Action, ...] = ()
    reasons: tuple[Reason, ...] = ()
    due_at: float | None = None  # of the first kill that waits for its time


@dataclass(frozen=True, slots=True, kw_only=True)
class _Step:
    """One departure's next step: an action, or what it waits for."""

    action: Action | None = None
    reason: Reason | None = None


def stepped(scene: Scene) -> Steps:
    """One step for every departure."""
    actions: list[Action] = []
    reasons: list[Reason] = []
    for replica in scene.service.replicas:
        departure = scene.memory.departures.get(replica.id)
        if departure is None or departure.errand is Errand.DRAIN or replica.state is ContainerState.REMOVING:
            continue
        departure = _off_the_list(departure, scene)
        if scene.healths[replica.id].verdict is Verdict.HUNG and departure.signalled_at is None:
            departure = replace(departure, is_hung=True)
        departures = {**scene.memory.departures, replica.id: departure}
        scene = scene.with_memory(replace(scene.memory, departures=departures))
        step = _ended(departure, replica, scene) if replica.state in _ENDED else _going(departure, replica, scene)
        actions += [step.action] if step.action else []
        reasons += [step.reason] if step.reason else []
    return Steps(scene=scene, actions=tuple(actions), reasons=tuple(reasons), due_at=_first_kill(scene))


def _first_kill(scene: Scene) -> float | None:
    """When the first hung replica's time is over: requests wait in it until then."""
    seconds = scene.policy.heal.hang_kill_seconds
    hung = [d for d in scene.memory.departures.values() if d.is_hung and d.killed_at is None]
    due = [d.since + seconds + (UNCONFIRMED_SECONDS if d.left_at is None else 0.0) for d in hung]
    return min((at for at in due if at > scene.at), default=None)


def _off_the_list(departure: Departure, scene: Scene) -> Departure:
    """Note when the load balancer was first seen without the replica."""
    balancer = scene.snapshot.balancer
    if departure.left_at is not None:
        return departure
    if not scene.policy.is_balanced:
        return replace(departure, left_at=scene.at)
    if balancer is None or balancer.applied is None or not is_valid(balancer.at, scene.at):
        return departure
    if any(member.replica_id == departure.replica_id for member in balancer.members.get(scene.name, ())):
        return departure
    return replace(departure, left_at=scene.at, generation=balancer.applied)


def _going(departure: Departure, replica: ReplicaView, scene: Scene) -> _Step:
    now, drain = scene.at, scene.policy.drain
    known = scene.memory.replicas[replica.id]
    is_asked = departure.signalled_at is not None
    came_back = is_asked and known.process_since > (departure.signalled_at or 0.0)
    if replica.state is ContainerState.RESTARTING:
        if departure.errand is Errand.RESTART and not _is_kept_stopped(replica, scene):
            return _wait(replica, departure, "Docker restarts it")
        return _kill(departure, replica, scene, "there is no process, and Docker would start one")
    if departure.killed_at is not None and now - departure.killed_at < KILL_AGAIN_SECONDS and not came_back:
        return _wait(replica, departure, "killed, and not gone yet")
    if came_back:
        return _kill(departure, replica, scene, "Docker started it again")
    if departure.is_hung:
        return _hung(departure, replica, scene)
    if departure.signalled_at is not None:
        waited = now - departure.signalled_at
        if waited >= drain.stop_seconds:
            return _kill(departure, replica, scene, f"it did not end within {drain.stop_seconds:g} s of being asked to")
        return _wait(replica, departure, f"it was asked to end, and has {drain.stop_seconds:g} s for it")
    obstacle = _in_hand(departure, replica, scene)
    if obstacle and now - departure.since < drain.timeout_seconds:
        return _wait(replica, departure, obstacle)
    why = f"its {drain.timeout_seconds:g} s are over ({obstacle})" if obstacle else "it has nothing in hand"
    return _Step(action=_signal(departure, replica, "TERM", why))


def _hung(departure: Departure, replica: ReplicaView, scene: Scene) -> _Step:
    """Its time counts from when it was to leave the list, not from when that was seen: requests wait in it already."""
    seconds = scene.policy.heal.hang_kill_seconds
    patience = seconds if departure.left_at is not None else seconds + UNCONFIRMED_SECONDS
    if scene.at - departure.since >= patience:
        return _kill(departure, replica, scene, "what waits in it is asked of another replica then")
    return _wait(replica, departure, f"killed {seconds:g} s after it left the list")


def _in_hand(departure: Departure, replica: ReplicaView, scene: Scene) -> str:
    """What it must still finish; empty when it has nothing, or can have nothing, in hand."""
    now, drain = scene.at, scene.policy.drain
    known = scene.memory.replicas[replica.id]
    if not known.was_ready and scene.healths[replica.id].verdict is not Verdict.READY:
        return ""  # this process never had a request
    if departure.left_at is None:
        return "the load balancer still has it in its list"
    load = fresh_load(replica, now)
    if load is None:
        is_over = not scene.policy.is_balanced or now - departure.left_at >= UNKNOWN_LOAD_SECONDS
        return "" if is_over else "it does not say what it has in hand"
    if load.requests == 0 and load.jobs == 0:
        is_over = load.connections == 0 or now - departure.left_at >= drain.stream_timeout_seconds
        return "" if is_over else f"{load.connections} connections"
    return f"{load.requests} requests and {load.jobs} jobs in hand, for {drain.timeout_seconds:g} s at most"


def _ended(departure: Departure, replica: ReplicaView, scene: Scene) -> _Step:
    if departure.errand is Errand.REMOVE:
        if departure.cause is not Cause.PROJECT_DOWN and _is_last(replica, scene):
            return _wait(replica, departure, "kept until another replica is there to be copied")
        return _Step(action=_remove(departure, replica))
    known = scene.memory.replicas[replica.id]
    if _is_kept_stopped(replica, scene):
        inputs = {"seconds_left": (known.quarantined_until or scene.at) - scene.at}
        text = f"{replica.name} is in quarantine"
        return _Step(reason=Reason(text=text, is_for=False, hold=Hold.QUARANTINE, inputs=inputs))
    is_trial = known.quarantined_until is not None
    return _Step(
        action=StartStopped(
            id="",
            service=replica.service,
            cause=Cause.HALF_OPEN if is_trial else departure.cause,
            why=f"start {replica.name} again: {'its quarantine is over' if is_trial else departure.why}",
            replica_id=replica.id,
        )
    )


def _is_last(replica: ReplicaView, scene: Scene) -> bool:
    """Whether no other container would be left that a new replica could be made from."""
    departures = scene.memory.departures
    others = (r for r in scene.service.replicas if r.id != replica.id)
    return not any(r.id not in departures or departures[r.id].errand is not Errand.REMOVE for r in others)


def _is_kept_stopped(replica: ReplicaView, scene: Scene) -> bool:
    until = scene.memory.replicas[replica.id].quarantined_until
    return until is not None and until > scene.at


def _wait(replica: ReplicaView, departure: Departure, text: str) -> _Step:
    hold = Hold.HEALING if departure.cause in HEAL_CAUSES else Hold.DRAINING
    return _Step(reason=Reason(text=f"{replica.name} leaves: {text}", is_for=False, hold=hold))


def _kill(departure: Departure, replica: ReplicaView, scene: Scene, why: str) -> _Step:
    killed_at = departure.killed_at
    if killed_at is not None and scene.at - killed_at < 1.0:
        return _wait(replica, departure, "killed, and not gone yet")
    return _Step(action=_signal(departure, replica, "KILL", why))


def _signal(departure: Departure, replica: ReplicaView, signal: str, why: str) -> SignalReplica:
    verb = "kill" if signal == "KILL" else "ask to end:"
    return SignalReplica(
        id="",
        service=replica.service,
        cause=departure.cause,
        why=f"{verb} {replica.name} ({departure.why}): {why}",
        replica_id=replica.id,
        signal=signal,
    )


def _remove(departure: Departure, replica: ReplicaView) -> RemoveReplica:
    return RemoveReplica(
        id="",
        service=replica.service,
        cause=departure.cause,
        why=f"remove {replica.name}: {departure.why}",
        replica_id=replica.id,
    )
